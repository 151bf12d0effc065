#include "oci/in_parallel.h"

#include <algorithm>
#include <optional>
#include <stop_token>
#include <thread>

#include "base/guarded.h"
#include "oci/limits.h"

namespace oci {

base::Status in_parallel(
    const base::Context& ctx, std::size_t count,
    const std::function<base::Status(const base::Context& ctx, std::size_t item)>& work) {
  std::stop_source stop;
  const std::stop_callback forward(ctx.stop(), [&] { stop.request_stop(); });
  const base::Context inner = ctx.with_stop(stop.get_token());
  std::atomic<std::size_t> next = 0;
  base::Guarded<std::optional<base::Error>> failure;
  const auto run = [&] {
    for (std::size_t item = next++; item < count && !inner.stopped(); item = next++) {
      const base::Status done = work(inner, item);
      if (done) continue;
      failure.with([&](auto& first) {
        if (!first) first = done.error();
      });
      stop.request_stop();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(count, kParallelBlobs); ++i) threads.emplace_back(run);
    run();
  }
  if (auto first = failure.with([](const auto& f) { return f; })) return *std::move(first);
  return ctx.check();
}

void SharedProgress::show() {
  if (!report_ || busy_.test_and_set()) return;
  std::uint64_t sum = 0;
  for (const auto& done : done_) sum += done;
  report_({std::min(sum, total_bytes_), total_bytes_});
  busy_.clear();
}

}  // namespace oci

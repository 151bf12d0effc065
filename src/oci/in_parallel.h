#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "oci/progress.h"

namespace oci {

/// Runs `work` for 0 ... count-1, some at a time on threads of its own, in order of their start.
/// The first failure stops the others and is returned.
base::Status in_parallel(
    const base::Context& ctx, std::size_t count,
    const std::function<base::Status(const base::Context& ctx, std::size_t item)>& work);

/// One progress out of those of several items at work at a time. A report that comes while another
/// is being made is left out: the next one has its bytes.
class SharedProgress {
 public:
  SharedProgress(std::size_t items, std::uint64_t total_bytes, const ProgressCallback& report)
      : done_(items), total_bytes_(total_bytes), report_(report) {}
  /// May be called from any thread; `callback(i)` from one at a time for each i.
  ProgressCallback callback(std::size_t item) {
    return [this, item](const Progress& part) {
      done_[item] = part.done_bytes;
      show();
    };
  }
  void show();

 private:
  std::vector<std::atomic<std::uint64_t>> done_;
  const std::uint64_t total_bytes_;
  const ProgressCallback& report_;
  std::atomic_flag busy_;
};

}  // namespace oci

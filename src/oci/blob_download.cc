#include "oci/blob_download.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/queue.h"
#include "oci/failure.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

/// First byte of `bytes 10-99/100`.
base::Result<std::uint64_t> content_range_start(const net::HttpResponse& head) {
  const std::string_view range = head.headers.get_or("content-range", "");
  constexpr std::string_view kUnit = "bytes ";
  std::uint64_t start = 0;
  const std::string_view text =
      range.starts_with(kUnit) ? range.substr(kUnit.size()) : std::string_view();
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), start);
  if (text.empty() || parsed.ec != std::errc())
    return Error(ErrorCode::Invalid, "registry: a partial answer without Content-Range");
  return start;
}

/// Ends transfers that trickle: a server that sends a byte now and then never stalls.
class Trickle {
 public:
  explicit Trickle(std::chrono::milliseconds window) : window_(window) {}
  bool too_slow(std::size_t bytes) {
    const auto now = std::chrono::steady_clock::now();
    seen_ += bytes;
    if (now - since_ < window_) return false;
    const auto least = static_cast<std::uint64_t>(std::chrono::duration<double>(window_).count() *
                                                  kMinBytesPerSecond);
    const bool slow = seen_ < least;
    since_ = now;
    seen_ = 0;
    return slow;
  }

 private:
  const std::chrono::milliseconds window_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  std::uint64_t seen_ = 0;
};

}  // namespace

Status BlobDownload::run(const base::Context& ctx, std::uint64_t& position,
                         const RegistryClient::Take& take, bool& refused) {
  if (transport_.options().parallel_ranges > 1 && blob_.bytes() - position >= kMinRangedBytes) {
    const std::uint64_t before = position;
    Status fetched = in_parts(ctx, position, take, refused);
    // A registry without ranges: nothing arrived, and one stream will do.
    const bool no_ranges = !fetched && fetched.error().http_status() == 200 && position == before;
    if (!no_ranges) return fetched;
  }
  return repeatedly(ctx, {position, blob_.bytes()}, position, take, refused);
}

Status BlobDownload::repeatedly(const base::Context& ctx, Part part, std::uint64_t& position,
                                const RegistryClient::Take& take, bool& refused) {
  RetryState retry(transport_.options());
  while (position < part.end) {
    const std::uint64_t before = position;
    Status tried = once(ctx, part, position, take, refused);
    if (refused) return tried;
    if (position == part.end) return {};
    if (position - before >= kProgressResetsAttempts) retry.reset();
    TRY(retry.next(
        ctx, tried ? Error(ErrorCode::Unavailable,
                           fmt::format("registry {}: blob {} ended after {} of {} bytes",
                                       ref_.domain, blob_.digest.text(), position, blob_.size))
                   : std::move(tried).error()));
  }
  return {};
}

Status BlobDownload::once(const base::Context& ctx, Part part, std::uint64_t& position,
                          const RegistryClient::Take& take, bool& refused) {
  const bool bounded = part.end < blob_.bytes();
  const bool whole = position == 0 && !bounded;
  net::HttpClientRequest request;
  request.url = url_;
  if (!whole) {
    request.headers.set("Range", bounded ? fmt::format("bytes={}-{}", position, part.end - 1)
                                         : fmt::format("bytes={}-", position));
  }
  std::uint64_t skip = 0;  // A registry without ranges begins at the front again.
  bool good = false;
  std::string error_body;
  Trickle trickle(transport_.options().stall_timeout);
  net::HttpResponseSink sink;
  sink.on_head = [&](const net::HttpResponse& head) -> Status {
    good = head.status == 200 || head.status == 206;
    if (head.status == 200) {
      if (bounded) {
        return Error(ErrorCode::Invalid, fmt::format("registry {}: it has no ranges", ref_.domain))
            .with_http_status(200);
      }
      skip = position;
    }
    if (head.status != 206) return {};
    if (TRY(content_range_start(head)) == position) return {};
    return Error(ErrorCode::Invalid,
                 fmt::format("registry {}: answers another range than asked for", ref_.domain));
  };
  sink.on_body = [&](std::string_view bytes) -> Status {
    if (!good) {
      if (error_body.size() < kMaxErrorBodyBytes)
        error_body += bytes.substr(0, kMaxErrorBodyBytes - error_body.size());
      return {};
    }
    if (trickle.too_slow(bytes.size()))
      return Error(ErrorCode::Unavailable,
                   fmt::format("registry {}: it sends less than {} bytes a second", ref_.domain,
                               kMinBytesPerSecond));
    const auto skipped = std::min<std::uint64_t>(skip, bytes.size());
    skip -= skipped;
    bytes.remove_prefix(skipped);
    if (bytes.empty()) return {};
    Status taken = bytes.size() > part.end - position
                       ? Status(digest_mismatch(
                             fmt::format("blob {} is longer than the {} bytes of its descriptor",
                                         blob_.digest.text(), blob_.size)))
                       : take(bytes);
    if (!taken) {
      refused = true;
      return taken;
    }
    position += bytes.size();
    return {};
  };
  const auto response =
      TRY(transport_.once(ctx, {ref_.domain, ref_.repository, "pull"}, std::move(request), &sink));
  if (!good) return error_of(ref_.domain, response, error_body);
  return {};
}

base::Result<std::string> BlobDownload::fetch_part(const base::Context& ctx, Part part,
                                                   std::string bytes) {
  bytes.clear();
  bytes.reserve(part.end - part.begin);
  std::uint64_t position = part.begin;
  bool refused = false;
  TRY(repeatedly(
      ctx, part, position,
      [&](std::string_view piece) -> Status {
        bytes += piece;
        return {};
      },
      refused));
  return bytes;
}

/// Worker `w` of `n` fetches the parts w, w+n, w+2n ... into a queue of its own; this thread takes
/// from the queues in turn. Memory: two parts a worker.
Status BlobDownload::in_parts(const base::Context& ctx, std::uint64_t& position,
                              const RegistryClient::Take& take, bool& refused) {
  using Fetched = base::Result<std::string>;
  const std::uint64_t first = position;
  const std::uint64_t count = (blob_.bytes() - first + kRangeBytes - 1) / kRangeBytes;
  const auto workers = std::min<std::uint64_t>(
      static_cast<std::uint64_t>(transport_.options().parallel_ranges), count);
  std::stop_source stop;
  const std::stop_callback forward(ctx.stop(), [&] { stop.request_stop(); });
  const base::Context inner = ctx.with_stop(stop.get_token());
  std::vector<std::unique_ptr<base::Queue<Fetched>>> queues;
  // Used buffers go round: fresh ones would cost as much in page faults as the transfer itself.
  base::Queue<std::string> spare(2 * workers);
  std::vector<std::jthread> threads;
  for (std::uint64_t w = 0; w < workers; ++w)
    queues.push_back(std::make_unique<base::Queue<Fetched>>(1));
  for (std::uint64_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      for (std::uint64_t i = w; i < count; i += workers) {
        const std::uint64_t begin = first + i * kRangeBytes;
        Fetched fetched = fetch_part(inner, {begin, std::min(begin + kRangeBytes, blob_.bytes())},
                                     spare.try_pop().value_or(std::string()));
        const bool good = fetched.has_value();
        if (!queues[w]->push(stop.get_token(), std::move(fetched)) || !good) return;
      }
    });
  }
  Status result;
  for (std::uint64_t i = 0; i < count && result; ++i) {
    std::optional<Fetched> part = queues[i % workers]->pop(stop.get_token());
    if (!part) {
      result = ctx.check();
      if (result) result = Error(ErrorCode::Internal, "a download ended without a reason");
    } else if (!*part) {
      result = std::move(*part).error();
    } else {
      result = take(**part);
      refused = !result;
      if (result) position += (*part)->size();
      (void)spare.try_push(**std::move(part));
    }
  }
  stop.request_stop();
  return result;
}

}  // namespace oci

#include "base/context.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace base {

Context Context::with_timeout(std::chrono::nanoseconds timeout) const {
  return with_deadline(std::chrono::steady_clock::now() + timeout);
}

Context Context::with_deadline(SteadyTime deadline) const {
  Context copy = *this;
  copy.deadline_ = std::min(deadline_, deadline);
  return copy;
}

Context Context::with_log(Logger log) const {
  Context copy = *this;
  copy.log_ = std::move(log);
  return copy;
}

Context Context::with_stop(std::stop_token stop) const {
  Context copy = *this;
  copy.stop_ = std::move(stop);
  return copy;
}

std::chrono::nanoseconds Context::remaining() const {
  if (deadline_ == SteadyTime::max()) return std::chrono::nanoseconds::max();
  return std::max(std::chrono::nanoseconds(0), std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                   deadline_ - std::chrono::steady_clock::now()));
}

Status Context::check() const {
  if (stopped()) return Error(ErrorCode::Cancelled, "stopped");
  if (std::chrono::steady_clock::now() >= deadline_)
    return Error(ErrorCode::Timeout, "deadline exceeded");
  return {};
}

Status Context::sleep(std::chrono::nanoseconds duration) const {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  const auto wait = std::min(duration, remaining());
  wake.wait_for(lock, stop_, wait, [] { return false; });
  return check();
}

}  // namespace base

#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

using SystemTime = std::chrono::system_clock::time_point;
using SteadyTime = std::chrono::steady_clock::time_point;

/// The two clocks a component may read; injected so that tests choose the time.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Wall clock, for timestamps that people read.
  virtual SystemTime now() const = 0;
  /// Monotonic clock, for deadlines and durations.
  virtual SteadyTime steady() const = 0;
};

class RealClock final : public Clock {
 public:
  SystemTime now() const override { return std::chrono::system_clock::now(); }
  SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
};

/// Stands still until told otherwise. May be read from several threads.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(SystemTime start) : start_(start) {}
  SystemTime now() const override {
    return start_ + std::chrono::duration_cast<SystemTime::duration>(elapsed());
  }
  SteadyTime steady() const override { return SteadyTime{} + elapsed(); }
  void advance(std::chrono::nanoseconds by) { elapsed_ns_ += by.count(); }

 private:
  std::chrono::nanoseconds elapsed() const { return std::chrono::nanoseconds(elapsed_ns_.load()); }

  SystemTime start_;
  std::atomic<long long> elapsed_ns_{0};
};

/// RFC 3339 in UTC with seconds, as Kubernetes writes metav1.Time: `2026-11-24T18:21:59Z`.
std::string format_rfc3339(SystemTime time);
/// RFC 3339 with microseconds, as Kubernetes writes metav1.MicroTime.
std::string format_rfc3339_micro(SystemTime time);
/// Errors: Invalid when `text` is not RFC 3339.
Result<SystemTime> parse_rfc3339(std::string_view text);

}  // namespace base

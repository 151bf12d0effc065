#pragma once

#include <chrono>

namespace kube {

/// Doubling pauses with jitter: each is between half of the current step and all of it.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds min, std::chrono::milliseconds max) : min_(min), max_(max) {}

  /// The next pause; the one after it is longer.
  std::chrono::milliseconds next();
  void reset() { failures_ = 0; }

 private:
  std::chrono::milliseconds min_;
  std::chrono::milliseconds max_;
  unsigned failures_ = 0;
};

/// The pause after `failures` earlier ones, with jitter.
std::chrono::nanoseconds backoff_delay(std::chrono::nanoseconds min, std::chrono::nanoseconds max,
                                       unsigned failures);

}  // namespace kube

#include "kube/runtime/backoff.h"

#include <algorithm>

#include "base/random.h"

namespace kube {

std::chrono::nanoseconds backoff_delay(std::chrono::nanoseconds min, std::chrono::nanoseconds max,
                                       unsigned failures) {
  std::chrono::nanoseconds step = std::min(min, max);
  for (unsigned i = 0; i < failures && step < max; ++i) step = std::min(step * 2, max);
  const auto half = static_cast<std::uint64_t>(step.count() / 2);
  return step - std::chrono::nanoseconds(
                    static_cast<std::chrono::nanoseconds::rep>(base::random_below(half + 1)));
}

std::chrono::milliseconds Backoff::next() {
  const auto delay = backoff_delay(min_, max_, failures_);
  ++failures_;
  return std::chrono::duration_cast<std::chrono::milliseconds>(delay);
}

}  // namespace kube

#include "tuning/engine/thread_choice.h"

#include <algorithm>

namespace tuning {
namespace {

constexpr std::size_t kFirstPause = 3;
constexpr std::size_t kLongestPause = 48;
/// How much faster another number has to be.
constexpr double kMargin = 0.93;
/// Weight of a new measurement.
constexpr double kNew = 0.4;

}  // namespace

ThreadChoice::ThreadChoice(std::size_t most) : steps_until_try_(kFirstPause), pause_(kFirstPause) {
  for (std::size_t count = std::max<std::size_t>(most, 1); count > 0; count /= 2) {
    counts_.push_back(count);
  }
  seconds_.resize(counts_.size());
}

void ThreadChoice::record(double seconds_per_token) {
  double& known = seconds_[trying_];
  const bool stale = trying_ != best_;  // The machine may have changed since the last attempt.
  known = known == 0 || stale ? seconds_per_token : known + kNew * (seconds_per_token - known);
  if (trying_ != best_) {
    if (known < kMargin * seconds_[best_]) {
      best_ = trying_;
      pause_ = kFirstPause;
    } else {
      pause_ = std::min(2 * pause_, kLongestPause);
    }
    trying_ = best_;
    steps_until_try_ = pause_;
    return;
  }
  if (counts_.size() == 1 || --steps_until_try_ > 0) return;
  if (best_ == 0) try_fewer_ = true;
  if (best_ + 1 == counts_.size()) try_fewer_ = false;
  trying_ = try_fewer_ ? best_ + 1 : best_ - 1;
  try_fewer_ = !try_fewer_;
}

}  // namespace tuning

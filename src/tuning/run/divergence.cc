#include "tuning/run/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tuning {
namespace {

/// Above the loss of guessing: a model without training is near it, one beyond is being destroyed.
constexpr double kMargin = 1.0;
/// Models with random weights, as tests have them, begin beyond.
constexpr double kTimesFirst = 1.5;

}  // namespace

DivergenceGuard::DivergenceGuard(std::size_t vocabulary_size, std::size_t warmup_steps)
    : guessing_(std::log(static_cast<double>(vocabulary_size))), warmup_steps_(warmup_steps) {}

base::Status DivergenceGuard::take(std::size_t step, double loss, double first_loss) {
  const double limit = std::max(guessing_ + kMargin, kTimesFirst * first_loss);
  bad_steps_ = step > warmup_steps_ && !(loss <= limit) ? bad_steps_ + 1 : 0;
  if (bad_steps_ < kPatience) return {};
  return base::Error(
      base::ErrorCode::Internal,
      fmt::format(
          "training diverged: at step {} the loss is {:.2f} and has been above {:.2f} for {} "
          "steps, where it began at {:.2f}; lower TrainingArguments.learning_rate or give "
          "it warmup_steps",
          step, loss, limit, kPatience, first_loss));
}

}  // namespace tuning

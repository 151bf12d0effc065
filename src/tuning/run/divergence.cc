#include "tuning/run/divergence.h"

#include <fmt/format.h>

#include <cmath>

namespace tuning {
namespace {

/// Above the loss of guessing: a model without training is near it, one beyond is being destroyed.
constexpr double kMargin = 1.0;

}  // namespace

DivergenceGuard::DivergenceGuard(std::size_t vocabulary_size, std::size_t warmup_steps)
    : limit_(std::log(static_cast<double>(vocabulary_size)) + kMargin),
      warmup_steps_(warmup_steps) {}

base::Status DivergenceGuard::take(std::size_t step, double loss) {
  bad_steps_ = step > warmup_steps_ && !(loss <= limit_) ? bad_steps_ + 1 : 0;
  if (bad_steps_ < kPatience) return {};
  return base::Error(
      base::ErrorCode::Internal,
      fmt::format(
          "training diverged: at step {} the loss is {:.2f} and has been above {:.2f}, that "
          "of guessing, for {} steps; lower TrainingArguments.learning_rate or give it "
          "warmup_steps",
          step, loss, limit_, kPatience));
}

}  // namespace tuning

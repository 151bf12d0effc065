#include "tuning/optimizer/optimizer_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace tuning {

double learning_rate_at(const OptimizerConfig& config, std::size_t step) {
  if (step < config.warmup_steps) {
    return config.learning_rate * static_cast<double>(step) /
           static_cast<double>(config.warmup_steps);
  }
  if (config.schedule == Schedule::Constant) return config.learning_rate;
  const std::size_t rest =
      config.total_steps > config.warmup_steps ? config.total_steps - config.warmup_steps : 1;
  const double done =
      std::min(1.0, static_cast<double>(step - config.warmup_steps) / static_cast<double>(rest));
  if (config.schedule == Schedule::Linear) return config.learning_rate * (1 - done);
  return config.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

base::Status check(const OptimizerConfig& config) {
  const auto invalid = [](std::string message) {
    return base::Error(base::ErrorCode::Invalid, std::move(message));
  };
  const auto fraction = [](double value) { return value >= 0 && value < 1; };
  if (!(config.learning_rate > 0) || !std::isfinite(config.learning_rate)) {
    return invalid("learning_rate: must be a positive number");
  }
  if (!fraction(config.beta1)) return invalid("adam_beta1: must be in [0, 1)");
  if (!fraction(config.beta2)) return invalid("adam_beta2: must be in [0, 1)");
  if (!(config.epsilon > 0)) return invalid("adam_epsilon: must be more than 0");
  if (!(config.weight_decay >= 0)) return invalid("weight_decay: must not be negative");
  if (!(config.max_gradient_norm >= 0)) return invalid("max_grad_norm: must not be negative");
  if (config.total_steps == 0) return invalid("max_steps: must be 1 or more");
  return {};
}

}  // namespace tuning

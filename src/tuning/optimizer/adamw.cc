#include "tuning/optimizer/adamw.h"

#include <cmath>

namespace tuning {

AdamwStep adamw_step(const OptimizerConfig& config, std::size_t steps, double gradient_scale) {
  const double rate = learning_rate_at(config, steps);
  const auto t = static_cast<double>(steps + 1);
  AdamwStep step;
  step.keep_first = static_cast<float>(config.beta1);
  step.keep_second = static_cast<float>(config.beta2);
  step.decay = static_cast<float>(1 - rate * config.weight_decay);
  step.rate = static_cast<float>(rate / (1 - std::pow(config.beta1, t)));
  step.second_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(config.beta2, t)));
  step.epsilon = static_cast<float>(config.epsilon);
  step.gradient_scale = static_cast<float>(gradient_scale);
  return step;
}

void adamw_update(const AdamwStep& step, std::span<const float> gradients,
                  std::span<float> parameters, std::span<float> first, std::span<float> second) {
  const float new_first = 1 - step.keep_first, new_second = 1 - step.keep_second;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const float gradient = gradients[i] * step.gradient_scale;
    first[i] = step.keep_first * first[i] + new_first * gradient;
    second[i] = step.keep_second * second[i] + new_second * (gradient * gradient);
    const float divisor = std::sqrt(second[i]) * step.second_scale + step.epsilon;
    parameters[i] = parameters[i] * step.decay - step.rate * (first[i] / divisor);
  }
}

}  // namespace tuning

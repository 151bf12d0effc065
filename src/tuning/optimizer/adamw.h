#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tuning/optimizer/optimizer_config.h"

namespace tuning {

/// AdamW's two moments and how often it has stepped.
struct AdamwState {
  std::vector<float> first;
  std::vector<float> second;
  std::size_t steps = 0;
};

/// What one step multiplies with; made once a step.
struct AdamwStep {
  float keep_first = 0;    ///< beta1
  float keep_second = 0;   ///< beta2
  float decay = 1;         ///< 1 - rate * weight_decay
  float rate = 0;          ///< rate / (1 - beta1^t)
  float second_scale = 1;  ///< 1 / sqrt(1 - beta2^t)
  float epsilon = 0;
  float gradient_scale = 1;  ///< Of clipping.
};

/// `steps`: done so far; `gradient_scale` multiplies the gradients first.
AdamwStep adamw_step(const OptimizerConfig& config, std::size_t steps, double gradient_scale);

/// Updates a range of parameters with their gradients and moments. Element by element: ranges may
/// be given to threads in any way.
void adamw_update(const AdamwStep& step, std::span<const float> gradients,
                  std::span<float> parameters, std::span<float> first, std::span<float> second);

}  // namespace tuning

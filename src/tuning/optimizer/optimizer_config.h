#pragma once

#include <cstddef>

#include "base/result.h"

namespace tuning {

/// Shape of the learning rate after the warm-up. Constant stays; Linear falls to zero at the last
/// step; Cosine falls to zero along half a cosine.
enum class Schedule { Constant, Linear, Cosine };

/// AdamW with decoupled weight decay, as torch.optim.AdamW computes it.
struct OptimizerConfig {
  double learning_rate = 5e-5;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  /// Gradients are scaled down to this norm; 0: never.
  double max_gradient_norm = 1.0;
  Schedule schedule = Schedule::Linear;
  std::size_t warmup_steps = 0;
  /// Steps of the whole run, for the schedule.
  std::size_t total_steps = 1;
};

/// The rate of step `step`, counted from 0; as transformers' get_scheduler: during warm-up
/// rate * step / warmup_steps.
double learning_rate_at(const OptimizerConfig& config, std::size_t step);

/// Errors: Invalid, naming the member.
base::Status check(const OptimizerConfig& config);

}  // namespace tuning

#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuning/config/training_config.h"
#include "tuning/engine/base_model.h"
#include "tuning/engine/trainer_options.h"
#include "tuning/lora/lora_config.h"
#include "tuning/optimizer/optimizer_config.h"

/// From what the user wrote to what the engine takes. Pure.
namespace tuning {

/// How a run is cut into steps; counted as transformers' Trainer does.
struct StepPlan {
  std::size_t micro_batches_per_epoch = 0;
  std::size_t steps_per_epoch = 0;  ///< Optimizer steps; the last one may have fewer micro-batches.
  std::size_t total_steps = 0;
  std::size_t warmup_steps = 0;
};
StepPlan plan_steps(std::size_t micro_batches_per_epoch, const TrainingSettings& training);

OptimizerConfig to_optimizer_config(const TrainingSettings& training, const StepPlan& plan);

/// `default_targets` are used when the configuration names none; those that the model has under
/// another name (q_proj in qkv_proj) are taken by that.
LoraConfig to_lora_config(const LoraSettings& lora, const Architecture& architecture,
                          const std::vector<std::string>& default_targets);

ModelOptions to_model_options(const ModelSettings& model, const QuantizationSettings& quantization);

/// True when everything is to be computed with 32-bit numbers.
bool wants_float32(const ModelSettings& model, const QuantizationSettings& quantization);

}  // namespace tuning

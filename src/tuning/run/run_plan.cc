#include "tuning/run/run_plan.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace tuning {
namespace {

/// Phi-3 computes these together.
std::string fused_name(std::string_view name) {
  if (name == "q_proj" || name == "k_proj" || name == "v_proj") return "qkv_proj";
  if (name == "gate_proj" || name == "up_proj") return "gate_up_proj";
  return std::string(name);
}

bool ends_with_module(std::string_view full, std::string_view name) {
  if (!full.ends_with(name)) return false;
  return full.size() == name.size() || full[full.size() - name.size() - 1] == '.';
}

}  // namespace

StepPlan plan_steps(std::size_t micro_batches_per_epoch, const TrainingSettings& training) {
  StepPlan plan;
  const auto accumulation = static_cast<std::size_t>(training.accumulation_steps);
  plan.micro_batches_per_epoch = micro_batches_per_epoch;
  plan.steps_per_epoch =
      std::max<std::size_t>(1, (micro_batches_per_epoch + accumulation - 1) / accumulation);
  plan.total_steps = training.max_steps > 0
                         ? static_cast<std::size_t>(training.max_steps)
                         : static_cast<std::size_t>(std::ceil(
                               training.epochs * static_cast<double>(plan.steps_per_epoch)));
  plan.warmup_steps = training.warmup_steps > 0
                          ? static_cast<std::size_t>(training.warmup_steps)
                          : static_cast<std::size_t>(std::ceil(
                                training.warmup_ratio * static_cast<double>(plan.total_steps)));
  return plan;
}

OptimizerConfig to_optimizer_config(const TrainingSettings& training, const StepPlan& plan) {
  OptimizerConfig optimizer;
  optimizer.learning_rate = training.learning_rate;
  optimizer.beta1 = training.adam_beta1;
  optimizer.beta2 = training.adam_beta2;
  optimizer.epsilon = training.adam_epsilon;
  optimizer.weight_decay = training.weight_decay;
  optimizer.max_gradient_norm = training.max_gradient_norm;
  switch (training.schedule) {
    case LearningRateSchedule::Constant:
      optimizer.schedule = Schedule::Constant;
      break;
    case LearningRateSchedule::Linear:
      optimizer.schedule = Schedule::Linear;
      break;
    case LearningRateSchedule::Cosine:
      optimizer.schedule = Schedule::Cosine;
      break;
  }
  optimizer.warmup_steps = plan.warmup_steps;
  optimizer.total_steps = plan.total_steps;
  return optimizer;
}

LoraConfig to_lora_config(const LoraSettings& lora, const Architecture& architecture,
                          const std::vector<std::string>& default_targets) {
  LoraConfig config;
  config.rank = static_cast<std::size_t>(lora.rank);
  config.alpha = lora.alpha;
  config.rslora = lora.rank_stabilized;
  config.dropout = lora.dropout;
  for (const std::int64_t layer : lora.layers)
    config.layers_to_transform.push_back(static_cast<std::size_t>(layer));
  for (const auto& [name, rank] : lora.rank_pattern)
    config.rank_pattern[name] = static_cast<std::size_t>(rank);
  config.alpha_pattern = lora.alpha_pattern;
  config.target_modules = lora.target_modules;
  if (lora.all_linear) config.target_modules = {"all-linear"};
  if (!lora.target_pattern.empty()) {
    config.target_modules = {lora.target_pattern};
    config.target_is_pattern = true;
  }
  if (!config.target_modules.empty()) return config;
  const std::vector<LinearShape> linears = block_linears(architecture);
  for (const std::string& wanted : default_targets) {
    const std::string name = architecture.fused ? fused_name(wanted) : wanted;
    const bool exists = std::any_of(linears.begin(), linears.end(), [&](const LinearShape& linear) {
      return ends_with_module(linear.name, name);
    });
    const auto& chosen = config.target_modules;
    if (exists && std::find(chosen.begin(), chosen.end(), name) == chosen.end())
      config.target_modules.push_back(name);
  }
  return config;
}

ModelOptions to_model_options(const ModelSettings& model,
                              const QuantizationSettings& quantization) {
  ModelOptions options;
  options.double_quant = quantization.double_quantization;
  const bool plain_float32 = model.precision == Precision::Float32;
  options.dense_format = plain_float32 ? WeightFormat::F32 : WeightFormat::Bf16;
  switch (quantization.format) {
    case BaseFormat::Plain:
      options.linear_format = options.dense_format;
      break;
    case BaseFormat::Nf4:
      options.linear_format = WeightFormat::Nf4;
      break;
    case BaseFormat::Fp4:
      options.linear_format = WeightFormat::Fp4;
      break;
    case BaseFormat::Int8:
      options.linear_format = WeightFormat::Int8;
      break;
  }
  return options;
}

bool wants_float32(const ModelSettings& model, const QuantizationSettings& quantization) {
  if (quantization.format == BaseFormat::Plain || quantization.format == BaseFormat::Int8)
    return model.precision == Precision::Float32;
  return quantization.compute == Precision::Float32;
}

}  // namespace tuning

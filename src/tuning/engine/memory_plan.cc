#include "tuning/engine/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "tuning/engine/limits.h"
#include "tuning/quant/codes.h"

namespace tuning {
namespace {

constexpr std::uint64_t kFloatBytes = sizeof(float);

std::uint64_t matrix_bytes(std::uint64_t values, WeightFormat format, bool double_quant) {
  switch (format) {
    case WeightFormat::F32:
      return values * kFloatBytes;
    case WeightFormat::Bf16:
      return values * 2;
    case WeightFormat::Int8:
      return values;
    case WeightFormat::Fp4:
    case WeightFormat::Nf4:
      break;
  }
  const std::uint64_t blocks = values / kBlockValues;
  return values / 2 +
         (double_quant ? blocks + blocks / kScalesPerGroup * kFloatBytes : blocks * kFloatBytes);
}

std::uint64_t weights_bytes(const Architecture& shape, const ModelOptions& options) {
  std::uint64_t block = 2 * shape.hidden_size * kFloatBytes;
  for (const LinearShape& linear : block_linears(shape)) {
    block +=
        matrix_bytes(linear.inputs * linear.outputs, options.linear_format, options.double_quant);
  }
  const std::uint64_t dense =
      matrix_bytes(shape.vocabulary_size * shape.hidden_size, options.dense_format, false);
  return shape.layers * block + dense * (shape.tied_head ? 1 : 2);
}

/// Of the gradients that travel through one block at a time.
std::uint64_t working_bytes_per_token(const Architecture& shape) {
  const std::uint64_t qkv = shape.query_size() + 2 * shape.kv_size();
  return (4 * shape.hidden_size + qkv + 3 * shape.query_size() + 4 * shape.intermediate_size) *
         kFloatBytes;
}

/// Advice in the order of what it costs the user.
std::vector<std::string> advice_for(const MemoryPlan& plan, const MemoryRequest& request,
                                    std::size_t tokens_that_fit) {
  std::vector<std::string> advice;
  if (plan.recompute == Recompute::Off) advice.push_back("set gradient_checkpointing to true");
  if (request.sequence_tokens < request.batch_tokens) {
    advice.push_back(
        "lower per_device_train_batch_size and raise gradient_accumulation_steps by as much");
  }
  const auto format = request.model.linear_format;
  if (format != WeightFormat::Nf4 && format != WeightFormat::Fp4) {
    advice.push_back("load the base in 4 bits (load_in_4bit: true)");
  }
  if (tokens_that_fit > 0 && tokens_that_fit < request.sequence_tokens) {
    advice.push_back(fmt::format("lower max_length to about {}", tokens_that_fit));
  }
  advice.push_back("give the pod more memory");
  return advice;
}

}  // namespace

std::uint64_t kept_bytes_per_token(const Architecture& shape,
                                   const std::vector<LoraTarget>& targets) {
  std::uint64_t ranks = 0;
  for (const LoraTarget& target : targets) ranks += target.rank;
  const std::uint64_t qkv = shape.query_size() + 2 * shape.kv_size();
  const std::uint64_t values = qkv + shape.heads + shape.query_size() + shape.hidden_size +
                               2 * shape.intermediate_size + ranks / shape.layers;
  return values * kFloatBytes;
}

std::size_t kept_blocks(const Architecture& shape, const std::vector<LoraTarget>& targets,
                        Recompute recompute, std::uint64_t budget_bytes, std::size_t tokens) {
  if (recompute == Recompute::Off) return shape.layers;
  if (recompute == Recompute::PerBlock || tokens == 0) return 0;
  const std::uint64_t block = kept_bytes_per_token(shape, targets) * tokens;
  return std::min<std::size_t>(shape.layers, budget_bytes / block);
}

MemoryPlan plan_memory(const Architecture& shape, const std::vector<LoraTarget>& targets,
                       const MemoryRequest& request) {
  MemoryPlan plan;
  const std::uint64_t tokens = request.batch_tokens;
  const std::uint64_t parameters = parameter_count(targets);
  plan.weights_bytes = weights_bytes(shape, request.model);
  plan.adapter_bytes = 2 * parameters * kFloatBytes;
  plan.optimizer_bytes = 2 * parameters * kFloatBytes;
  const std::uint64_t rows =
      std::min<std::uint64_t>(tokens, loss_chunk_rows(shape.vocabulary_size));
  // Logits, and their packed gradient.
  plan.loss_bytes = rows * shape.vocabulary_size * kFloatBytes * 3 / 2;
  plan.scratch_bytes =
      tokens * (shape.intermediate_size * 3) * 2 + request.threads * (std::uint64_t{1} << 20);
  const std::uint64_t inputs = (shape.layers + 1) * shape.hidden_size * kFloatBytes;
  const std::uint64_t fixed = inputs + working_bytes_per_token(shape);
  const std::uint64_t block = kept_bytes_per_token(shape, targets);
  const auto activations = [&](std::uint64_t blocks) { return tokens * (fixed + block * blocks); };

  plan.recompute = request.recompute;
  std::uint64_t kept = request.recompute == Recompute::Off ? shape.layers : 0;
  if (request.recompute == Recompute::Auto && tokens > 0) {
    plan.activation_bytes = activations(1);
    if (request.available_bytes != 0) {
      const std::uint64_t least = plan.total_bytes();
      const std::uint64_t left =
          request.available_bytes > least ? request.available_bytes - least : 0;
      plan.activation_budget_bytes = std::min(plan.activation_budget_bytes, left);
    }
    kept = kept_blocks(shape, targets, Recompute::Auto, plan.activation_budget_bytes, tokens);
    if (kept == shape.layers) plan.recompute = Recompute::Off;
    if (kept == 0) plan.recompute = Recompute::PerBlock;
  }
  // The block that is being computed has activations, kept or not.
  plan.activation_bytes = activations(std::min<std::uint64_t>(kept + 1, shape.layers));
  plan.fits = request.available_bytes == 0 || plan.total_bytes() <= request.available_bytes;
  if (plan.fits) return plan;
  const std::uint64_t rest = plan.total_bytes() - plan.activation_bytes;
  const std::uint64_t left = request.available_bytes > rest ? request.available_bytes - rest : 0;
  plan.advice = advice_for(plan, request, left / (fixed + block));
  return plan;
}

}  // namespace tuning

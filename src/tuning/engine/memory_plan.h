#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tuning/engine/architecture.h"
#include "tuning/engine/base_model.h"
#include "tuning/engine/trainer_options.h"
#include "tuning/lora/lora_config.h"

namespace tuning {

/// What a run is asked to do, as far as it needs memory.
struct MemoryRequest {
  ModelOptions model;
  /// Tokens of the largest micro-batch, all sequences together.
  std::size_t batch_tokens = 0;
  /// The longest of its sequences.
  std::size_t sequence_tokens = 0;
  Recompute recompute = Recompute::Auto;
  std::size_t threads = 1;
  std::uint64_t available_bytes = 0;  ///< 0: unknown; everything fits.
};

/// Bytes by part, whether they fit, and what to change when they do not. Pure.
struct MemoryPlan {
  std::uint64_t weights_bytes = 0;
  std::uint64_t adapter_bytes = 0;    ///< Low-rank pairs and their gradients.
  std::uint64_t optimizer_bytes = 0;  ///< AdamW's two moments.
  std::uint64_t activation_bytes = 0;
  std::uint64_t loss_bytes = 0;     ///< One chunk of logits.
  std::uint64_t scratch_bytes = 0;  ///< Packed operands.
  /// The choice where the request left it open: Off when all blocks keep their activations, Auto
  /// when those that fit `activation_budget_bytes` do, PerBlock when none does.
  Recompute recompute = Recompute::Off;
  std::uint64_t activation_budget_bytes = kDefaultActivationBytes;
  bool fits = true;
  /// Changes that would make it fit, the mildest first: `set gradient_checkpointing to true`.
  std::vector<std::string> advice;

  std::uint64_t total_bytes() const {
    return weights_bytes + adapter_bytes + optimizer_bytes + activation_bytes + loss_bytes +
           scratch_bytes;
  }
};

MemoryPlan plan_memory(const Architecture& architecture, const std::vector<LoraTarget>& targets,
                       const MemoryRequest& request);

/// Bytes that one block keeps for the backward pass, for each token.
std::uint64_t kept_bytes_per_token(const Architecture& architecture,
                                   const std::vector<LoraTarget>& targets);
/// How many blocks, counted from the last, keep their activations for a batch of `tokens`.
std::size_t kept_blocks(const Architecture& architecture, const std::vector<LoraTarget>& targets,
                        Recompute recompute, std::uint64_t budget_bytes, std::size_t tokens);

}  // namespace tuning

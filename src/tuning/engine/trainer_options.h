#pragma once

#include <cstddef>
#include <cstdint>

#include "tuning/engine/types.h"

namespace tuning {

/// Whether a block's activations are kept for the backward pass or computed again there
/// (gradient checkpointing). Auto keeps them while they fit `activation_budget_bytes`.
enum class Recompute { Off, PerBlock, Auto };

/// What kept activations may take unless more is asked for. Computing all blocks of a small model
/// again costs a tenth of its speed, so there is little to win beyond.
inline constexpr std::uint64_t kDefaultActivationBytes = std::uint64_t{256} << 20;

struct TrainerOptions {
  /// Threads that compute, the caller's included; 0: one per processor this process may use.
  std::size_t threads = 0;
  /// Use fewer of them while that is faster (see ThreadChoice); the numbers stay the same.
  bool adapt_threads = true;
  KernelSet kernels = KernelSet::Auto;
  Recompute recompute = Recompute::Auto;
  std::uint64_t activation_budget_bytes = kDefaultActivationBytes;
  /// For the low-rank pairs' start and for dropout.
  std::uint64_t seed = 42;
};

}  // namespace tuning

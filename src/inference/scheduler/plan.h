#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "inference/engine/types.h"

namespace inference {

/// What a running slot has left to compute before its next token can be chosen.
struct SlotDemand {
  int slot = 0;
  int pending = 1;        ///< Tokens not computed yet; 1 while it generates.
  bool answering = true;  ///< Has begun its answer: somebody waits for the next token.
};

struct PlanLimits {
  int batch_tokens = 512;
  int outputs = 32;  ///< Most slots that get a token in one batch.
  /// Most prompt tokens in a batch that also carries answers, so that a long prompt slows the
  /// running answers down but does not stop them.
  int prompt_tokens_beside_answers = 64;
};

/// A run of one slot's pending tokens that goes into the batch.
struct BatchPart {
  int slot = 0;
  int tokens = 0;
  bool last = false;  ///< Nothing is pending after it: its logits are wanted.
  bool operator==(const BatchPart&) const = default;
};

/// Answers first, one token each, then prompts in the order given until the batch is full.
std::vector<BatchPart> plan_batch(std::span<const SlotDemand> demands, const PlanLimits& limits);

/// What a slot holds in the cache.
struct SlotCache {
  std::span<const TokenId> tokens;
  bool idle = true;
  std::uint64_t last_used = 0;  ///< Larger is later.
};

/// Where a prompt goes, and whose cached tokens it starts from.
struct Placement {
  int slot = 0;
  int source = 0;  ///< Equal to `slot`: its own tokens; else another slot's, shared.
  int shared_tokens = 0;
  bool operator==(const Placement&) const = default;
};

/// The idle slot for `prompt`; none when all are busy. Reuses the longest cached prefix of any
/// slot, and spares idle slots whose cache may serve again. At least one token is left to compute.
std::optional<Placement> place_prompt(std::span<const TokenId> prompt,
                                      std::span<const SlotCache> slots);

/// How many leading tokens agree.
int common_prefix(std::span<const TokenId> a, std::span<const TokenId> b);

}  // namespace inference

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "inference/engine/types.h"

namespace inference {

/// What a running slot has left to compute before its next token can be chosen.
struct SlotDemand {
  int slot = 0;
  int pending = 1;             ///< Tokens not computed yet; 1 while it generates.
  bool answering = true;       ///< Has begun its answer: somebody waits for the next token.
  std::uint64_t adapters = 0;  ///< Slots with different ones cannot share a batch.
};

/// Whose turn it is where slots have different adapters. Changing them costs time, so a set keeps
/// its turn for a while; then comes the one that has waited longest. Pure: time comes from the
/// caller.
class AdapterTurns {
 public:
  explicit AdapterTurns(std::chrono::nanoseconds turn) : turn_(turn) {}

  /// The adapters of the next batch; one of those of `demands`, which is not empty.
  std::uint64_t choose(std::span<const SlotDemand> demands, base::SteadyTime now);

 private:
  std::chrono::nanoseconds turn_;
  std::uint64_t current_ = 0;
  base::SteadyTime since_{};
  std::map<std::uint64_t, std::uint64_t> served_;  ///< When each was last chosen, as a count.
  std::uint64_t choices_ = 0;
};

struct PlanLimits {
  int batch_tokens = 512;
  int outputs = 32;  ///< Most slots that get a token in one batch.
  /// Most prompt tokens in a batch that also carries answers, so that a long prompt slows the
  /// running answers down but does not stop them.
  int prompt_tokens_beside_answers = 64;
  bool answers_elsewhere = false;  ///< Answers with other adapters wait for this batch to end.
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
  bool same_adapters = true;    ///< Its tokens were computed with the adapters of the prompt.
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

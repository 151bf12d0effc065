#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/queue.h"
#include "inference/engine/adapter.h"
#include "inference/engine/types.h"
#include "inference/sampling/sampler.h"

namespace inference {

/// What a caller asks the scheduler for.
struct GenerationRequest {
  std::vector<TokenId> prompt;  ///< At least one token.
  SamplingOptions sampling;
  std::unique_ptr<Constraint> constraint;
  int max_new_tokens = 1;
  int min_new_tokens = 0;           ///< No end token before so many.
  std::vector<TokenId> end_tokens;  ///< End the answer besides the model's own.
  bool ignore_end = false;          ///< Go on after an end token.
  /// Tokens handed over at once: 1 for streams; more when nobody reads in between.
  int chunk_tokens = 1;
  AdapterSetPointer adapters;  ///< None: the base model alone.
  /// Requests of one client wait behind each other, not in front of other clients'.
  std::string client;
};

enum class FinishReason { Stop, Length, Cancelled, Failed };

struct GenerationSummary {
  FinishReason reason = FinishReason::Stop;
  int prompt_tokens = 0;
  int cached_tokens = 0;     ///< Of the prompt, taken from the cache.
  int generated_tokens = 0;  ///< An end token counts.
};

struct TokenChunk {
  std::vector<Choice> tokens;
  std::optional<GenerationSummary> finished;  ///< Set in the last chunk.
};

/// The hand-over of one answer from the scheduler's thread to the thread that asked. Shared by
/// both; dropping it without `cancel` leaves the answer to be computed for nobody.
class Generation {
 public:
  /// `max_chunks` bounds what can be waiting: the producer never blocks.
  explicit Generation(std::size_t max_chunks) : chunks_(max_chunks) {}

  /// The next chunk; nothing when `timeout` passed or `stop` was requested.
  std::optional<TokenChunk> next(const std::stop_token& stop, std::chrono::nanoseconds timeout) {
    return chunks_.pop_for(stop, timeout);
  }
  /// The slot is freed at the next step; a last chunk says so.
  void cancel() { cancelled_ = true; }

  /// For the scheduler.
  bool cancelled() const { return cancelled_; }
  void deliver(TokenChunk chunk) { (void)chunks_.try_push(std::move(chunk)); }

 private:
  base::Queue<TokenChunk> chunks_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace inference

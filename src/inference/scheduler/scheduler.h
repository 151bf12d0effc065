#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/result.h"
#include "inference/engine/decoder.h"
#include "inference/engine/model.h"
#include "inference/scheduler/fair_queue.h"
#include "inference/scheduler/generation.h"
#include "inference/scheduler/plan.h"
#include "inference/scheduler/serving_metrics.h"
#include "inference/scheduler/thread_tuner.h"

namespace inference {

/// Computes answers for many requests at once: every step takes one token of each running answer
/// and a piece of the waiting prompts into one batch. One thread, started by `start`, owns the
/// decoder; `submit` may be called from any. Requests with different adapters take turns.
///
/// When the cache is full, caches of idle slots go first; then the youngest request is put back and
/// computed again later (its reader notices a pause only).
class Scheduler {
 public:
  struct Options {
    int context_tokens = 4096;  ///< Prompt and answer of one request.
    std::size_t max_queue = 256;
    int prompt_tokens_beside_answers = 64;
    bool tune_threads = true;
    /// How long requests with the same adapters are computed before others get their turn.
    std::chrono::milliseconds adapters_turn{50};
  };
  struct Deps {
    const Model& model;
    Decoder& decoder;
    ServingMetrics& metrics;
    base::Clock& clock;
    base::Logger log;
  };
  Scheduler(Options options, Deps deps);
  /// Cancels what runs.
  ~Scheduler();

  int context_tokens() const { return options_.context_tokens; }

  /// Errors: Invalid when the prompt leaves no room for an answer; Throttled (with retry_after)
  /// when the queue is full.
  base::Result<std::shared_ptr<Generation>> submit(GenerationRequest request);

  /// Runs `task` on the thread that owns the decoder, between two batches, and waits for its end.
  /// Any other thread, after `start`. Errors: those of `task`; Cancelled or Timeout when the
  /// context ended, or the scheduler, before it began.
  using Task = std::function<base::Status(Decoder& decoder)>;
  base::Status run_between_batches(const base::Context& ctx, Task task);

  void start();
  /// One batch. False when there was nothing to do. For the thread and for tests.
  bool step();

 private:
  struct Job;
  struct Slot;
  struct Errand;

  void run(const std::stop_token& stop);
  void run_errands();
  void drop_cancelled();
  void admit();
  bool has_room_for(const Job& job) const;
  std::unique_ptr<Job> next_job();
  void begin(std::unique_ptr<Job> job, const Placement& placement);
  std::vector<BatchPart> plan();
  void fill_batch(const std::vector<BatchPart>& parts);
  bool decode(const std::vector<BatchPart>& parts);
  bool make_room();
  void advance(const std::vector<BatchPart>& parts);
  void take_token(Slot& slot, int place);
  std::optional<FinishReason> end_of(const Job& job, TokenId token) const;
  void finish(Slot& slot, FinishReason reason);
  void trim_idle();
  void report(const Job& job, FinishReason reason) const;
  void fail_running(const base::Error& error);
  void update_gauges();
  Slot& slot(int index);

  Options options_;
  Deps deps_;
  ThreadTuner tuner_;
  std::vector<Slot> slots_;
  std::deque<std::unique_ptr<Job>> put_back_;  ///< Before the queue.
  SamplerScratch scratch_;
  std::uint64_t uses_ = 0;
  AdapterTurns turns_;
  std::uint64_t computing_with_ = 0;  ///< Adapters of the last batch.
  base::Guarded<std::vector<std::shared_ptr<Errand>>> errands_;
  base::Guarded<FairQueue<std::unique_ptr<Job>>> waiting_;
  base::Queue<bool> wake_{1};
  std::jthread thread_;  // Last: it uses everything above.
};

}  // namespace inference

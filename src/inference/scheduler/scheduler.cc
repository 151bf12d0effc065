#include "inference/scheduler/scheduler.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <utility>

#include "base/assert.h"

namespace inference {

using base::Error;
using base::ErrorCode;
using base::SteadyTime;

namespace {

constexpr std::chrono::milliseconds kIdleWait{500};
/// Room that a prompt needs besides its own tokens to be let in.
constexpr std::size_t kAnswerReserve = 32;
/// What a client is told to wait when the queue is full.
constexpr std::chrono::seconds kRetryAfter{2};
/// How often somebody who waits for an errand looks whether it still makes sense.
constexpr std::chrono::milliseconds kErrandCheck{100};

double seconds_between(SteadyTime from, SteadyTime to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

/// A request with everything that outlives a put-back.
struct Scheduler::Job {
  std::shared_ptr<Generation> generation;
  GenerationRequest request;
  Sampler sampler;
  std::vector<TokenId> tokens;  ///< Prompt, then answer.
  int generated = 0;
  int cached = 0;
  TokenChunk chunk;
  SteadyTime arrived{};
  SteadyTime begun{};
  SteadyTime first_token{};
  SteadyTime last_chunk{};
};

struct Scheduler::Slot {
  SequenceId sequence = 0;
  std::unique_ptr<Job> job;         ///< None: idle.
  std::vector<TokenId> computed;    ///< Tokens in the cache.
  std::uint64_t computed_with = 0;  ///< The adapters of those.
  std::uint64_t last_used = 0;
};

struct Scheduler::Errand {
  enum class State { Waiting, Running, Done, Abandoned };
  explicit Errand(Task what) : task(std::move(what)) {}
  Task task;
  base::Guarded<State> state{State::Waiting};
  base::Status result;
  base::Queue<bool> done{1};

  /// True when the state was `from`, and then is `to`.
  bool change(State from, State to) {
    return state.with([&](State& now) { return now == from ? (now = to, true) : false; });
  }
};

Scheduler::Scheduler(Options options, Deps deps)
    : options_(options),
      deps_(std::move(deps)),
      tuner_(options.tune_threads ? deps_.decoder.options().threads : 1),
      turns_(options.adapters_turn),
      waiting_(options.max_queue) {
  ASSERT(deps_.decoder.options().cache_tokens >= options_.context_tokens);
  for (int i = 0; i < deps_.decoder.options().sequences; ++i)
    slots_.push_back(
        Slot{.sequence = i, .job = nullptr, .computed = {}, .computed_with = 0, .last_used = 0});
}

Scheduler::~Scheduler() {
  thread_.request_stop();
  deps_.decoder.abort();
  (void)wake_.try_push(true);
  if (thread_.joinable()) thread_.join();
  for (Slot& one : slots_)
    if (one.job) finish(one, FinishReason::Cancelled);
  waiting_.with([&](auto& queue) {
    queue.remove_if([](const auto&) { return true; },
                    [&](std::unique_ptr<Job> job) { report(*job, FinishReason::Cancelled); });
  });
  for (const auto& job : put_back_) report(*job, FinishReason::Cancelled);
  for (const auto& errand : errands_.with([](auto& all) { return std::exchange(all, {}); })) {
    if (!errand->change(Errand::State::Waiting, Errand::State::Running)) continue;
    errand->result = Error(ErrorCode::Cancelled, "the scheduler has stopped");
    (void)errand->done.try_push(true);
  }
}

Scheduler::Slot& Scheduler::slot(int index) { return slots_[static_cast<std::size_t>(index)]; }

base::Result<std::shared_ptr<Generation>> Scheduler::submit(GenerationRequest request) {
  const int prompt = static_cast<int>(request.prompt.size());
  if (prompt == 0) return Error(ErrorCode::Invalid, "the prompt is empty");
  if (prompt >= options_.context_tokens) {
    return Error(
        ErrorCode::Invalid,
        fmt::format("this model's maximum context length is {} tokens, but the prompt has {} "
                    "tokens; shorten the prompt",
                    options_.context_tokens, prompt));
  }
  request.max_new_tokens = std::min(request.max_new_tokens, options_.context_tokens - prompt);
  auto generation =
      std::make_shared<Generation>(static_cast<std::size_t>(request.max_new_tokens) + 2);
  auto tokens = request.prompt;
  Sampler sampler(request.sampling, std::move(request.constraint));
  sampler.observe_prompt(tokens);
  const std::string client = request.client;
  auto job = std::make_unique<Job>(Job{.generation = generation,
                                       .request = std::move(request),
                                       .sampler = std::move(sampler),
                                       .tokens = std::move(tokens),
                                       .arrived = deps_.clock.steady()});
  if (!waiting_.with([&](auto& queue) { return queue.push(client, std::move(job)); })) {
    deps_.metrics.rejected.increment();
    return Error(ErrorCode::Throttled,
                 fmt::format("too many requests: {} wait already; try again later",
                             options_.max_queue))
        .with_retry_after(kRetryAfter);
  }
  (void)wake_.try_push(true);
  return generation;
}

void Scheduler::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) {
    ::pthread_setname_np(::pthread_self(), "scheduler");
    try {
      run(stop);
    } catch (const std::exception& failure) {
      deps_.log.error("the scheduler failed", {{"error", failure.what()}});
      std::abort();
    }
  });
}

void Scheduler::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (!step()) (void)wake_.pop_for(stop, kIdleWait);
  }
}

base::Status Scheduler::run_between_batches(const base::Context& ctx, Task task) {
  const auto errand = std::make_shared<Errand>(std::move(task));
  errands_.with([&](auto& all) { all.push_back(errand); });
  (void)wake_.try_push(true);
  while (!errand->done.pop_for({}, kErrandCheck)) {
    // Once it runs it is waited for: it may use what the caller holds.
    if (ctx.done() && errand->change(Errand::State::Waiting, Errand::State::Abandoned))
      return ctx.check();
  }
  return errand->result;
}

void Scheduler::run_errands() {
  for (const auto& errand : errands_.with([](auto& all) { return std::exchange(all, {}); })) {
    if (!errand->change(Errand::State::Waiting, Errand::State::Running)) continue;
    errand->result = errand->task(deps_.decoder);
    (void)errand->done.try_push(true);
  }
}

bool Scheduler::step() {
  run_errands();
  drop_cancelled();
  admit();
  update_gauges();
  const std::vector<BatchPart> parts = plan();
  if (parts.empty()) return false;
  fill_batch(parts);
  if (decode(parts)) advance(parts);
  return true;
}

void Scheduler::drop_cancelled() {
  for (Slot& one : slots_)
    if (one.job && one.job->generation->cancelled()) finish(one, FinishReason::Cancelled);
  std::erase_if(put_back_, [&](const std::unique_ptr<Job>& job) {
    if (!job->generation->cancelled()) return false;
    report(*job, FinishReason::Cancelled);
    return true;
  });
  std::vector<std::unique_ptr<Job>> gone;
  waiting_.with([&](auto& queue) {
    queue.remove_if([](const auto& job) { return job->generation->cancelled(); },
                    [&](std::unique_ptr<Job> job) { gone.push_back(std::move(job)); });
  });
  for (const auto& job : gone) report(*job, FinishReason::Cancelled);
}

std::unique_ptr<Scheduler::Job> Scheduler::next_job() {
  if (!put_back_.empty()) {
    std::unique_ptr<Job> job = std::move(put_back_.front());
    put_back_.pop_front();
    return job;
  }
  auto job = waiting_.with([](auto& queue) { return queue.pop(); });
  return job ? std::move(*job) : nullptr;
}

bool Scheduler::has_room_for(const Job& job) const {
  std::size_t used = 0;
  for (const Slot& one : slots_)
    if (one.job) used += one.job->tokens.size();
  return used == 0 || used + job.tokens.size() + kAnswerReserve <=
                          static_cast<std::size_t>(deps_.decoder.options().cache_tokens);
}

void Scheduler::admit() {
  while (std::any_of(slots_.begin(), slots_.end(), [](const Slot& one) { return !one.job; })) {
    std::unique_ptr<Job> job = next_job();
    if (!job) return;
    if (!has_room_for(*job)) {
      put_back_.push_front(std::move(job));
      return;
    }
    std::vector<SlotCache> caches;
    const std::uint64_t adapters = id_of(job->request.adapters);
    for (const Slot& one : slots_)
      caches.push_back({one.computed, !one.job, one.last_used, one.computed_with == adapters});
    const auto placement = place_prompt(job->tokens, caches);
    ASSERT(placement.has_value());
    begin(std::move(job), *placement);
  }
}

void Scheduler::begin(std::unique_ptr<Job> job, const Placement& placement) {
  Slot& target = slot(placement.slot);
  if (placement.source == placement.slot) {
    deps_.decoder.truncate(target.sequence, placement.shared_tokens);
  } else {
    deps_.decoder.truncate(target.sequence, 0);
    deps_.decoder.share_prefix(slot(placement.source).sequence, target.sequence,
                               placement.shared_tokens);
  }
  target.computed_with = id_of(job->request.adapters);
  target.computed.assign(job->tokens.begin(), job->tokens.begin() + placement.shared_tokens);
  target.last_used = ++uses_;
  const SteadyTime now = deps_.clock.steady();
  if (job->generated == 0) {
    job->cached = placement.shared_tokens;
    job->begun = now;
    deps_.metrics.queue_time.observe(seconds_between(job->arrived, now));
    deps_.metrics.prompt_tokens.increment(static_cast<double>(job->tokens.size()));
    deps_.metrics.prefix_queries.increment(static_cast<double>(job->tokens.size()));
    deps_.metrics.prefix_hits.increment(placement.shared_tokens);
  }
  target.job = std::move(job);
}

std::vector<BatchPart> Scheduler::plan() {
  std::vector<const Slot*> running;
  for (const Slot& one : slots_)
    if (one.job) running.push_back(&one);
  std::sort(running.begin(), running.end(),
            [](const Slot* a, const Slot* b) { return a->last_used < b->last_used; });
  std::vector<SlotDemand> demands;
  for (const Slot* one : running) {
    demands.push_back({.slot = one->sequence,
                       .pending = static_cast<int>(one->job->tokens.size() - one->computed.size()),
                       .answering = one->job->generated > 0,
                       .adapters = one->computed_with});
  }
  if (demands.empty()) return {};
  const std::uint64_t turn = turns_.choose(demands, deps_.clock.steady());
  bool answers_elsewhere = false;
  std::erase_if(demands, [&](const SlotDemand& one) {
    if (one.adapters == turn) return false;
    answers_elsewhere = answers_elsewhere || one.answering;
    return true;
  });
  return plan_batch(demands, {.batch_tokens = deps_.decoder.options().batch_tokens,
                              .outputs = deps_.decoder.options().outputs,
                              .prompt_tokens_beside_answers = options_.prompt_tokens_beside_answers,
                              .answers_elsewhere = answers_elsewhere});
}

void Scheduler::fill_batch(const std::vector<BatchPart>& parts) {
  deps_.decoder.clear_batch();
  for (const BatchPart& part : parts) {
    const Slot& one = slot(part.slot);
    const int first = static_cast<int>(one.computed.size());
    for (int i = 0; i < part.tokens; ++i) {
      const bool wanted = part.last && i + 1 == part.tokens;
      deps_.decoder.add(one.job->tokens[static_cast<std::size_t>(first + i)], first + i,
                        one.sequence, wanted ? Decoder::Logits::Yes : Decoder::Logits::No);
    }
  }
}

bool Scheduler::decode(const std::vector<BatchPart>& parts) {
  const int tokens = deps_.decoder.batch_size();
  const AdapterSetPointer& adapters = slot(parts.front().slot).job->request.adapters;
  const bool changed = std::exchange(computing_with_, id_of(adapters)) != id_of(adapters);
  deps_.decoder.use_adapters(adapters);
  if (options_.tune_threads) deps_.decoder.set_threads(tuner_.threads(tokens));
  const SteadyTime before = deps_.clock.steady();
  const auto outcome = deps_.decoder.decode();
  if (!outcome) {
    if (outcome.error().code() != ErrorCode::Cancelled)
      deps_.log.error("computing a batch failed", {{"error", outcome.error().message()}});
    fail_running(outcome.error());
    return false;
  }
  if (*outcome == Decoder::Outcome::CacheFull) {
    if (!make_room()) finish(slot(parts.front().slot), FinishReason::Length);
    return false;
  }
  const SteadyTime after = deps_.clock.steady();
  // The first batch with other adapters takes longer whatever the number of threads.
  if (!changed) tuner_.record(tokens, after - before, after);
  deps_.metrics.iteration_tokens.observe(tokens);
  return true;
}

bool Scheduler::make_room() {
  Slot* oldest_idle = nullptr;
  Slot* youngest = nullptr;
  int running = 0;
  for (Slot& one : slots_) {
    if (one.job) {
      ++running;
      if (!youngest || one.last_used > youngest->last_used) youngest = &one;
    } else if (!one.computed.empty() && (!oldest_idle || one.last_used < oldest_idle->last_used)) {
      oldest_idle = &one;
    }
  }
  Slot* victim = oldest_idle ? oldest_idle : youngest;
  if (!oldest_idle && running < 2) return false;
  deps_.decoder.truncate(victim->sequence, 0);
  victim->computed.clear();
  if (victim->job) {
    deps_.metrics.preemptions.increment();
    put_back_.push_front(std::move(victim->job));
  }
  return true;
}

void Scheduler::advance(const std::vector<BatchPart>& parts) {
  int place = 0;
  for (const BatchPart& part : parts) {
    Slot& one = slot(part.slot);
    place += part.tokens;
    const auto first = one.job->tokens.begin() + static_cast<std::ptrdiff_t>(one.computed.size());
    one.computed.insert(one.computed.end(), first, first + part.tokens);
    if (part.last) take_token(one, place - 1);
  }
}

std::optional<FinishReason> Scheduler::end_of(const Job& job, TokenId token) const {
  const auto& ends = job.request.end_tokens;
  if (!job.request.ignore_end &&
      (deps_.model.is_end(token) || std::find(ends.begin(), ends.end(), token) != ends.end()))
    return FinishReason::Stop;
  if (job.generated >= job.request.max_new_tokens) return FinishReason::Length;
  return std::nullopt;
}

void Scheduler::take_token(Slot& one, int place) {
  Job& job = *one.job;
  const std::span<float> logits = deps_.decoder.logits(place);
  Choice choice;
  if (job.generated < job.request.min_new_tokens) {
    choice = job.sampler.choose(logits, deps_.model.end_tokens(), scratch_);
  } else {
    choice = job.sampler.choose(logits, scratch_);
  }
  const TokenId token = choice.token;
  ++job.generated;
  deps_.metrics.generation_tokens.increment();
  const auto end = end_of(job, token);
  if (end != FinishReason::Stop) job.chunk.tokens.push_back(std::move(choice));
  const SteadyTime now = deps_.clock.steady();
  if (job.generated == 1) {
    job.first_token = now;
    deps_.metrics.time_to_first_token.observe(seconds_between(job.arrived, now));
  } else {
    deps_.metrics.time_per_output_token.observe(seconds_between(job.last_chunk, now));
  }
  job.last_chunk = now;
  if (end) return finish(one, *end);
  job.tokens.push_back(token);
  if (static_cast<int>(job.chunk.tokens.size()) < job.request.chunk_tokens) return;
  job.generation->deliver(std::exchange(job.chunk, {}));
}

void Scheduler::finish(Slot& one, FinishReason reason) {
  report(*one.job, reason);
  one.job.reset();
  one.last_used = ++uses_;
  trim_idle();
}

void Scheduler::trim_idle() {
  // Attention looks at every cell in use, also at those of idle slots: keep the last conversation,
  // and others only while they are small.
  const auto limit = static_cast<std::size_t>(options_.context_tokens / 2);
  for (;;) {
    Slot* oldest = nullptr;
    Slot* newest = nullptr;
    std::size_t idle_tokens = 0;
    for (Slot& one : slots_) {
      if (one.job || one.computed.empty()) continue;
      idle_tokens += one.computed.size();
      if (!oldest || one.last_used < oldest->last_used) oldest = &one;
      if (!newest || one.last_used > newest->last_used) newest = &one;
    }
    if (idle_tokens <= limit || oldest == newest) return;
    deps_.decoder.truncate(oldest->sequence, 0);
    oldest->computed.clear();
  }
}

void Scheduler::report(const Job& job, FinishReason reason) const {
  TokenChunk last = job.chunk;
  last.finished = GenerationSummary{.reason = reason,
                                    .prompt_tokens = static_cast<int>(job.request.prompt.size()),
                                    .cached_tokens = job.cached,
                                    .generated_tokens = job.generated};
  const ServingMetrics& metrics = deps_.metrics;
  const SteadyTime now = deps_.clock.steady();
  if (job.generated > 0) {
    metrics.prefill_time.observe(seconds_between(job.begun, job.first_token));
    metrics.decode_time.observe(seconds_between(job.first_token, now));
    metrics.inference_time.observe(seconds_between(job.begun, now));
  }
  metrics.request_latency.observe(seconds_between(job.arrived, now));
  metrics.request_prompt_tokens.observe(static_cast<double>(job.request.prompt.size()));
  metrics.request_generation_tokens.observe(job.generated);
  metrics.request_max_tokens.observe(job.request.max_new_tokens);
  switch (reason) {
    case FinishReason::Stop:
      metrics.finished_stop.increment();
      break;
    case FinishReason::Length:
      metrics.finished_length.increment();
      break;
    case FinishReason::Cancelled:
    case FinishReason::Failed:
      metrics.finished_abort.increment();
      break;
  }
  job.generation->deliver(std::move(last));
}

void Scheduler::fail_running(const Error& error) {
  const bool stopped = error.code() == ErrorCode::Cancelled;
  for (Slot& one : slots_) {
    if (one.job) finish(one, stopped ? FinishReason::Cancelled : FinishReason::Failed);
    // What the cache holds is not known any more.
    deps_.decoder.truncate(one.sequence, 0);
    one.computed.clear();
  }
}

void Scheduler::update_gauges() {
  std::size_t running = 0;
  std::size_t used = 0;
  for (const Slot& one : slots_) {
    if (!one.job) continue;
    ++running;
    used += one.computed.size();
  }
  const std::size_t waiting = waiting_.with([](const auto& queue) { return queue.size(); });
  deps_.metrics.requests_running.set(static_cast<double>(running));
  deps_.metrics.requests_waiting.set(static_cast<double>(waiting + put_back_.size()));
  const double share = static_cast<double>(used) / deps_.decoder.options().cache_tokens;
  deps_.metrics.cache_usage.set(std::min(share, 1.0));
  deps_.metrics.cache_usage_old_name.set(std::min(share, 1.0));
}

}  // namespace inference

#include "nodeagent/probes/prober.h"

#include <algorithm>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "base/queue.h"
#include "nodeagent/limits.h"

namespace nodeagent {
namespace {

constexpr std::size_t kWorkers = 4;
constexpr std::size_t kQueueCapacity = 4 * kMaxContainersRunning;
constexpr std::chrono::milliseconds kIdle{60'000};

struct ActiveProbe {
  ProbeKind kind;
  api::Probe probe;
  ProbeState state;
  bool in_flight = false;
};

struct Watched {
  std::shared_ptr<const CheckTarget> target;
  std::vector<ActiveProbe> probes;

  /// Liveness and readiness wait until the startup probe, if any, has passed.
  bool may_run(const ActiveProbe& probe) const {
    return probe.kind == ProbeKind::Startup ||
           std::ranges::none_of(probes, [](const ActiveProbe& other) {
             return other.kind == ProbeKind::Startup &&
                    other.state.verdict() != ProbeVerdict::Success;
           });
  }
  /// A passed startup probe has done its work; a failed one ends the container.
  static bool is_over(const ActiveProbe& probe) {
    return probe.kind == ProbeKind::Startup && probe.state.verdict() != ProbeVerdict::Unknown;
  }
};

struct Job {
  std::function<void(const base::Context&)> run;
};

}  // namespace

struct Prober::State {
  State(const base::Context& context, const Checker& check, Report on_report)
      : ctx(context), checker(check), report(std::move(on_report)) {}

  base::Context ctx;
  const Checker& checker;
  Report report;
  base::Guarded<std::map<std::string, Watched>> watched;
  base::Queue<Job> jobs{kQueueCapacity};
  base::Queue<bool> wake{1};
  std::vector<std::jthread> threads;

  /// Hands out what is due; returns how long to wait for the next.
  std::chrono::nanoseconds step();
  void run_probe(const base::Context& job_ctx, const std::shared_ptr<const CheckTarget>& target,
                 ProbeKind kind, const api::Probe& probe, std::chrono::milliseconds timeout);
  void rethink() {
    if (!wake.try_push(true)) return;  // One is waiting already.
  }
};

std::chrono::nanoseconds Prober::State::step() {
  const auto now = std::chrono::steady_clock::now();
  auto next = now + kIdle;
  std::vector<Job> due;
  watched.with([&](auto& map) {
    for (auto& [id, container] : map) {
      for (ActiveProbe& probe : container.probes) {
        if (probe.in_flight || Watched::is_over(probe) || !container.may_run(probe)) continue;
        if (probe.state.next_due() > now) {
          next = std::min(next, probe.state.next_due());
          continue;
        }
        probe.in_flight = true;
        due.push_back({[this, target = container.target, kind = probe.kind, what = probe.probe,
                        timeout = probe.state.timeout()](const base::Context& job_ctx) {
          run_probe(job_ctx, target, kind, what, timeout);
        }});
      }
    }
  });
  for (Job& job : due) {
    if (!jobs.try_push(std::move(job)))
      break;  // Only when stopping: the capacity covers every probe.
  }
  return next - now;
}

void Prober::State::run_probe(const base::Context& job_ctx,
                              const std::shared_ptr<const CheckTarget>& target, ProbeKind kind,
                              const api::Probe& probe, std::chrono::milliseconds timeout) {
  const base::Status outcome = checker.run(job_ctx, *target, probe, timeout);
  if (job_ctx.stopped()) return;
  std::optional<ProbeReport> news;
  watched.with([&](auto& map) {
    const auto found = map.find(target->runtime_id);
    if (found == map.end()) return;
    for (ActiveProbe& active : found->second.probes) {
      if (active.kind != kind) continue;
      active.in_flight = false;
      const bool changed =
          active.state.observe(outcome.has_value(), std::chrono::steady_clock::now());
      if (!changed && outcome) continue;
      news = ProbeReport{target->runtime_id, kind, active.state.verdict(),
                         outcome ? "" : outcome.error().message(), changed};
    }
  });
  if (news) report(*news);
  rethink();
}

Prober::Prober(const base::Context& ctx, const Checker& checker, Report report)
    : state_(std::make_unique<State>(ctx, checker, std::move(report))) {
  state_->threads.emplace_back([state = state_.get()](const std::stop_token& stop) {
    while (!stop.stop_requested()) (void)state->wake.pop_for(stop, state->step());
  });
  for (std::size_t i = 0; i < kWorkers; ++i) {
    state_->threads.emplace_back([state = state_.get()](const std::stop_token& stop) {
      const base::Context ctx_of_thread = state->ctx.with_stop(stop);
      while (std::optional<Job> job = state->jobs.pop(stop)) job->run(ctx_of_thread);
    });
  }
}

Prober::~Prober() {
  for (std::jthread& thread : state_->threads) thread.request_stop();
  state_->threads.clear();
}

void Prober::watch(CheckTarget target, base::SteadyTime started) {
  Watched container;
  const auto add = [&](ProbeKind kind, const std::optional<api::Probe>& probe) {
    if (probe) container.probes.push_back({kind, *probe, ProbeState(kind, *probe, started)});
  };
  add(ProbeKind::Startup, target.container.startup_probe);
  add(ProbeKind::Liveness, target.container.liveness_probe);
  add(ProbeKind::Readiness, target.container.readiness_probe);
  if (container.probes.empty()) return;
  const std::string id = target.runtime_id;
  container.target = std::make_shared<const CheckTarget>(std::move(target));
  state_->watched.with([&](auto& map) { map.emplace(id, std::move(container)); });
  state_->rethink();
}

void Prober::forget(const std::string& runtime_id) {
  state_->watched.with([&](auto& map) { map.erase(runtime_id); });
}

void Prober::run_hook(CheckTarget target, api::LifecycleHandler hook,
                      std::chrono::milliseconds timeout, std::function<void(base::Status)> done) {
  Job job{
      [checker = &state_->checker, target = std::move(target), hook = std::move(hook), timeout,
       done](const base::Context& job_ctx) { done(checker->run(job_ctx, target, hook, timeout)); }};
  if (!state_->jobs.try_push(std::move(job))) {
    done(base::Error(base::ErrorCode::Unavailable, "too many hooks and probes wait"));
  }
}

}  // namespace nodeagent

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/context.h"
#include "nodeagent/probes/check.h"
#include "nodeagent/probes/probe_state.h"

namespace nodeagent {

struct ProbeReport {
  std::string runtime_id;
  ProbeKind kind = ProbeKind::Readiness;
  ProbeVerdict verdict = ProbeVerdict::Unknown;
  std::string message;   ///< Why the latest attempt failed; "" when it passed.
  bool changed = false;  ///< Whether the verdict is new; otherwise one more failed attempt.
};

/// Probes running containers from a few threads and runs their hooks. Liveness and readiness wait
/// for the startup probe. Safe from many threads.
class Prober {
 public:
  /// Called on the prober's threads; must only hand over.
  using Report = std::function<void(const ProbeReport&)>;

  Prober(const base::Context& ctx, const Checker& checker, Report report);
  /// Stops and joins.
  ~Prober();

  /// Starts the probes of a container that has just started.
  void watch(CheckTarget target, base::SteadyTime started);
  void forget(const std::string& runtime_id);
  /// Runs a hook; `done` gets its outcome on a thread of the prober.
  void run_hook(CheckTarget target, api::LifecycleHandler hook, std::chrono::milliseconds timeout,
                std::function<void(base::Status)> done);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nodeagent

#include "nodeagent/lifecycle/plan.h"

#include <algorithm>

namespace nodeagent {
namespace {

const ContainerRecord& record_of(const PodRecord& record, const api::Container& container) {
  static const ContainerRecord kNew;
  const auto found = record.containers.find(container.name);
  return found == record.containers.end() ? kNew : found->second;
}

bool is_done(ContainerRole role, const std::string& policy, const ContainerRecord& container) {
  return container.phase == ContainerPhase::Ended && !will_restart(role, policy, *container.last);
}

bool init_failed(const api::Pod& pod, const PodRecord& record) {
  return std::ranges::any_of(pod.spec.init_containers, [&](const api::Container& container) {
    const ContainerRecord& state = record_of(record, container);
    return role_of_init(container) == ContainerRole::Init &&
           is_done(ContainerRole::Init, pod.spec.restart_policy, state) &&
           state.last->exit_code != 0;
  });
}

bool mains_done(const api::Pod& pod, const PodRecord& record) {
  return std::ranges::all_of(pod.spec.containers, [&](const api::Container& container) {
    return is_done(ContainerRole::Main, pod.spec.restart_policy, record_of(record, container));
  });
}

/// Collects actions; remembers the next moment something is due.
class Planner {
 public:
  Planner(const PodRecord& record, base::SteadyTime now) : record_(record), now_(now) {}

  void wake_at(base::SteadyTime when) {
    plan_.wake_at = std::min(plan_.wake_at.value_or(when), when);
  }

  void start_when_due(const api::Container& container) {
    const ContainerRecord& state = record_of(record_, container);
    if (state.phase == ContainerPhase::Running) return;
    if (state.not_before > now_) return wake_at(state.not_before);
    plan_.actions.push_back({ActionKind::Start, container.name});
  }

  void stop(const api::Container& container) {
    const ContainerRecord& state = record_of(record_, container);
    if (state.phase == ContainerPhase::Running && !state.stop) {
      plan_.actions.push_back({ActionKind::Stop, container.name});
    }
  }

  /// Ends what outlived its grace period, whoever asked it to stop.
  void enforce_stop(const api::Container& container) {
    const ContainerRecord& state = record_of(record_, container);
    if (state.phase != ContainerPhase::Running) return;
    plan_.all_ended = false;
    if (!state.stop || state.stop->killed) return;
    if (state.stop->kill_at > now_) return wake_at(state.stop->kill_at);
    plan_.actions.push_back({ActionKind::Kill, container.name});
  }

  Plan take() { return std::move(plan_); }

 private:
  const PodRecord& record_;
  base::SteadyTime now_;
  Plan plan_;
};

bool any_running(const std::vector<api::Container>& containers, const PodRecord& record) {
  return std::ranges::any_of(containers, [&](const api::Container& container) {
    return record_of(record, container).phase == ContainerPhase::Running;
  });
}

/// Main containers stop first; sidecars serve them to the end.
void stop_all(const api::Pod& pod, const PodRecord& record, Planner& planner) {
  for (const api::Container& container : pod.spec.containers) planner.stop(container);
  const bool mains_run = any_running(pod.spec.containers, record);
  for (const api::Container& container : pod.spec.init_containers) {
    if (role_of_init(container) == ContainerRole::Init || !mains_run) planner.stop(container);
  }
}

/// True when the main containers may start.
bool advance_init(const api::Pod& pod, const PodRecord& record, Planner& planner) {
  for (const api::Container& container : pod.spec.init_containers) {
    const ContainerRecord& state = record_of(record, container);
    const ContainerRole role = role_of_init(container);
    if (role == ContainerRole::Sidecar) {
      planner.start_when_due(container);
      if (state.phase != ContainerPhase::Running || !state.started) return false;
      continue;
    }
    if (is_done(role, pod.spec.restart_policy, state)) continue;
    planner.start_when_due(container);
    return false;
  }
  return true;
}

}  // namespace

std::chrono::milliseconds next_backoff(const BackoffPolicy& policy,
                                       std::chrono::milliseconds before,
                                       std::chrono::nanoseconds ran_for) {
  if (before.count() == 0 || ran_for >= policy.reset_after) return policy.base;
  return std::min(before * 2, policy.max);
}

ContainerRole role_of_init(const api::Container& container) {
  return container.restart_policy.value_or("") == "Always" ? ContainerRole::Sidecar
                                                           : ContainerRole::Init;
}

bool will_restart(ContainerRole role, std::string_view restart_policy, const Termination& last) {
  if (role == ContainerRole::Sidecar) return true;
  if (restart_policy == "Never") return false;
  if (role == ContainerRole::Init || restart_policy == "OnFailure") return last.exit_code != 0;
  return true;
}

Plan next_actions(const api::Pod& pod, const PodRecord& record, base::SteadyTime now) {
  Planner planner(record, now);
  const bool finished = mains_done(pod, record) || init_failed(pod, record);
  if (record.removing || !record.failed_reason.empty() || finished) {
    stop_all(pod, record, planner);
  } else {
    if (pod.spec.active_deadline_seconds) {
      planner.wake_at(record.start_steady +
                      std::chrono::seconds(*pod.spec.active_deadline_seconds));
    }
    if (advance_init(pod, record, planner)) {
      for (const api::Container& container : pod.spec.containers) {
        if (!is_done(ContainerRole::Main, pod.spec.restart_policy, record_of(record, container))) {
          planner.start_when_due(container);
        }
      }
    }
  }
  for (const auto* containers : {&pod.spec.init_containers, &pod.spec.containers}) {
    for (const api::Container& container : *containers) planner.enforce_stop(container);
  }
  return planner.take();
}

std::string pod_phase(const api::Pod& pod, const PodRecord& record) {
  if (!record.failed_reason.empty() || init_failed(pod, record)) return "Failed";
  if (mains_done(pod, record)) {
    const bool succeeded =
        std::ranges::all_of(pod.spec.containers, [&](const api::Container& container) {
          return record_of(record, container).last->exit_code == 0;
        });
    return succeeded ? "Succeeded" : "Failed";
  }
  const bool begun = std::ranges::any_of(pod.spec.containers, [&](const api::Container& container) {
    return record_of(record, container).phase != ContainerPhase::Waiting;
  });
  return begun ? "Running" : "Pending";
}

}  // namespace nodeagent

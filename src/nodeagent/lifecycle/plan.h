#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/core/pod.h"
#include "base/clock.h"
#include "nodeagent/lifecycle/record.h"

namespace nodeagent {

enum class ActionKind {
  Start,
  Stop,  ///< preStop and SIGTERM, then SIGKILL after the pod's grace period.
  Kill   ///< SIGKILL now: the grace period is over.
};

struct Action {
  ActionKind kind;
  std::string container;
  friend bool operator==(const Action&, const Action&) = default;
};

/// What to do now and when to look again.
struct Plan {
  std::vector<Action> actions;
  std::optional<base::SteadyTime> wake_at;
  bool all_ended = true;  ///< No container runs.
};

/// What the pod needs next. Pure: the same pod, record and time give the same plan; the caller
/// carries the actions out, notes them in the record and asks again after any change.
Plan next_actions(const api::Pod& pod, const PodRecord& record, base::SteadyTime now);

/// `Pending`, `Running`, `Succeeded` or `Failed`.
std::string pod_phase(const api::Pod& pod, const PodRecord& record);

}  // namespace nodeagent

#pragma once

#include <optional>

#include "api/core/pod.h"
#include "base/clock.h"
#include "json/value.h"
#include "nodeagent/images.h"
#include "nodeagent/lifecycle/record.h"

namespace nodeagent {

/// The status of the pod as its record tells it. Conditions of others (PodScheduled) are kept, and
/// transition times change only with the status. Pure.
api::PodStatus pod_status(const api::Pod& pod, const PodRecord& record, base::SystemTime now);

/// Whether this condition is the node's to write, and not the scheduler's or another's.
bool is_own_condition(const api::PodCondition& condition);

/// The merge patch of `.status` that turns `before` into `after`; nothing when they are equal.
std::optional<json::Value> status_patch(const json::Value& before, const json::Value& after);

/// What earlier agents left in the pod's status: runs that were alive ended with them, finished
/// init containers stay finished, and restart counts go on.
PodRecord record_from_status(const api::Pod& pod, base::SystemTime now, base::SteadyTime steady);

}  // namespace nodeagent

#include "provision/drain.h"

#include <algorithm>

#include "json/codec.h"
#include "provision/labels.h"

namespace provision {
namespace {

/// How long a node may be not ready before its pods count as lost.
constexpr std::chrono::seconds kNotReadyTolerance{60};

bool goes_with_node(const PodSummary& pod) {
  if (pod.ended() || pod.metadata.annotations.contains("kubernetes.io/config.mirror")) return true;
  const api::OwnerReference* owner = api::find_controller(pod.metadata);
  return owner && owner->kind == "DaemonSet";
}

/// Nobody runs pods on the node any more.
bool is_abandoned(const api::Node& node, base::SystemTime now) {
  for (const api::NodeCondition& condition : node.status.conditions) {
    if (condition.type != "Ready") continue;
    if (condition.status == "True") return false;
    const auto since = base::parse_rfc3339(condition.last_transition_time);
    return !since || now - *since > kNotReadyTolerance;
  }
  // It never reported anything, so it never ran anything either.
  const auto created = base::parse_rfc3339(node.metadata.creation_timestamp);
  return !created || now - *created > kNotReadyTolerance;
}

}  // namespace

DrainPlan plan_drain(const api::Node& node,
                     const std::vector<std::shared_ptr<const PodSummary>>& pods,
                     base::SystemTime now, std::optional<base::SystemTime> deadline) {
  DrainPlan plan;
  const auto is_disrupted = [](const api::Taint& taint) { return taint.key == kDisruptedTaint; };
  if (!node.spec.unschedulable || std::ranges::none_of(node.spec.taints, is_disrupted)) {
    std::vector<api::Taint> taints = node.spec.taints;
    std::erase_if(taints, is_disrupted);
    taints.push_back({.key = std::string(kDisruptedTaint),
                      .value = {},
                      .effect = "NoSchedule",
                      .time_added = {}});
    plan.node_patch = json::Object{
        {"metadata",
         json::Object{{"resourceVersion", json::String(node.metadata.resource_version)}}},
        {"spec", json::Object{{"unschedulable", true}, {"taints", json::write_value(taints)}}}};
  }
  const bool forced = is_abandoned(node, now) || (deadline && now >= *deadline);
  for (const auto& pod : pods) {
    if (goes_with_node(*pod)) continue;
    plan.waits = true;
    if (forced) {
      plan.kill.push_back(pod);
    } else if (!pod->metadata.deleting()) {
      plan.evict.push_back(pod);
    }
  }
  return plan;
}

}  // namespace provision

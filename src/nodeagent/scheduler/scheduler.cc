#include "nodeagent/scheduler/scheduler.h"

#include <fmt/format.h>

#include <algorithm>

#include "nodeagent/scheduler/choose.h"

namespace nodeagent {
namespace {

bool wants_node(const api::Pod& pod) {
  return pod.spec.node_name.empty() && !pod.metadata.deleting() &&
         pod.status.phase != "Succeeded" && pod.status.phase != "Failed" &&
         (pod.spec.scheduler_name.empty() || pod.spec.scheduler_name == "default-scheduler");
}

}  // namespace

std::vector<api::ObjectKey> Scheduler::pending() const {
  std::vector<api::ObjectKey> keys;
  for (const auto& pod : deps_.pods.list()) {
    if (wants_node(*pod)) keys.push_back(pod->metadata.key());
  }
  return keys;
}

std::vector<std::shared_ptr<const api::Pod>> Scheduler::pods_on(
    const std::vector<std::shared_ptr<const api::Node>>& nodes) {
  std::erase_if(assumed_, [&](const auto& entry) {
    const auto now = deps_.pods.get(entry.second->metadata.key());
    return !now || now->metadata.uid != entry.first || !now->spec.node_name.empty();
  });
  std::vector<std::shared_ptr<const api::Pod>> pods;
  for (const auto& node : nodes) {
    for (auto& pod : deps_.pods.by_index(kByNode, node->metadata.name))
      pods.push_back(std::move(pod));
  }
  for (const auto& [uid, pod] : assumed_) pods.push_back(pod);
  return pods;
}

base::Result<kube::Requeue> Scheduler::reconcile(const base::Context& ctx,
                                                 const api::ObjectKey& key) {
  const auto pod = deps_.pods.get(key);
  if (!pod || !wants_node(*pod)) return kube::Requeue::none();
  std::vector<std::shared_ptr<const api::Node>> nodes = deps_.nodes.list();
  std::erase_if(nodes, [&](const auto& node) {
    return !deps_.is_local_node(*node) || node->metadata.deleting();
  });
  const std::vector<std::shared_ptr<const api::Pod>> pods = pods_on(nodes);
  if (assumed_.contains(pod->metadata.uid)) return kube::Requeue::none();
  const Choice choice = choose_node(*pod, usage_of(nodes, pods));
  if (choice.node.empty()) {
    TRY(report(ctx, *pod, choice.message));
    return kube::Requeue::none();
  }
  TRY(bind(ctx, *pod, choice.node));
  return kube::Requeue::none();
}

base::Status Scheduler::bind(const base::Context& ctx, const api::Pod& pod,
                             const std::string& node) {
  const json::Object patch{{"metadata", json::Object{{"uid", json::String(pod.metadata.uid)}}},
                           {"spec", json::Object{{"nodeName", json::String(node)}}}};
  const auto bound =
      deps_.client.patch(ctx, api::Pod::kType, pod.metadata.key(), kube::PatchType::Merge, patch);
  if (!bound) {
    // Gone, or bound by another: the watch brings the news.
    if (bound.error().code() == base::ErrorCode::NotFound) return {};
    return base::Error(bound.error()).context("binding to node " + node);
  }
  auto assumed = std::make_shared<api::Pod>(pod);
  assumed->spec.node_name = node;
  assumed_[pod.metadata.uid] = std::move(assumed);
  deps_.events.record(
      kube::ObjectReference::of(pod), kube::EventType::Normal, "Scheduled",
      fmt::format("Successfully assigned {}/{} to {}", pod.metadata.ns, pod.metadata.name, node));
  return {};
}

base::Status Scheduler::report(const base::Context& ctx, const api::Pod& pod,
                               const std::string& message) {
  std::vector<api::PodCondition> conditions = pod.status.conditions;
  const auto found = std::ranges::find(conditions, "PodScheduled", &api::PodCondition::type);
  if (found != conditions.end() && found->status == "False" && found->message == message) return {};
  const std::string now = base::format_rfc3339(deps_.clock.now());
  api::PodCondition condition{.type = "PodScheduled",
                              .status = "False",
                              .last_transition_time = now,
                              .reason = "Unschedulable",
                              .message = message};
  if (found != conditions.end()) {
    if (found->status == "False") condition.last_transition_time = found->last_transition_time;
    *found = std::move(condition);
  } else {
    conditions.push_back(std::move(condition));
  }
  const json::Object status{{"conditions", json::encode(conditions)}};
  const auto written = kube::patch_status<api::Pod>(ctx, deps_.client, pod.metadata.key(), status);
  if (!written && written.error().code() != base::ErrorCode::NotFound) return written.error();
  deps_.events.record(kube::ObjectReference::of(pod), kube::EventType::Warning, "FailedScheduling",
                      message);
  return {};
}

}  // namespace nodeagent

#include "workloads/stateful_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace workloads {
namespace {

using base::ErrorCode;
using base::Status;

constexpr std::string_view kRevisionLabel = "controller-revision-hash";
constexpr std::string_view kPodNameLabel = "statefulset.kubernetes.io/pod-name";
constexpr std::string_view kPodIndexLabel = "apps.kubernetes.io/pod-index";
constexpr std::size_t kHashDigits = 10;

std::string label(const api::Pod& pod, std::string_view key) {
  const auto found = pod.metadata.labels.find(std::string(key));
  return found == pod.metadata.labels.end() ? std::string() : found->second;
}

/// The ordinal in `<set>-<ordinal>`; nothing for other names.
std::optional<std::int32_t> ordinal_of(const api::StatefulSet& set, const api::Pod& pod) {
  const std::string prefix = set.metadata.name + "-";
  const std::string& name = pod.metadata.name;
  if (!name.starts_with(prefix)) return std::nullopt;
  std::int32_t ordinal = 0;
  const auto [end, code] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), ordinal);
  if (code != std::errc{} || end != name.data() + name.size() || ordinal < 0) return std::nullopt;
  return ordinal;
}

api::Pod make_pod(const api::StatefulSet& set, std::int32_t ordinal, const std::string& revision) {
  api::Pod pod;
  pod.metadata.name = fmt::format("{}-{}", set.metadata.name, ordinal);
  pod.metadata.ns = set.metadata.ns;
  pod.metadata.labels = set.spec.pod_template.metadata.labels;
  pod.metadata.labels[std::string(kRevisionLabel)] = revision;
  pod.metadata.labels[std::string(kPodNameLabel)] = pod.metadata.name;
  pod.metadata.labels[std::string(kPodIndexLabel)] = fmt::format("{}", ordinal);
  pod.metadata.annotations = set.spec.pod_template.metadata.annotations;
  pod.metadata.owner_references.push_back(api::controller_reference(set));
  pod.spec = set.spec.pod_template.spec;
  pod.spec.hostname = pod.metadata.name;
  pod.spec.subdomain = set.spec.service_name;
  return pod;
}

using PodPointer = std::shared_ptr<const api::Pod>;

/// Creates the missing ordinals, as many as the policy allows.
void plan_creation(const api::StatefulSet& set, const std::map<std::int32_t, PodPointer>& by_ordinal, std::int32_t replicas, const std::string& revision, StatefulSetPlan& plan) {
  const bool parallel = set.spec.pod_management_policy == "Parallel";
  for (std::int32_t ordinal = 0; ordinal < replicas; ++ordinal) {
    const auto found = by_ordinal.find(ordinal);
    if (found == by_ordinal.end()) {
      plan.create.push_back(make_pod(set, ordinal, revision));
      if (!parallel) return;
    } else if (has_pod_ended(*found->second) && !found->second->metadata.deleting()) {
      // A pod that ended for good (an eviction, say) makes room for its successor.
      plan.remove.push_back(found->second->metadata.key());
      if (!parallel) return;
    } else if (!parallel && !is_pod_ready(*found->second)) {
      return;
    }
  }
}

/// Replaces one pod of an older revision, from the highest ordinal down.
void plan_update(const api::StatefulSet& set, const std::map<std::int32_t, PodPointer>& by_ordinal, std::int32_t replicas, const std::string& revision, StatefulSetPlan& plan) {
  if (set.spec.update_strategy.type == "OnDelete") return;
  std::int32_t partition = 0;
  if (set.spec.update_strategy.rolling_update) partition = set.spec.update_strategy.rolling_update->partition.value_or(0);
  for (auto at = by_ordinal.rbegin(); at != by_ordinal.rend(); ++at) {
    const api::Pod& pod = *at->second;
    if (at->first >= replicas || at->first < partition) continue;
    if (pod.metadata.deleting()) return;
    if (label(pod, kRevisionLabel) != revision) {
      plan.remove.push_back(pod.metadata.key());
      return;
    }
    if (!is_pod_ready(pod)) return;
  }
}

api::StatefulSetStatus observe(const api::StatefulSet& set, const std::map<std::int32_t, PodPointer>& by_ordinal, const std::string& revision) {
  api::StatefulSetStatus status;
  status.observed_generation = set.metadata.generation;
  status.collision_count = 0;
  status.update_revision = revision;
  status.current_revision = set.status.current_revision.empty() ? revision : set.status.current_revision;
  for (const auto& [ordinal, pod] : by_ordinal) {
    ++status.replicas;
    if (is_pod_ready(*pod) && !pod->metadata.deleting()) {
      ++status.ready_replicas;
      ++status.available_replicas;
    }
    if (label(*pod, kRevisionLabel) == revision) ++status.updated_replicas;
    if (label(*pod, kRevisionLabel) == status.current_revision) ++status.current_replicas;
  }
  if (status.updated_replicas == status.replicas && status.ready_replicas == set.spec.replicas.value_or(1)) {
    status.current_revision = revision;
    status.current_replicas = status.replicas;
  }
  return status;
}

}  // namespace

std::vector<std::string> controller_uid(const api::Pod& pod) {
  const api::OwnerReference* owner = api::find_controller(pod.metadata);
  return owner ? std::vector<std::string>{owner->uid} : std::vector<std::string>{};
}

bool is_pod_ready(const api::Pod& pod) {
  return std::any_of(pod.status.conditions.begin(), pod.status.conditions.end(), [](const auto& c) { return c.type == "Ready" && c.status == "True"; });
}

bool has_pod_ended(const api::Pod& pod) { return pod.status.phase == "Failed" || pod.status.phase == "Succeeded"; }

std::string revision_name(const api::StatefulSet& set) {
  return fmt::format("{}-{}", set.metadata.name, json::hash(json::encode(set.spec.pod_template)).substr(0, kHashDigits));
}

StatefulSetPlan plan_stateful_set(const api::StatefulSet& set, const std::vector<PodPointer>& pods) {
  StatefulSetPlan plan;
  const std::int32_t replicas = set.spec.replicas.value_or(1);
  const std::string revision = revision_name(set);
  std::map<std::int32_t, PodPointer> by_ordinal;
  for (const PodPointer& pod : pods) {
    if (const auto ordinal = ordinal_of(set, *pod)) by_ordinal[*ordinal] = pod;
  }
  plan.status = observe(set, by_ordinal, revision);
  if (set.metadata.deleting()) return plan;
  plan_creation(set, by_ordinal, replicas, revision, plan);
  // What is too many goes highest first; in order, one at a time.
  for (auto at = by_ordinal.rbegin(); at != by_ordinal.rend() && at->first >= replicas; ++at) {
    if (!at->second->metadata.deleting()) plan.remove.push_back(at->second->metadata.key());
    if (set.spec.pod_management_policy != "Parallel") break;
  }
  if (plan.create.empty() && plan.remove.empty()) plan_update(set, by_ordinal, replicas, revision, plan);
  return plan;
}

Status StatefulSetController::keep_revision(const base::Context& ctx, const api::StatefulSet& set) {
  if (set.status.update_revision == revision_name(set)) return {};
  api::ControllerRevision revision;
  revision.metadata.name = revision_name(set);
  revision.metadata.ns = set.metadata.ns;
  revision.metadata.labels = set.spec.selector.match_labels;
  revision.metadata.owner_references.push_back(api::controller_reference(set));
  revision.data = json::Object{{"spec", json::Object{{"template", json::encode(set.spec.pod_template)}}}};
  revision.revision = set.metadata.generation;
  auto created = kube::create(ctx, deps_.client, revision);
  if (!created && created.error().code() != ErrorCode::AlreadyExists) return std::move(created).error();
  return {};
}

base::Result<kube::Requeue> StatefulSetController::reconcile(const base::Context& ctx, const api::ObjectKey& key) {
  const auto set = deps_.sets.get(key);
  if (!set) return kube::Requeue::none();
  if (!set->spec.volume_claim_templates.empty()) {
    deps_.events.record(kube::ObjectReference::of(*set), kube::EventType::Warning, "FailedCreate", "volumeClaimTemplates are not supported on this machine; use hostPath or emptyDir volumes");
    return kube::Requeue::none();
  }
  const std::vector<PodPointer> pods = deps_.pods.by_index(kByOwner, set->metadata.uid);
  const StatefulSetPlan plan = plan_stateful_set(*set, pods);
  if (!set->metadata.deleting()) TRY(keep_revision(ctx, *set));
  for (const api::Pod& pod : plan.create) {
    auto created = kube::create(ctx, deps_.client, pod);
    if (created) {
      deps_.events.record(kube::ObjectReference::of(*set), kube::EventType::Normal, "SuccessfulCreate", fmt::format("create Pod {} in StatefulSet {} successful", pod.metadata.name, key.name));
    } else if (created.error().code() != ErrorCode::AlreadyExists) {
      deps_.events.record(kube::ObjectReference::of(*set), kube::EventType::Warning, "FailedCreate", created.error().message());
      return std::move(created).error();
    }
  }
  for (const api::ObjectKey& pod : plan.remove) {
    // Its successor has the same name: only the pod that was looked at may go.
    const auto seen = std::find_if(pods.begin(), pods.end(), [&](const PodPointer& other) { return other->metadata.key() == pod; });
    kube::DeleteOptions options;
    options.uid = (*seen)->metadata.uid;
    const Status removed = kube::remove<api::Pod>(ctx, deps_.client, pod, options);
    const bool is_other = !removed && removed.error().code() == ErrorCode::Conflict;
    if (!removed && !is_other && removed.error().code() != ErrorCode::NotFound) return removed.error();
  }
  if (!json::equal(json::encode(plan.status), json::encode(set->status))) {
    auto written = kube::patch_status<api::StatefulSet>(ctx, deps_.client, key, json::encode(plan.status));
    if (!written && written.error().code() != ErrorCode::NotFound) return std::move(written).error();
  }
  return kube::Requeue::none();
}

}  // namespace workloads

#include "provision/controller.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/core/pod.h"
#include "provision/labels.h"

namespace provision {
namespace {

using base::ErrorCode;
using base::Status;

constexpr auto kRemovalPoll = std::chrono::seconds(5);

bool has_finalizer(const api::ObjectMeta& metadata) {
  return std::find(metadata.finalizers.begin(), metadata.finalizers.end(), kTerminationFinalizer) != metadata.finalizers.end();
}

json::Array finalizers_with(const api::ObjectMeta& metadata, bool ours) {
  json::Array list;
  for (const std::string& name : metadata.finalizers) {
    if (name != kTerminationFinalizer) list.emplace_back(json::String(name));
  }
  if (ours) list.emplace_back(json::String(kTerminationFinalizer));
  return list;
}

Status ignore_not_found(Status status) {
  if (!status && status.error().code() == ErrorCode::NotFound) return {};
  return status;
}

}  // namespace

base::Result<kube::Requeue> ClaimController::reconcile(const base::Context& ctx, const api::ObjectKey& key) {
  const std::optional<Claim> claim = deps_.observer.claim(key.name);
  if (!claim) {
    TRY(collect(ctx, key.name));
    return kube::Requeue::none();
  }
  if (claim->metadata.deleting()) return finalize(ctx, *claim);
  TRY(ensure_finalizer(ctx, *claim));

  Progress progress;
  const auto node = deps_.observer.node(claim->metadata.name);
  const bool was_registered = !claim->status.node_name.empty();
  if (was_registered && !node) {
    // The copy may lag; the server knows.
    const auto live = kube::get<api::Node>(ctx, deps_.client, {"", claim->status.node_name});
    if (!live && live.error().code() == ErrorCode::NotFound) {
      deps_.events.record({claim_type(claim->kind), claim->metadata.key(), claim->metadata.uid}, kube::EventType::Warning, "NodeGone",
                          fmt::format("node {} was deleted; this claim ends with it", claim->status.node_name));
      TRY(ignore_not_found(deps_.client.remove(ctx, claim_type(claim->kind), claim->metadata.key())));
      return kube::Requeue::none();
    }
  }
  if (claim->status.provider_id.empty() || !node) {
    const auto request = to_request(*claim);
    auto launched = request ? deps_.cloud.create(ctx, *request) : base::Result<Instance>(request.error());
    if (launched) {
      progress.instance = *std::move(launched);
    } else {
      progress.launch_error = launched.error();
    }
  } else {
    progress.instance = Instance{claim->status.provider_id, claim->metadata.name, claim->status.image_id, claim->status.capacity, false};
  }
  progress.node = node.get();
  TRY(write_status(ctx, *claim, compute_status(*claim, progress, base::format_rfc3339(deps_.clock.now()))));
  if (node && is_node_ready(*node) && !node->metadata.labels.contains(std::string(kLabelInitialized))) {
    const json::Object patch{{"metadata", json::Object{{"labels", json::Object{{kLabelInitialized, "true"}}}}}};
    TRY(deps_.client.patch(ctx, api::Node::kType, {"", node->metadata.name}, kube::PatchType::Merge, patch));
  }
  if (progress.launch_error && progress.launch_error->code() != ErrorCode::Invalid) return *progress.launch_error;
  return kube::Requeue::none();
}

Status ClaimController::ensure_finalizer(const base::Context& ctx, const Claim& claim) {
  if (has_finalizer(claim.metadata)) return {};
  const json::Object patch{{"metadata", json::Object{{"finalizers", finalizers_with(claim.metadata, true)}, {"resourceVersion", json::String(claim.metadata.resource_version)}}}};
  TRY(deps_.client.patch(ctx, claim_type(claim.kind), claim.metadata.key(), kube::PatchType::Merge, patch));
  return {};
}

Status ClaimController::write_status(const base::Context& ctx, const Claim& claim, const api::NodeClaimStatus& wanted) {
  const json::Value encoded = json::encode(wanted);
  if (json::equal(encoded, json::encode(claim.status))) return {};
  kube::WriteOptions options;
  options.subresource = "status";
  TRY(base::with_context(deps_.client.patch(ctx, claim_type(claim.kind), claim.metadata.key(), kube::PatchType::Merge, json::Object{{"status", encoded}}, options),
                         "writing the status"));
  return {};
}

Status ClaimController::collect(const base::Context& ctx, const std::string& name) {
  const auto node = deps_.observer.node(name);
  if (!node || !node->metadata.labels.contains(std::string(kLabelClaim)) || node->metadata.deleting()) return {};
  return ignore_not_found(deps_.cloud.remove(ctx, node->spec.provider_id));
}

/// True once no pod is left on the node.
base::Result<bool> ClaimController::drain(const base::Context& ctx, const api::Node& node) {
  const auto& taints = node.spec.taints;
  const bool tainted = std::any_of(taints.begin(), taints.end(), [](const api::Taint& t) { return t.key == kDisruptedTaint; });
  if (!tainted) {
    std::vector<api::Taint> wanted = taints;
    wanted.push_back({.key = std::string(kDisruptedTaint), .value = "", .effect = "NoSchedule", .time_added = ""});
    const json::Object patch{{"spec", json::Object{{"unschedulable", true}, {"taints", json::write_value(wanted)}}}};
    TRY(deps_.client.patch(ctx, api::Node::kType, {"", node.metadata.name}, kube::PatchType::Merge, patch));
  }
  const auto pods = deps_.observer.pods_on(node.metadata.name);
  for (const api::ObjectKey& pod : pods) TRY(ignore_not_found(kube::remove<api::Pod>(ctx, deps_.client, pod)));
  return pods.empty();
}

base::Result<kube::Requeue> ClaimController::finalize(const base::Context& ctx, const Claim& claim) {
  if (!has_finalizer(claim.metadata)) return kube::Requeue::none();
  if (const auto node = deps_.observer.node(claim.metadata.name); node && !node->metadata.deleting()) {
    const bool empty = TRY(drain(ctx, *node));
    if (!empty) return kube::Requeue::after(kRemovalPoll);  // The pods' ends are events too.
  }
  if (!claim.status.provider_id.empty()) {
    const Status removed = deps_.cloud.remove(ctx, claim.status.provider_id);
    if (removed) return kube::Requeue::after(kRemovalPoll);
    if (removed.error().code() != ErrorCode::NotFound) return removed.error();
  }
  const json::Object patch{{"metadata", json::Object{{"finalizers", finalizers_with(claim.metadata, false)}}}};
  auto released = deps_.client.patch(ctx, claim_type(claim.kind), claim.metadata.key(), kube::PatchType::Merge, patch);
  if (!released && released.error().code() != ErrorCode::NotFound) return std::move(released).error();
  return kube::Requeue::none();
}

}  // namespace provision

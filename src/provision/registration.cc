#include "provision/registration.h"

#include <algorithm>
#include <utility>

#include "json/codec.h"
#include "provision/labels.h"

namespace provision {
namespace {

constexpr std::string_view kGroupPrefix = "karpenter.sh/";

bool is_same_taint(const api::Taint& a, const api::Taint& b) {
  return a.key == b.key && a.effect == b.effect;
}

/// The node's taints with the claim's, without the one that says unregistered.
std::vector<api::Taint> merged_taints(const InstanceRequest& request, const api::Node& node) {
  std::vector<api::Taint> taints;
  for (const api::Taint& taint : node.spec.taints) {
    if (taint.key != kUnregisteredTaint) taints.push_back(taint);
  }
  if (node.metadata.labels.contains(std::string(kLabelDoNotSyncTaints))) return taints;
  for (const api::Taint& wanted : request.taints) {
    const auto same = [&](const api::Taint& taint) { return is_same_taint(taint, wanted); };
    if (std::ranges::none_of(taints, same)) taints.push_back(wanted);
  }
  return taints;
}

/// The owners of `node` with the claim among them; an earlier claim of that name is replaced.
std::vector<api::OwnerReference> merged_owners(const InstanceRequest& request,
                                               const api::Node& node) {
  std::vector<api::OwnerReference> owners;
  for (const api::OwnerReference& owner : node.metadata.owner_references) {
    const bool is_earlier = owner.kind == request.claim_kind && owner.name == request.claim_name &&
                            owner.uid != request.claim_uid;
    if (!is_earlier) owners.push_back(owner);
  }
  const auto is_claim = [&](const api::OwnerReference& owner) {
    return owner.uid == request.claim_uid;
  };
  if (std::ranges::none_of(owners, is_claim)) {
    owners.push_back({.api_version = request.claim_api_version,
                      .kind = request.claim_kind,
                      .name = request.claim_name,
                      .uid = request.claim_uid,
                      .controller = {},
                      .block_owner_deletion = true});
  }
  return owners;
}

template <class T>
bool differ(const std::vector<T>& a, const std::vector<T>& b) {
  return !json::equal(json::write_value(a), json::write_value(b));
}

}  // namespace

std::optional<json::Value> plan_registration(const Claim& claim, const InstanceRequest& request,
                                             const api::Node& node) {
  if (node.metadata.deleting() || claim.metadata.deleting()) return std::nullopt;
  json::Object metadata;
  json::Object spec;
  const auto owners = merged_owners(request, node);
  if (differ(owners, node.metadata.owner_references)) {
    metadata["ownerReferences"] = json::write_value(owners);
  }
  const auto registered = node.metadata.labels.find(std::string(kLabelRegistered));
  if (registered == node.metadata.labels.end() || registered->second != "true") {
    json::Object labels{{kLabelRegistered, "true"}};
    for (const auto& [key, value] : request.labels) labels[key] = json::String(value);
    metadata["labels"] = std::move(labels);
    const auto taints = merged_taints(request, node);
    if (differ(taints, node.spec.taints)) spec["taints"] = json::write_value(taints);
  }
  if (!has_finalizer(node.metadata)) {
    json::Value patch = finalizer_patch(node.metadata, true);
    metadata["finalizers"] = patch.at("metadata").at("finalizers");
  }
  if (metadata.empty() && spec.empty()) return std::nullopt;
  metadata["resourceVersion"] = json::String(node.metadata.resource_version);
  json::Object patch{{"metadata", std::move(metadata)}};
  if (!spec.empty()) patch["spec"] = std::move(spec);
  return patch;
}

std::optional<json::Value> plan_initialization(const api::Node& node) {
  const auto label = node.metadata.labels.find(std::string(kLabelInitialized));
  if (label != node.metadata.labels.end() && label->second == "true") return std::nullopt;
  return json::Object{
      {"metadata", json::Object{{"labels", json::Object{{kLabelInitialized, "true"}}}}}};
}

std::string claim_of(const api::Node& node) {
  for (const api::OwnerReference& owner : node.metadata.owner_references) {
    const bool is_claim = owner.kind == "NodeClaim" || owner.kind == "Machine";
    if (is_claim && owner.api_version.starts_with(kGroupPrefix)) return owner.name;
  }
  const auto label = node.metadata.labels.find(std::string(kLabelClaim));
  return label == node.metadata.labels.end() ? std::string() : label->second;
}

bool has_finalizer(const api::ObjectMeta& metadata) {
  return std::ranges::find(metadata.finalizers, kTerminationFinalizer) != metadata.finalizers.end();
}

json::Value finalizer_patch(const api::ObjectMeta& metadata, bool present) {
  json::Array list;
  for (const std::string& name : metadata.finalizers) {
    if (name != kTerminationFinalizer) list.emplace_back(json::String(name));
  }
  if (present) list.emplace_back(json::String(kTerminationFinalizer));
  return json::Object{
      {"metadata", json::Object{{"finalizers", std::move(list)},
                                {"resourceVersion", json::String(metadata.resource_version)}}}};
}

}  // namespace provision

#include "provision/provisioner.h"

#include "api/core/pod.h"
#include "api/nodeclaim/machine.h"
#include "kube/cache/informer.h"
#include "kube/runtime/controller.h"
#include "provision/controller.h"
#include "provision/labels.h"

namespace provision {
namespace {

Claim to_claim(const api::NodeClaim& c) {
  return {ClaimKind::NodeClaim, c.metadata, c.spec.requirements, c.spec.taints, c.spec.resources.requests, c.status};
}

Claim to_claim(const api::Machine& m) {
  api::NodeClaimStatus status;
  status.node_name = m.status.node_name;
  status.provider_id = m.status.provider_id;
  status.capacity = m.status.capacity;
  status.allocatable = m.status.allocatable;
  status.conditions = m.status.conditions;
  return {ClaimKind::Machine, m.metadata, m.spec.requirements, m.spec.taints, m.spec.resources.requests, status};
}

constexpr const char* kByNode = "node";

/// Just enough of a pod to know where it runs and whether it ended.
bool has_ended(const api::Pod& pod) { return pod.status.phase == "Succeeded" || pod.status.phase == "Failed"; }

}  // namespace

struct Provisioner::Parts final : public Observer {
  explicit Parts(Deps given) : deps(std::move(given)), manager(deps.log), nodes(deps.client), pods(deps.client) {}

  base::Status wire(const base::Context& ctx) {
    const bool with_claims = TRY(has_resource(ctx, deps.client, api::NodeClaim::kType));
    const bool with_machines = TRY(has_resource(ctx, deps.client, api::Machine::kType));
    if (!with_claims && !with_machines) {
      return base::Error(base::ErrorCode::NotFound, "the server knows neither NodeClaims nor Machines; apply config/crd first");
    }
    events = kube::EventRecorder::create(ctx, deps.client, "kaito-provisioner");
    cloud = deps.make_cloud(deps.client, *events);
    reconciler = std::make_unique<ClaimController>(ClaimController::Deps{deps.client, *cloud, *this, *events, deps.clock});
    controller = std::make_unique<kube::Controller>(kube::Controller::Options{.name = "nodeclaim", .workers = 4}, *reconciler, deps.clock);
    if (with_claims) {
      node_claims = std::make_unique<kube::Informer<api::NodeClaim>>(deps.client);
      controller->watch(*node_claims);
      manager.add(*node_claims);
    }
    if (with_machines) {
      machines = std::make_unique<kube::Informer<api::Machine>>(deps.client);
      controller->watch(*machines);
      manager.add(*machines);
    }
    controller->watch_mapped<api::Node>(nodes, [](const api::Node& node) -> std::vector<api::ObjectKey> {
      const auto claim = node.metadata.labels.find(std::string(kLabelClaim));
      if (claim == node.metadata.labels.end()) return {};
      return {{"", claim->second}};
    });
    pods.add_index(kByNode, [](const api::Pod& pod) { return std::vector<std::string>{pod.spec.node_name}; });
    pods.add_handler([this](const kube::Change<api::Pod>& change) {
      // Only the end of a pod matters: a node may be waiting for it.
      if (change.kind == kube::ChangeKind::Deleted && !change.before->spec.node_name.empty()) controller->enqueue({"", change.before->spec.node_name});
    });
    manager.add(nodes);
    manager.add(pods);
    manager.add(*controller);
    return {};
  }

  std::optional<Claim> claim(const std::string& name) const override {
    if (node_claims) {
      if (const auto found = node_claims->get({"", name})) return to_claim(*found);
    }
    if (machines) {
      if (const auto found = machines->get({"", name})) return to_claim(*found);
    }
    return std::nullopt;
  }
  std::shared_ptr<const api::Node> node(const std::string& name) const override { return nodes.get({"", name}); }
  std::vector<api::ObjectKey> pods_on(const std::string& node_name) const override {
    std::vector<api::ObjectKey> keys;
    for (const auto& pod : pods.by_index(kByNode, node_name)) {
      if (!has_ended(*pod)) keys.push_back(pod->metadata.key());
    }
    return keys;
  }

  Deps deps;
  kube::Manager manager;
  kube::Informer<api::Node> nodes;
  kube::Informer<api::Pod> pods;
  std::unique_ptr<kube::Informer<api::NodeClaim>> node_claims;
  std::unique_ptr<kube::Informer<api::Machine>> machines;
  std::unique_ptr<kube::EventRecorder> events;
  std::unique_ptr<CloudProvider> cloud;
  std::unique_ptr<ClaimController> reconciler;
  std::unique_ptr<kube::Controller> controller;
};

Provisioner::Provisioner(Deps deps) : parts_(std::make_unique<Parts>(std::move(deps))) {}
Provisioner::~Provisioner() { stop(); }

base::Status Provisioner::start(const base::Context& ctx) {
  TRY(parts_->wire(ctx));
  return parts_->manager.start(ctx);
}

void Provisioner::stop() { parts_->manager.stop(); }

base::Result<bool> has_resource(const base::Context& ctx, kube::Client& client, const api::ResourceType& type) {
  kube::ListOptions one;
  one.limit = 1;
  const auto listed = client.list(ctx, type, one);
  if (listed) return true;
  if (listed.error().code() == base::ErrorCode::NotFound) return false;
  return listed.error();
}

}  // namespace provision

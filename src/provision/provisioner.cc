#include "provision/provisioner.h"

#include "api/nodeclaim/machine.h"
#include "kube/cache/informer.h"
#include "kube/runtime/controller.h"
#include "provision/controller.h"
#include "provision/registration.h"

namespace provision {
namespace {

constexpr const char* kByNode = "node";
constexpr const char* kByProviderId = "providerID";
constexpr const char* kByClaim = "claim";
constexpr std::size_t kWorkers = 4;

Claim to_claim(const api::NodeClaim& c) {
  return {.kind = ClaimKind::NodeClaim,
          .metadata = c.metadata,
          .requirements = c.spec.requirements,
          .taints = c.spec.taints,
          .startup_taints = c.spec.startup_taints,
          .requests = c.spec.resources.requests,
          .node_class = c.spec.node_class_ref,
          .termination_grace_period = c.spec.termination_grace_period,
          .status = c.status};
}

Claim to_claim(const api::Machine& m) {
  Claim claim{.kind = ClaimKind::Machine,
              .metadata = m.metadata,
              .requirements = m.spec.requirements,
              .taints = m.spec.taints,
              .startup_taints = m.spec.startup_taints,
              .requests = m.spec.resources.requests};
  claim.status.node_name = m.status.node_name;
  claim.status.provider_id = m.status.provider_id;
  claim.status.capacity = m.status.capacity;
  claim.status.allocatable = m.status.allocatable;
  claim.status.conditions = m.status.conditions;
  return claim;
}

std::vector<std::string> unless_empty(std::string value) {
  if (value.empty()) return {};
  return {std::move(value)};
}

}  // namespace

struct Provisioner::Parts final : public Observer {
  explicit Parts(Deps given)
      : deps(std::move(given)), manager(deps.log), nodes(deps.client), pods(deps.client) {}

  base::Status wire(const base::Context& ctx) {
    const bool with_claims = TRY(has_resource(ctx, deps.client, api::NodeClaim::kType));
    const bool with_machines = TRY(has_resource(ctx, deps.client, api::Machine::kType));
    if (!with_claims && !with_machines) {
      return base::Error(
          base::ErrorCode::NotFound,
          "the server knows neither NodeClaims nor Machines; apply config/crd first");
    }
    events = kube::EventRecorder::create(ctx, deps.client, "kaito-provisioner");
    cloud = deps.make_cloud(deps.client, *events);
    reconciler = std::make_unique<ClaimController>(
        ClaimController::Deps{deps.client, *cloud, *this, *events, deps.clock});
    controller = std::make_unique<kube::Controller>(
        kube::Controller::Options{.name = "nodeclaim", .workers = kWorkers}, *reconciler,
        deps.clock);
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
    watch_nodes();
    watch_pods();
    manager.add(*controller);
    return {};
  }

  void watch_nodes() {
    nodes.add_index(kByProviderId,
                    [](const api::Node& node) { return unless_empty(node.spec.provider_id); });
    nodes.add_index(kByClaim, [](const api::Node& node) { return unless_empty(claim_of(node)); });
    nodes.add_handler([this](const kube::Change<api::Node>& change) {
      const std::string name = claim_of(change.any());
      if (!name.empty()) {
        controller->enqueue({"", name});
      } else if (!change.any().spec.provider_id.empty()) {
        enqueue_claims_of(change.any().spec.provider_id);
      }
    });
    manager.add(nodes);
  }

  /// A machine's Node says whose it is only after it was registered.
  void enqueue_claims_of(const std::string& provider_id) {
    const auto enqueue = [&](const auto& informer) {
      if (!informer) return;
      for (const auto& claim : informer->list()) {
        if (claim->status.provider_id == provider_id) controller->enqueue(claim->metadata.key());
      }
    };
    enqueue(node_claims);
    enqueue(machines);
  }

  void watch_pods() {
    pods.add_index(kByNode, [](const PodSummary& pod) { return unless_empty(pod.spec.node_name); });
    pods.add_handler([this](const kube::Change<PodSummary>& change) {
      // Only the end of a pod matters: a node that is being emptied may wait for it.
      const bool ended = change.kind == kube::ChangeKind::Deleted || change.after->ended();
      if (!ended || change.any().spec.node_name.empty()) return;
      const auto node = nodes.get({"", change.any().spec.node_name});
      if (!node || !node->spec.unschedulable) return;
      if (const std::string name = claim_of(*node); !name.empty()) controller->enqueue({"", name});
    });
    manager.add(pods);
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
  Nodes nodes_with_provider_id(const std::string& provider_id) const override {
    return nodes.by_index(kByProviderId, provider_id);
  }
  Nodes nodes_of_claim(const std::string& name) const override {
    return nodes.by_index(kByClaim, name);
  }
  Pods pods_on(const std::string& node) const override { return pods.by_index(kByNode, node); }
  std::vector<ClaimKind> kinds() const override {
    std::vector<ClaimKind> kinds;
    if (node_claims) kinds.push_back(ClaimKind::NodeClaim);
    if (machines) kinds.push_back(ClaimKind::Machine);
    return kinds;
  }

  Deps deps;
  kube::Manager manager;
  kube::Informer<api::Node> nodes;
  kube::Informer<PodSummary> pods;
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

base::Result<bool> has_resource(const base::Context& ctx, kube::Client& client,
                                const api::ResourceType& type) {
  kube::ListOptions one;
  one.limit = 1;
  const auto listed = client.list(ctx, type, one);
  if (listed) return true;
  if (listed.error().code() == base::ErrorCode::NotFound) return false;
  return listed.error();
}

}  // namespace provision

#pragma once

#include <functional>
#include <string>

#include "api/core/node.h"
#include "kube/cache/informer.h"
#include "kube/runtime/controller.h"

namespace nodeagent {

/// What this machine says of itself on each of its Nodes.
struct MachineInfo {
  std::string address;
  std::string agent_version;
  api::NodeSystemInfo system;
  static MachineInfo of_this_machine(std::string address, std::string agent_version);
};

/// The status a local Node should have: Ready, address and system; capacity and foreign conditions
/// are left alone. The heartbeat moves only every `heartbeat`. Pure.
api::NodeStatus node_status(const api::Node& node, const MachineInfo& machine, base::SystemTime now,
                            std::chrono::seconds heartbeat);

/// Keeps the local Nodes Ready.
class NodeStatusController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const base::Clock& clock;
    kube::Informer<api::Node>& nodes;
    std::function<bool(const api::Node&)> is_local_node;
  };
  NodeStatusController(Deps deps, MachineInfo machine)
      : deps_(std::move(deps)), machine_(std::move(machine)) {}

  base::Result<kube::Requeue> reconcile(const base::Context& ctx,
                                        const api::ObjectKey& key) override;

 private:
  Deps deps_;
  MachineInfo machine_;
};

}  // namespace nodeagent

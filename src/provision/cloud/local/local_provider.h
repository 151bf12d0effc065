#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "kube/rest/client.h"
#include "kube/runtime/events.h"
#include "provision/cloud/provider.h"

namespace provision {

/// What this machine has.
struct MachineFacts {
  std::string name;  ///< Host name.
  std::int64_t cpus = 1;
  std::int64_t memory_bytes = 0;
  std::int64_t gpus = 0;
  std::string architecture = "amd64";  ///< As Kubernetes names it.
};
MachineFacts read_machine_facts();

/// The cloud that is this machine: every claim becomes a Node object of its own, labelled for the
/// node agent (`kaito.sh/local-node`), which runs the pods and says when the Node is Ready. A
/// machine of this cloud is its Node, so nothing is kept elsewhere: it ends when its Node is being
/// deleted. GPUs that do not exist are announced all the same, so that the same YAML runs; the Node
/// says so in a label, and Node and claim in an event.
class LocalProvider final : public CloudProvider {
 public:
  struct Deps {
    kube::Client& client;
    kube::EventRecorder& events;
    MachineFacts machine;
  };
  explicit LocalProvider(Deps deps) : deps_(std::move(deps)) {}

  base::Result<Instance> create(const base::Context& ctx, const InstanceRequest& request) override;
  base::Status remove(const base::Context& ctx, const std::string& provider_id) override;
  base::Result<Instance> get(const base::Context& ctx, const std::string& provider_id) override;
  base::Result<std::vector<Instance>> list(const base::Context& ctx) override;
  std::vector<std::string> instance_types() const override;

 private:
  base::Result<api::Node> find(const base::Context& ctx, const std::string& provider_id);
  void announce_simulation(const InstanceRequest& request, const api::Node& node);

  Deps deps_;
};

/// The Node for a request on this machine; pure.
api::Node make_local_node(const InstanceRequest& request, const MachineFacts& machine);

}  // namespace provision

#pragma once

#include <functional>
#include <map>
#include <string>

#include "api/core/node.h"
#include "api/core/pod.h"
#include "kube/cache/informer.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"

namespace nodeagent {

/// Binds pending pods to this machine's Nodes, or says on the pod why it cannot. Run it with one
/// worker: it remembers what it bound until the cache shows it.
class Scheduler final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    kube::EventRecorder& events;
    const base::Clock& clock;
    kube::Informer<api::Pod>& pods;  ///< With the index kByNode.
    kube::Informer<api::Node>& nodes;
    std::function<bool(const api::Node&)> is_local_node;
  };
  explicit Scheduler(Deps deps) : deps_(std::move(deps)) {}

  base::Result<kube::Requeue> reconcile(const base::Context& ctx,
                                        const api::ObjectKey& key) override;

  /// Index of bound pods by the name of their node: add it before the start.
  static constexpr const char* kByNode = "node";
  static std::vector<std::string> node_of(const api::Pod& pod) {
    if (pod.spec.node_name.empty()) return {};
    return {pod.spec.node_name};
  }

  /// Pods that wait for a node; to be looked at again when nodes or other pods change.
  std::vector<api::ObjectKey> pending() const;

 private:
  base::Status bind(const base::Context& ctx, const api::Pod& pod, const std::string& node);
  base::Status report(const base::Context& ctx, const api::Pod& pod, const std::string& message);
  /// The pods on `nodes`, with those whose binding the cache does not show yet.
  std::vector<std::shared_ptr<const api::Pod>> pods_on(const std::vector<std::shared_ptr<const api::Node>>& nodes);

  Deps deps_;
  std::map<std::string, std::shared_ptr<const api::Pod>> assumed_;  ///< By UID; the worker's own.
};

}  // namespace nodeagent

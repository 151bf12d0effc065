#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/meta.h"
#include "base/guarded.h"
#include "kube/cache/informer.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"

namespace workloads {

/// What the collector knows of one object: its metadata only.
struct GraphNode {
  api::ResourceType type;
  api::ObjectKey key;
  std::string uid;
  std::vector<api::OwnerReference> owners;
  std::vector<std::string> finalizers;
  bool deleting = false;
};

/// Objects by UID and who depends on whom. Not thread-safe.
class OwnerGraph {
 public:
  void put(GraphNode node);
  void erase(const std::string& uid);
  const GraphNode* find(const std::string& uid) const;
  /// UIDs of the objects that name `uid` as an owner.
  std::vector<std::string> dependents(const std::string& uid) const;

 private:
  std::map<std::string, GraphNode> nodes_;
  std::map<std::string, std::set<std::string>> dependents_;
};

/// Deletes objects whose owners are all gone, and sees deletions in the foreground and with orphans through. Watches the
/// metadata of `types`; an owner of another type is looked up when it matters.
class GarbageCollector final : public kube::Reconciler {
 public:
  GarbageCollector(kube::Client& client, std::vector<api::ResourceType> types, const base::Clock& clock);
  ~GarbageCollector() override;
  /// The watches, for a Manager.
  std::vector<kube::Reflector*> reflectors();
  kube::Controller& controller() { return controller_; }
  base::Result<kube::Requeue> reconcile(const base::Context& ctx, const api::ObjectKey& key) override;

 private:
  class TypeWatch;
  enum class OwnerState { Present, Ending, Gone };

  void on_change(const GraphNode& node, bool gone);
  base::Result<OwnerState> owner_state(const base::Context& ctx, const GraphNode& node, const api::OwnerReference& owner);
  base::Status finish_foreground(const base::Context& ctx, const GraphNode& node, const std::vector<GraphNode>& dependents);
  base::Status orphan(const base::Context& ctx, const GraphNode& node, const std::vector<GraphNode>& dependents);
  base::Status drop_finalizer(const base::Context& ctx, const GraphNode& node, std::string_view finalizer);

  kube::Client& client_;
  base::Guarded<OwnerGraph> graph_;
  std::vector<api::ResourceType> types_;
  std::vector<std::unique_ptr<TypeWatch>> watches_;
  kube::Controller controller_;
};

}  // namespace workloads

#include "workloads/garbage.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace workloads {
namespace {

using base::ErrorCode;
using base::Status;

constexpr std::string_view kForeground = "foregroundDeletion";
constexpr std::string_view kOrphan = "orphan";

bool contains(const std::vector<std::string>& list, std::string_view wanted) { return std::find(list.begin(), list.end(), wanted) != list.end(); }

struct MetadataOnly {
  api::ObjectMeta metadata;
};
template <class V>
void describe(V& v, MetadataOnly& m) {
  v.field("metadata", m.metadata, json::Presence::Optional, "");
}

Status ignore_not_found(Status status) {
  if (!status && status.error().code() == ErrorCode::NotFound) return {};
  return status;
}

}  // namespace

void OwnerGraph::put(GraphNode node) {
  erase(node.uid);
  for (const api::OwnerReference& owner : node.owners) dependents_[owner.uid].insert(node.uid);
  nodes_[node.uid] = std::move(node);
}

void OwnerGraph::erase(const std::string& uid) {
  const auto found = nodes_.find(uid);
  if (found == nodes_.end()) return;
  for (const api::OwnerReference& owner : found->second.owners) {
    auto& set = dependents_[owner.uid];
    set.erase(uid);
    if (set.empty()) dependents_.erase(owner.uid);
  }
  nodes_.erase(found);
}

const GraphNode* OwnerGraph::find(const std::string& uid) const {
  const auto found = nodes_.find(uid);
  return found == nodes_.end() ? nullptr : &found->second;
}

std::vector<std::string> OwnerGraph::dependents(const std::string& uid) const {
  const auto found = dependents_.find(uid);
  return found == dependents_.end() ? std::vector<std::string>() : std::vector<std::string>(found->second.begin(), found->second.end());
}

/// Follows one type and feeds the graph.
class GarbageCollector::TypeWatch final : public kube::Reflector {
 public:
  TypeWatch(GarbageCollector& collector, kube::Client& client, api::ResourceType type) : Reflector(client, type, {}), collector_(collector), type_(type) {}
  ~TypeWatch() override { stop(); }

 protected:
  void on_replace_begin() override { listed_.clear(); }
  void on_replace_item(json::Value item) override {
    if (auto node = to_node(item)) listed_.emplace(node->uid, *std::move(node));
  }
  void on_replace_end() override {
    for (const auto& [uid, node] : known_) {
      if (!listed_.contains(uid)) collector_.on_change(node, true);
    }
    for (const auto& [uid, node] : listed_) collector_.on_change(node, false);
    known_ = std::move(listed_);
    listed_.clear();
  }
  void on_event(kube::WatchEvent event) override {
    auto node = to_node(event.object);
    if (!node) return;
    const bool gone = event.type == kube::WatchEventType::Deleted;
    collector_.on_change(*node, gone);
    if (gone) {
      known_.erase(node->uid);
    } else {
      known_[node->uid] = *std::move(node);
    }
  }

 private:
  std::optional<GraphNode> to_node(const json::Value& object) const {
    auto decoded = json::decode<MetadataOnly>(object);
    if (!decoded) return std::nullopt;
    api::ObjectMeta& m = decoded->metadata;
    return GraphNode{type_, m.key(), m.uid, std::move(m.owner_references), std::move(m.finalizers), m.deleting()};
  }

  GarbageCollector& collector_;
  api::ResourceType type_;
  std::map<std::string, GraphNode> known_;
  std::map<std::string, GraphNode> listed_;  ///< A list under way.
};

GarbageCollector::GarbageCollector(kube::Client& client, std::vector<api::ResourceType> types, const base::Clock& clock)
    : client_(client), types_(std::move(types)), controller_({.name = "garbage-collector", .workers = 2}, *this, clock) {
  for (const api::ResourceType& type : types_) watches_.push_back(std::make_unique<TypeWatch>(*this, client_, type));
}

GarbageCollector::~GarbageCollector() {
  for (auto& watch : watches_) watch->stop();
  controller_.stop();
}

std::vector<kube::Reflector*> GarbageCollector::reflectors() {
  std::vector<kube::Reflector*> all;
  for (auto& watch : watches_) all.push_back(watch.get());
  return all;
}

void GarbageCollector::on_change(const GraphNode& node, bool gone) {
  std::vector<std::string> affected = graph_.with([&](OwnerGraph& graph) {
    if (gone) {
      graph.erase(node.uid);
    } else {
      graph.put(node);
    }
    return graph.dependents(node.uid);
  });
  // Owners that wait for this one in the foreground look again.
  for (const api::OwnerReference& owner : node.owners) affected.push_back(owner.uid);
  if (!gone) affected.push_back(node.uid);
  for (const std::string& uid : affected) controller_.enqueue({"", uid});
}

base::Result<GarbageCollector::OwnerState> GarbageCollector::owner_state(const base::Context& ctx, const GraphNode& node, const api::OwnerReference& owner) {
  const auto known = graph_.with([&](const OwnerGraph& graph) -> std::optional<OwnerState> {
    const GraphNode* found = graph.find(owner.uid);
    if (!found) return std::nullopt;
    return found->deleting && contains(found->finalizers, kForeground) ? OwnerState::Ending : OwnerState::Present;
  });
  if (known) return *known;
  // Not seen does not mean gone: the server decides.
  const auto type = std::find_if(types_.begin(), types_.end(), [&](const api::ResourceType& t) { return t.kind == owner.kind && t.api_version().substr(0, t.api_version().find('/')) == owner.api_version.substr(0, owner.api_version.find('/')); });
  if (type == types_.end()) return OwnerState::Present;
  const auto live = client_.get(ctx, *type, {type->namespaced ? node.key.ns : "", owner.name});
  if (live) return json::find_string(*live, "metadata.uid") == owner.uid ? OwnerState::Present : OwnerState::Gone;
  if (live.error().code() == ErrorCode::NotFound) return OwnerState::Gone;
  return live.error();
}

base::Result<kube::Requeue> GarbageCollector::reconcile(const base::Context& ctx, const api::ObjectKey& key) {
  std::optional<GraphNode> node;
  std::vector<GraphNode> dependents;
  graph_.with([&](const OwnerGraph& graph) {
    if (const GraphNode* found = graph.find(key.name)) node = *found;
    for (const std::string& uid : graph.dependents(key.name)) {
      if (const GraphNode* found = graph.find(uid)) dependents.push_back(*found);
    }
  });
  if (!node) return kube::Requeue::none();
  if (node->deleting) {
    if (contains(node->finalizers, kForeground)) TRY(finish_foreground(ctx, *node, dependents));
    if (contains(node->finalizers, kOrphan)) TRY(orphan(ctx, *node, dependents));
    return kube::Requeue::none();
  }
  if (node->owners.empty()) return kube::Requeue::none();
  bool ending = false;
  for (const api::OwnerReference& owner : node->owners) {
    const OwnerState state = TRY(owner_state(ctx, *node, owner));
    if (state == OwnerState::Present) return kube::Requeue::none();
    ending = ending || state == OwnerState::Ending;
  }
  kube::DeleteOptions options;
  options.propagation = ending ? kube::Propagation::Foreground : kube::Propagation::Background;
  options.uid = node->uid;
  const Status removed = ignore_not_found(client_.remove(ctx, node->type, node->key, options));
  if (!removed && removed.error().code() != ErrorCode::Conflict) return removed.error();
  return kube::Requeue::none();
}

Status GarbageCollector::finish_foreground(const base::Context& ctx, const GraphNode& node, const std::vector<GraphNode>& dependents) {
  bool blocked = false;
  for (const GraphNode& dependent : dependents) {
    const auto owner = std::find_if(dependent.owners.begin(), dependent.owners.end(), [&](const auto& o) { return o.uid == node.uid; });
    blocked = blocked || (owner != dependent.owners.end() && owner->block_owner_deletion.value_or(false));
    if (!dependent.deleting) controller_.enqueue({"", dependent.uid});
  }
  return blocked ? Status() : drop_finalizer(ctx, node, kForeground);
}

Status GarbageCollector::orphan(const base::Context& ctx, const GraphNode& node, const std::vector<GraphNode>& dependents) {
  for (const GraphNode& dependent : dependents) {
    json::Array rest;
    for (const api::OwnerReference& owner : dependent.owners) {
      if (owner.uid != node.uid) rest.push_back(json::encode(owner));
    }
    const json::Object patch{{"metadata", json::Object{{"uid", json::String(dependent.uid)}, {"ownerReferences", std::move(rest)}}}};
    const auto patched = client_.patch(ctx, dependent.type, dependent.key, kube::PatchType::Merge, patch);
    if (!patched && patched.error().code() != ErrorCode::NotFound) return patched.error();
  }
  return drop_finalizer(ctx, node, kOrphan);
}

Status GarbageCollector::drop_finalizer(const base::Context& ctx, const GraphNode& node, std::string_view finalizer) {
  json::Array rest;
  for (const std::string& name : node.finalizers) {
    if (name != finalizer) rest.emplace_back(json::String(name));
  }
  const json::Object patch{{"metadata", json::Object{{"uid", json::String(node.uid)}, {"finalizers", std::move(rest)}}}};
  const auto patched = client_.patch(ctx, node.type, node.key, kube::PatchType::Merge, patch);
  if (!patched && patched.error().code() != ErrorCode::NotFound) return patched.error();
  return {};
}

}  // namespace workloads

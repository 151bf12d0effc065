#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/core/node.h"
#include "api/meta.h"
#include "base/clock.h"
#include "json/value.h"

namespace provision {

/// As much of a pod as a drain needs to know; decoding no more keeps the local copy small.
struct PodSummary {
  static constexpr api::ResourceType kType{"", "v1", "pods", "Pod", true};
  struct Spec {
    std::string node_name{};
  };
  struct Status {
    std::string phase{};
  };
  api::ObjectMeta metadata{};
  Spec spec{};
  Status status{};

  bool ended() const { return status.phase == "Succeeded" || status.phase == "Failed"; }
};
template <class V>
void describe(V& v, PodSummary::Spec& s) {
  v.field("nodeName", s.node_name, json::Presence::Optional, "The node it is bound to.");
}
template <class V>
void describe(V& v, PodSummary::Status& s) {
  v.field("phase", s.phase, json::Presence::Optional, "Where the pod stands.");
}
template <class V>
void describe(V& v, PodSummary& p) {
  v.field("metadata", p.metadata, json::Presence::Optional, "Standard object metadata.");
  v.field("spec", p.spec, json::Presence::Optional, "What is wanted.");
  v.field("status", p.status, json::Presence::Optional, "What is.");
}

/// What is to be done to empty a node. Nothing in it and not `waits`: the node is empty.
struct DrainPlan {
  std::optional<json::Value> node_patch{};  ///< Keeps new pods away.
  std::vector<std::shared_ptr<const PodSummary>> evict{};
  std::vector<std::shared_ptr<const PodSummary>>
      kill{};          ///< Nobody is there to end them gracefully.
  bool waits = false;  ///< Pods are left.
};

/// Pods of DaemonSets and static pods go with their node. Pods on a node that has not been ready
/// for a while, or beyond `deadline`, are removed without waiting for their end.
DrainPlan plan_drain(const api::Node& node,
                     const std::vector<std::shared_ptr<const PodSummary>>& pods,
                     base::SystemTime now, std::optional<base::SystemTime> deadline);

}  // namespace provision

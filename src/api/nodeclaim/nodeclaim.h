#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core/node.h"
#include "api/meta.h"

/// karpenter.sh/v1 NodeClaim: a request for one node.
namespace api {

struct NodeRequirement {
  std::string key{};
  std::string op{};  ///< `operator` in JSON: In, NotIn, Exists, DoesNotExist, Gt, Lt.
  std::vector<std::string> values{};
  std::optional<std::int32_t> min_values{};
};
template <class V>
void describe(V& v, NodeRequirement& r) {
  v.field("key", r.key, Presence::Required, "Label key.");
  v.field("operator", r.op, Presence::Required, "In, NotIn, Exists, DoesNotExist, Gt or Lt.",
          {.one_of = {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}});
  v.field("values", r.values, Presence::Optional, "Values to compare with.");
  v.field("minValues", r.min_values, Presence::Optional, "How many values must remain.",
          {.minimum = 1});
}

struct NodeResources {
  std::map<std::string, Quantity> requests{};
};
template <class V>
void describe(V& v, NodeResources& r) {
  v.field("requests", r.requests, Presence::Optional, "The least the node must have.");
}

struct NodeClassReference {
  std::string group{};
  std::string kind{};
  std::string name{};
};
template <class V>
void describe(V& v, NodeClassReference& r) {
  v.field("group", r.group, Presence::Required, "API group of the node class.");
  v.field("kind", r.kind, Presence::Required, "Kind of the node class.");
  v.field("name", r.name, Presence::Required, "Name of the node class.");
}

struct NodeClaimSpec {
  std::vector<Taint> taints{};
  std::vector<Taint> startup_taints{};
  std::vector<NodeRequirement> requirements{};
  NodeResources resources{};
  NodeClassReference node_class_ref{};
  std::string expire_after{};
  std::string termination_grace_period{};
};
template <class V>
void describe(V& v, NodeClaimSpec& s) {
  v.field("taints", s.taints, Presence::Optional, "Taints the node gets.");
  v.field("startupTaints", s.startup_taints, Presence::Optional,
          "Taints that others remove once the node is set up.");
  v.field("requirements", s.requirements, Presence::Required, "Labels the node must have.");
  v.field("resources", s.resources, Presence::Optional, "Resources the node must have.");
  v.field("nodeClassRef", s.node_class_ref, Presence::Required, "Cloud settings of the node.");
  v.field("expireAfter", s.expire_after, Presence::Optional, "Age at which the node is replaced.",
          {.default_json = "\"720h\""});
  v.field("terminationGracePeriod", s.termination_grace_period, Presence::Optional,
          "How long draining may take.");
}

struct NodeClaimStatus {
  std::string node_name{};
  std::string provider_id{};
  std::string image_id{};
  std::map<std::string, Quantity> capacity{};
  std::map<std::string, Quantity> allocatable{};
  std::vector<Condition> conditions{};
  Time last_pod_event_time{};
};
template <class V>
void describe(V& v, NodeClaimStatus& s) {
  v.field("nodeName", s.node_name, Presence::Optional, "Name of the node.");
  v.field("providerID", s.provider_id, Presence::Optional, "The machine in its cloud's terms.");
  v.field("imageID", s.image_id, Presence::Optional, "Image of the machine.");
  v.field("capacity", s.capacity, Presence::Optional, "What the node has.");
  v.field("allocatable", s.allocatable, Presence::Optional, "What pods may have of it.");
  v.field("conditions", s.conditions, Presence::Optional,
          "Launched, Registered, Initialized, Ready, ...");
  v.field("lastPodEventTime", s.last_pod_event_time, Presence::Optional,
          "When pods last came or went.", {.format = "date-time"});
}

struct NodeClaim {
  static constexpr ResourceType kType{"karpenter.sh", "v1", "nodeclaims", "NodeClaim", false};
  ObjectMeta metadata{};
  NodeClaimSpec spec{};
  NodeClaimStatus status{};
};
template <class V>
void describe(V& v, NodeClaim& c) {
  v.type("A request for one node.");
  describe_root(v, c);
  v.field("spec", c.spec, Presence::Required, "The node that is wanted.");
  v.field("status", c.status, Presence::Optional, "What became of it.");
}

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::NodeClaim> decode(const Value&);
extern template Value encode(const api::NodeClaim&);
}  // namespace json

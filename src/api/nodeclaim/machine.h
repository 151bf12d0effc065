#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/nodeclaim/nodeclaim.h"

/// karpenter.sh/v1alpha5 Machine: the request for one node of releases before 0.4.2.
namespace api {

struct MachineTemplateReference {
  std::string kind{};
  std::string name{};
  std::string api_version{};
};
template <class V>
void describe(V& v, MachineTemplateReference& r) {
  v.field("kind", r.kind, Presence::Optional, "Kind of the template.");
  v.field("name", r.name, Presence::Required, "Name of the template.");
  v.field("apiVersion", r.api_version, Presence::Optional, "API version of the template.");
}

struct MachineSpec {
  std::vector<Taint> taints{};
  std::vector<Taint> startup_taints{};
  std::vector<NodeRequirement> requirements{};
  NodeResources resources{};
  std::optional<json::Object> kubelet{};
  std::optional<MachineTemplateReference> machine_template_ref{};
};
template <class V>
void describe(V& v, MachineSpec& s) {
  v.field("taints", s.taints, Presence::Optional, "Taints the node gets.");
  v.field("startupTaints", s.startup_taints, Presence::Optional,
          "Taints that others remove once the node is set up.");
  v.field("requirements", s.requirements, Presence::Optional, "Labels the node must have.");
  v.field("resources", s.resources, Presence::Optional, "Resources the node must have.");
  v.field("kubelet", s.kubelet, Presence::Optional, "Settings of the node's agent.");
  v.field("machineTemplateRef", s.machine_template_ref, Presence::Optional,
          "Cloud settings of the node.");
}

struct MachineStatus {
  std::string node_name{};
  std::string provider_id{};
  std::map<std::string, Quantity> capacity{};
  std::map<std::string, Quantity> allocatable{};
  std::vector<Condition> conditions{};
};
template <class V>
void describe(V& v, MachineStatus& s) {
  v.field("nodeName", s.node_name, Presence::Optional, "Name of the node.");
  v.field("providerID", s.provider_id, Presence::Optional, "The machine in its cloud's terms.");
  v.field("capacity", s.capacity, Presence::Optional, "What the node has.");
  v.field("allocatable", s.allocatable, Presence::Optional, "What pods may have of it.");
  v.field("conditions", s.conditions, Presence::Optional,
          "MachineLaunched, MachineRegistered, MachineInitialized, Ready.");
}

struct Machine {
  static constexpr ResourceType kType{"karpenter.sh", "v1alpha5", "machines", "Machine", false};
  ObjectMeta metadata{};
  MachineSpec spec{};
  MachineStatus status{};
};
template <class V>
void describe(V& v, Machine& m) {
  v.type("A request for one node.");
  describe_root(v, m);
  v.field("spec", m.spec, Presence::Optional, "The node that is wanted.");
  v.field("status", m.status, Presence::Optional, "What became of it.");
}

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::Machine> decode(const Value&);
extern template Value encode(const api::Machine&);
}  // namespace json

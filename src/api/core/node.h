#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core/quantity.h"
#include "api/core/unread.h"
#include "api/meta.h"

/// core/v1 Node: a machine that runs pods.
namespace api {

struct Taint {
  std::string key{};
  std::string value{};
  std::string effect{};
  Time time_added{};
  friend bool operator==(const Taint&, const Taint&) = default;
};
template <class V>
void describe(V& v, Taint& t) {
  v.field("key", t.key, Presence::Required, "The key.");
  v.field("value", t.value, Presence::Optional, "The value.");
  v.field("effect", t.effect, Presence::Required, "NoSchedule, PreferNoSchedule or NoExecute.");
  v.field("timeAdded", t.time_added, Presence::Optional, "When it was added.",
          {.format = "date-time"});
}

struct NodeSpec {
  std::string pod_cidr{};
  std::string provider_id{};
  bool unschedulable = false;
  std::vector<Taint> taints{};
  Unread unread{};
};
template <class V>
void describe(V& v, NodeSpec& s) {
  v.field("podCIDR", s.pod_cidr, Presence::Optional, "Addresses of its pods.");
  v.field("providerID", s.provider_id, Presence::Optional, "The machine in its cloud's terms.");
  v.field("unschedulable", s.unschedulable, Presence::Optional, "Takes no new pods.");
  v.field("taints", s.taints, Presence::Optional, "What keeps pods away.", {.list_type = "atomic"});
  v.field("configSource", s.unread, Presence::Optional, "Not used any more.");
  v.field("externalID", s.unread, Presence::Optional, "Not used any more.");
  v.field("podCIDRs", s.unread, Presence::Optional, "Addresses of its pods.");
}

struct NodeCondition {
  std::string type{};
  std::string status{};
  Time last_heartbeat_time{};
  Time last_transition_time{};
  std::string reason{};
  std::string message{};
};
template <class V>
void describe(V& v, NodeCondition& c) {
  v.field("type", c.type, Presence::Required, "Ready, DiskPressure, ...");
  v.field("status", c.status, Presence::Required, "True, False or Unknown.");
  v.field("lastHeartbeatTime", c.last_heartbeat_time, Presence::Optional,
          "When it was last confirmed.", {.format = "date-time"});
  v.field("lastTransitionTime", c.last_transition_time, Presence::Optional,
          "When the status last changed.", {.format = "date-time"});
  v.field("reason", c.reason, Presence::Optional, "CamelCase reason.");
  v.field("message", c.message, Presence::Optional, "Details for people.");
}

struct NodeAddress {
  std::string type{};
  std::string address{};
};
template <class V>
void describe(V& v, NodeAddress& a) {
  v.field("type", a.type, Presence::Required, "InternalIP, Hostname, ...");
  v.field("address", a.address, Presence::Required, "The address.");
}

struct NodeSystemInfo {
  std::string machine_id{};
  std::string system_uuid{};
  std::string boot_id{};
  std::string kernel_version{};
  std::string os_image{};
  std::string container_runtime_version{};
  std::string kubelet_version{};
  std::string kube_proxy_version{};
  std::string operating_system{};
  std::string architecture{};
  Unread unread{};
};
template <class V>
void describe(V& v, NodeSystemInfo& i) {
  v.field("machineID", i.machine_id, Presence::Required, "Id of the machine.");
  v.field("systemUUID", i.system_uuid, Presence::Required, "Id of the hardware.");
  v.field("bootID", i.boot_id, Presence::Required, "Id of this run.");
  v.field("kernelVersion", i.kernel_version, Presence::Required, "Kernel.");
  v.field("osImage", i.os_image, Presence::Required, "Operating system.");
  v.field("containerRuntimeVersion", i.container_runtime_version, Presence::Required,
          "What runs containers.");
  v.field("kubeletVersion", i.kubelet_version, Presence::Required, "Version of the node agent.");
  v.field("kubeProxyVersion", i.kube_proxy_version, Presence::Required, "Version of the proxy.");
  v.field("operatingSystem", i.operating_system, Presence::Required, "linux.");
  v.field("architecture", i.architecture, Presence::Required, "amd64, arm64, ...");
  v.field("swap", i.unread, Presence::Optional, "Swap space.");
}

struct NodeStatus {
  std::map<std::string, Quantity> capacity{};
  std::map<std::string, Quantity> allocatable{};
  std::string phase{};
  std::vector<NodeCondition> conditions{};
  std::vector<NodeAddress> addresses{};
  std::optional<NodeSystemInfo> node_info{};
  Unread unread{};
};
template <class V>
void describe(V& v, NodeStatus& s) {
  v.field("capacity", s.capacity, Presence::Optional, "All it has.");
  v.field("allocatable", s.allocatable, Presence::Optional, "What pods may have of it.");
  v.field("phase", s.phase, Presence::Optional, "Not used any more.");
  v.field("conditions", s.conditions, Presence::Optional, "Where the node stands.",
          {.merge_key = "type"});
  v.field("addresses", s.addresses, Presence::Optional, "How to reach it.", {.merge_key = "type"});
  v.field("nodeInfo", s.node_info, Presence::Optional, "What it is.");
  v.field("config", s.unread, Presence::Optional, "Not used any more.");
  v.field("daemonEndpoints", s.unread, Presence::Optional, "Ports of its agent.");
  v.field("declaredFeatures", s.unread, Presence::Optional, "Features its agent declares.");
  v.field("features", s.unread, Presence::Optional, "Features of its runtime.");
  v.field("images", s.unread, Presence::Optional, "Images it has.");
  v.field("runtimeHandlers", s.unread, Presence::Optional, "Runtimes it offers.");
  v.field("volumesAttached", s.unread, Presence::Optional, "Volumes attached to it.");
  v.field("volumesInUse", s.unread, Presence::Optional, "Volumes its pods use.");
}

struct Node {
  static constexpr ResourceType kType{"", "v1", "nodes", "Node", false};
  ObjectMeta metadata{};
  NodeSpec spec{};
  NodeStatus status{};
};
template <class V>
void describe(V& v, Node& n) {
  v.type("A machine that runs pods.");
  describe_root(v, n);
  v.field("spec", n.spec, Presence::Optional, "How it is to be used.");
  v.field("status", n.status, Presence::Optional, "What it is and has.");
}

/// Whether the node's agent reports it ready.
bool is_node_ready(const Node& node);

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::Node> decode(const Value&);
extern template Value encode(const api::Node&);
}  // namespace json

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core/container.h"
#include "api/core/references.h"
#include "api/core/unread.h"
#include "api/core/volume.h"
#include "api/meta.h"

/// core/v1 Pod: where and how containers run together.
namespace api {

struct NodeSelectorTerm {
  std::vector<LabelSelectorRequirement> match_expressions{};  ///< Also Gt and Lt.
  std::vector<LabelSelectorRequirement> match_fields{};       ///< Only metadata.name.
};
template <class V>
void describe(V& v, NodeSelectorTerm& t) {
  v.field("matchExpressions", t.match_expressions, Presence::Optional,
          "Requirements on labels, all of them.", {.list_type = "atomic"});
  v.field("matchFields", t.match_fields, Presence::Optional, "Requirements on fields, all of them.",
          {.list_type = "atomic"});
}

struct NodeSelector {
  std::vector<NodeSelectorTerm> node_selector_terms{};
};
template <class V>
void describe(V& v, NodeSelector& s) {
  v.field("nodeSelectorTerms", s.node_selector_terms, Presence::Required, "Terms, any of them.",
          {.list_type = "atomic"});
}

struct PreferredSchedulingTerm {
  std::int32_t weight = 0;
  NodeSelectorTerm preference{};
};
template <class V>
void describe(V& v, PreferredSchedulingTerm& t) {
  v.field("weight", t.weight, Presence::Required, "1 to 100.");
  v.field("preference", t.preference, Presence::Required, "What is preferred.");
}

struct NodeAffinity {
  std::optional<NodeSelector> required{};
  std::vector<PreferredSchedulingTerm> preferred{};
};
template <class V>
void describe(V& v, NodeAffinity& a) {
  v.field("requiredDuringSchedulingIgnoredDuringExecution", a.required, Presence::Optional,
          "What a node must have.", {.atomic_map = true});
  v.field("preferredDuringSchedulingIgnoredDuringExecution", a.preferred, Presence::Optional,
          "What a node should have.", {.list_type = "atomic"});
}

struct Affinity {
  std::optional<NodeAffinity> node_affinity{};
  std::optional<json::Object> pod_affinity{};
  std::optional<json::Object> pod_anti_affinity{};
};
template <class V>
void describe(V& v, Affinity& a) {
  v.field("nodeAffinity", a.node_affinity, Presence::Optional, "Attraction to nodes.");
  v.field("podAffinity", a.pod_affinity, Presence::Optional, "Attraction to pods.");
  v.field("podAntiAffinity", a.pod_anti_affinity, Presence::Optional, "Distance from pods.");
}

struct Toleration {
  std::string key{};
  std::string op{};  ///< `operator` in JSON: Equal (also "") or Exists.
  std::string value{};
  std::string effect{};  ///< "" matches all effects.
  std::optional<std::int64_t> toleration_seconds{};
};
template <class V>
void describe(V& v, Toleration& t) {
  v.field("key", t.key, Presence::Optional, "Taint key; empty matches all.");
  v.field("operator", t.op, Presence::Optional, "Equal or Exists.");
  v.field("value", t.value, Presence::Optional, "Taint value.");
  v.field("effect", t.effect, Presence::Optional, "NoSchedule, PreferNoSchedule or NoExecute.");
  v.field("tolerationSeconds", t.toleration_seconds, Presence::Optional,
          "How long NoExecute is tolerated.");
}

/// What else a pod may say. Nothing here reads it; it is carried so that a template keeps it.
struct PodSpecRest {
  json::Value dns_config{};
  json::Value ephemeral_containers{};
  json::Value host_aliases{};
  json::Value host_ipc{};
  json::Value host_users{};
  json::Value hostname_override{};
  json::Value os{};
  json::Value overhead{};
  json::Value preemption_policy{};
  json::Value readiness_gates{};
  json::Value resource_claims{};
  json::Value resources{};
  json::Value scheduling_gates{};
  json::Value service_account{};
  json::Value set_hostname_as_fqdn{};
  json::Value topology_spread_constraints{};
  json::Value workload_ref{};
};
template <class V>
void describe_members(V& v, PodSpecRest& r) {
  v.field("dnsConfig", r.dns_config, Presence::Optional, "Name servers and search domains.");
  v.field("ephemeralContainers", r.ephemeral_containers, Presence::Optional,
          "Containers added for debugging.");
  v.field("hostAliases", r.host_aliases, Presence::Optional, "Entries of /etc/hosts.");
  v.field("hostIPC", r.host_ipc, Presence::Optional, "Uses the node's IPC objects.");
  v.field("hostUsers", r.host_users, Presence::Optional, "Uses the node's user ids.");
  v.field("hostnameOverride", r.hostname_override, Presence::Optional, "Host name as it stands.");
  v.field("os", r.os, Presence::Optional, "Operating system of the containers.");
  v.field("overhead", r.overhead, Presence::Optional, "Resources of the pod itself.");
  v.field("preemptionPolicy", r.preemption_policy, Presence::Optional,
          "Whether it may displace other pods.");
  v.field("readinessGates", r.readiness_gates, Presence::Optional,
          "Conditions that count for readiness.");
  v.field("resourceClaims", r.resource_claims, Presence::Optional, "Devices it claims.");
  v.field("resources", r.resources, Presence::Optional, "Resources of all containers together.");
  v.field("schedulingGates", r.scheduling_gates, Presence::Optional, "What holds scheduling back.");
  v.field("serviceAccount", r.service_account, Presence::Optional,
          "Old name of serviceAccountName.");
  v.field("setHostnameAsFQDN", r.set_hostname_as_fqdn, Presence::Optional,
          "Whether the host name is the full domain name.");
  v.field("topologySpreadConstraints", r.topology_spread_constraints, Presence::Optional,
          "How pods spread over the cluster.");
  v.field("workloadRef", r.workload_ref, Presence::Optional, "Workload it belongs to.");
}

struct PodSpec {
  std::vector<Container> init_containers{};
  std::vector<Container> containers{};
  std::vector<Volume> volumes{};
  std::string restart_policy{};  ///< "" means Always.
  std::optional<std::int64_t> termination_grace_period_seconds{};
  std::optional<std::int64_t> active_deadline_seconds{};
  std::string dns_policy{};
  std::map<std::string, std::string> node_selector{};
  std::string service_account_name{};
  std::optional<bool> automount_service_account_token{};
  std::string node_name{};
  bool host_network = false;
  bool host_pid = false;
  std::optional<bool> share_process_namespace{};
  std::optional<json::Object> security_context{};
  std::vector<LocalObjectReference> image_pull_secrets{};
  std::string hostname{};
  std::string subdomain{};
  std::optional<Affinity> affinity{};
  std::string scheduler_name{};
  std::vector<Toleration> tolerations{};
  std::string priority_class_name{};
  std::optional<std::int32_t> priority{};
  std::optional<bool> enable_service_links{};
  std::optional<std::string> runtime_class_name{};
  PodSpecRest rest{};  ///< Inlined in JSON.
};
template <class V>
void describe(V& v, PodSpec& s) {
  v.field("initContainers", s.init_containers, Presence::Optional,
          "Run before the containers, in order.", {.merge_key = "name"});
  v.field("containers", s.containers, Presence::Required, "What runs.", {.merge_key = "name"});
  v.field("volumes", s.volumes, Presence::Optional, "What containers can mount.",
          {.merge_key = "name"});
  v.field("restartPolicy", s.restart_policy, Presence::Optional, "Always, OnFailure or Never.");
  v.field("terminationGracePeriodSeconds", s.termination_grace_period_seconds, Presence::Optional,
          "Seconds to end gracefully.");
  v.field("activeDeadlineSeconds", s.active_deadline_seconds, Presence::Optional,
          "Seconds the pod may run.");
  v.field("dnsPolicy", s.dns_policy, Presence::Optional, "How names are resolved.");
  v.field("nodeSelector", s.node_selector, Presence::Optional, "Labels the node must have.",
          {.atomic_map = true});
  v.field("serviceAccountName", s.service_account_name, Presence::Optional, "Identity of the pod.");
  v.field("automountServiceAccountToken", s.automount_service_account_token, Presence::Optional,
          "Whether its token is mounted.");
  v.field("nodeName", s.node_name, Presence::Optional, "Node the pod is bound to.");
  v.field("hostNetwork", s.host_network, Presence::Optional, "Uses the node's network.");
  v.field("hostPID", s.host_pid, Presence::Optional, "Uses the node's process ids.");
  v.field("shareProcessNamespace", s.share_process_namespace, Presence::Optional,
          "Containers see each other's processes.");
  v.field("securityContext", s.security_context, Presence::Optional,
          "Security settings of the pod.");
  v.field("imagePullSecrets", s.image_pull_secrets, Presence::Optional,
          "Secrets for pulling images.", {.merge_key = "name"});
  v.field("hostname", s.hostname, Presence::Optional, "Host name; the pod's name by default.");
  v.field("subdomain", s.subdomain, Presence::Optional, "Domain below the namespace's.");
  v.field("affinity", s.affinity, Presence::Optional, "Where the pod may or should run.");
  v.field("schedulerName", s.scheduler_name, Presence::Optional, "Who chooses the node.");
  v.field("tolerations", s.tolerations, Presence::Optional, "Taints that do not keep it away.",
          {.list_type = "atomic"});
  v.field("priorityClassName", s.priority_class_name, Presence::Optional, "Importance by name.");
  v.field("priority", s.priority, Presence::Optional, "Importance as a number.");
  v.field("enableServiceLinks", s.enable_service_links, Presence::Optional,
          "Variables for Services.");
  v.field("runtimeClassName", s.runtime_class_name, Presence::Optional,
          "Container runtime to use.");
  describe_members(v, s.rest);
}

struct PodTemplateSpec {
  ObjectMeta metadata{};
  PodSpec spec{};
};
template <class V>
void describe(V& v, PodTemplateSpec& t) {
  v.field("metadata", t.metadata, Presence::Optional, "Labels and annotations of the pods.");
  v.field("spec", t.spec, Presence::Optional, "What the pods run.");
}

struct PodCondition {
  std::string type{};
  std::string status{};
  Time last_probe_time{};
  Time last_transition_time{};
  std::string reason{};
  std::string message{};
  Unread unread{};
};
template <class V>
void describe(V& v, PodCondition& c) {
  v.field("type", c.type, Presence::Required, "PodScheduled, Initialized, ContainersReady, Ready.");
  v.field("status", c.status, Presence::Required, "True, False or Unknown.");
  v.field("lastProbeTime", c.last_probe_time, Presence::Optional, "When it was last looked at.",
          {.format = "date-time"});
  v.field("lastTransitionTime", c.last_transition_time, Presence::Optional,
          "When the status last changed.", {.format = "date-time"});
  v.field("reason", c.reason, Presence::Optional, "CamelCase reason.");
  v.field("message", c.message, Presence::Optional, "Details for people.");
  v.field("observedGeneration", c.unread, Presence::Optional, "Generation this is about.");
}

struct ContainerStateWaiting {
  std::string reason{};
  std::string message{};
};
template <class V>
void describe(V& v, ContainerStateWaiting& s) {
  v.field("reason", s.reason, Presence::Optional, "Why it does not run yet.");
  v.field("message", s.message, Presence::Optional, "Details for people.");
}

struct ContainerStateRunning {
  Time started_at{};
};
template <class V>
void describe(V& v, ContainerStateRunning& s) {
  v.field("startedAt", s.started_at, Presence::Optional, "When it started.",
          {.format = "date-time"});
}

struct ContainerStateTerminated {
  std::int32_t exit_code = 0;
  std::int32_t signal = 0;
  std::string reason{};
  std::string message{};
  Time started_at{};
  Time finished_at{};
  std::string container_id{};
};
template <class V>
void describe(V& v, ContainerStateTerminated& s) {
  v.field("exitCode", s.exit_code, Presence::Required, "Exit status.");
  v.field("signal", s.signal, Presence::Optional, "Signal that ended it.");
  v.field("reason", s.reason, Presence::Optional, "Completed, Error, OOMKilled, ...");
  v.field("message", s.message, Presence::Optional, "Its last words.");
  v.field("startedAt", s.started_at, Presence::Optional, "When it started.",
          {.format = "date-time"});
  v.field("finishedAt", s.finished_at, Presence::Optional, "When it ended.",
          {.format = "date-time"});
  v.field("containerID", s.container_id, Presence::Optional, "Runtime's id of it.");
}

struct ContainerState {
  std::optional<ContainerStateWaiting> waiting{};
  std::optional<ContainerStateRunning> running{};
  std::optional<ContainerStateTerminated> terminated{};
};
template <class V>
void describe(V& v, ContainerState& s) {
  v.field("waiting", s.waiting, Presence::Optional, "It does not run yet.");
  v.field("running", s.running, Presence::Optional, "It runs.");
  v.field("terminated", s.terminated, Presence::Optional, "It ended.");
}

struct ContainerStatus {
  std::string name{};
  ContainerState state{};
  ContainerState last_state{};
  bool ready = false;
  std::int32_t restart_count = 0;
  std::string image{};
  std::string image_id{};
  std::string container_id{};
  std::optional<bool> started{};
  Unread unread{};
};
template <class V>
void describe(V& v, ContainerStatus& s) {
  v.field("name", s.name, Presence::Required, "Name of the container.");
  v.field("state", s.state, Presence::Optional, "What it does now.");
  v.field("lastState", s.last_state, Presence::Optional, "How it ended before.");
  v.field("ready", s.ready, Presence::Required, "Passes its readiness probe.");
  v.field("restartCount", s.restart_count, Presence::Required, "How often it was started again.");
  v.field("image", s.image, Presence::Required, "Image it runs.");
  v.field("imageID", s.image_id, Presence::Required, "Digest of that image.");
  v.field("containerID", s.container_id, Presence::Optional, "Runtime's id of it.");
  v.field("started", s.started, Presence::Optional, "Passed its startup probe.");
  v.field("allocatedResources", s.unread, Presence::Optional, "Resources set aside for it.");
  v.field("allocatedResourcesStatus", s.unread, Presence::Optional, "State of its devices.");
  v.field("resources", s.unread, Presence::Optional, "Resources it has.");
  v.field("stopSignal", s.unread, Presence::Optional, "Signal that ends it.");
  v.field("user", s.unread, Presence::Optional, "Identity it runs as.");
  v.field("volumeMounts", s.unread, Presence::Optional, "Volumes it sees.");
}

struct PodIp {
  std::string ip{};
};
template <class V>
void describe(V& v, PodIp& p) {
  v.field("ip", p.ip, Presence::Required, "The address.");
}

struct PodStatus {
  std::string phase{};
  std::vector<PodCondition> conditions{};
  std::string message{};
  std::string reason{};
  std::string nominated_node_name{};
  std::string host_ip{};
  std::string pod_ip{};
  std::vector<PodIp> pod_ips{};
  Time start_time{};
  std::vector<ContainerStatus> init_container_statuses{};
  std::vector<ContainerStatus> container_statuses{};
  std::string qos_class{};
  std::int64_t observed_generation = 0;
  Unread unread{};
};
template <class V>
void describe(V& v, PodStatus& s) {
  v.field("phase", s.phase, Presence::Optional, "Pending, Running, Succeeded, Failed or Unknown.");
  v.field("conditions", s.conditions, Presence::Optional, "Where the pod stands.",
          {.merge_key = "type"});
  v.field("message", s.message, Presence::Optional, "Details for people.");
  v.field("reason", s.reason, Presence::Optional, "CamelCase reason, such as Evicted.");
  v.field("nominatedNodeName", s.nominated_node_name, Presence::Optional, "Node it may get.");
  v.field("hostIP", s.host_ip, Presence::Optional, "Address of its node.");
  v.field("podIP", s.pod_ip, Presence::Optional, "Its address.");
  v.field("podIPs", s.pod_ips, Presence::Optional, "Its addresses.", {.merge_key = "ip"});
  v.field("startTime", s.start_time, Presence::Optional, "When the node took it.",
          {.format = "date-time"});
  v.field("initContainerStatuses", s.init_container_statuses, Presence::Optional,
          "State of the init containers.", {.list_type = "atomic"});
  v.field("containerStatuses", s.container_statuses, Presence::Optional, "State of the containers.",
          {.list_type = "atomic"});
  v.field("qosClass", s.qos_class, Presence::Optional, "Guaranteed, Burstable or BestEffort.");
  v.field("observedGeneration", s.observed_generation, Presence::Optional,
          "Generation this is about.");
  v.field("allocatedResources", s.unread, Presence::Optional, "Resources set aside for the pod.");
  v.field("ephemeralContainerStatuses", s.unread, Presence::Optional,
          "State of the debugging containers.");
  v.field("extendedResourceClaimStatus", s.unread, Presence::Optional,
          "Devices of extended resources.");
  v.field("hostIPs", s.unread, Presence::Optional, "Addresses of its node.");
  v.field("resize", s.unread, Presence::Optional, "Where a change of resources stands.");
  v.field("resourceClaimStatuses", s.unread, Presence::Optional, "Devices it claimed.");
  v.field("resources", s.unread, Presence::Optional, "Resources the pod has.");
}

struct Pod {
  static constexpr ResourceType kType{"", "v1", "pods", "Pod", true};
  ObjectMeta metadata{};
  PodSpec spec{};
  PodStatus status{};
};
template <class V>
void describe(V& v, Pod& p) {
  v.type("Containers that run together on one node.");
  describe_root(v, p);
  v.field("spec", p.spec, Presence::Optional, "What should run.");
  v.field("status", p.status, Presence::Optional, "What runs.");
}

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::Pod> decode(const Value&);
extern template Value encode(const api::Pod&);
}  // namespace json

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core/int_or_string.h"
#include "api/core/quantity.h"
#include "api/core/references.h"
#include "api/meta.h"

/// core/v1 containers: what runs, with which environment, mounts, probes and resources.
namespace api {

struct ContainerPort {
  std::string name{};
  std::int32_t container_port = 0;
  std::int32_t host_port = 0;
  std::string host_ip{};
  std::string protocol{};  ///< "" means TCP.
};
template <class V>
void describe(V& v, ContainerPort& p) {
  v.field("name", p.name, Presence::Optional, "Name that Services may refer to.");
  v.field("containerPort", p.container_port, Presence::Required, "Port on the pod's address.");
  v.field("hostPort", p.host_port, Presence::Optional, "Port on the node's address.");
  v.field("hostIP", p.host_ip, Presence::Optional, "Node address for hostPort.");
  v.field("protocol", p.protocol, Presence::Optional, "TCP, UDP or SCTP.",
          {.default_json = "\"TCP\""});
}

struct ResourceFieldSelector {
  std::string container_name{};
  std::string resource{};
  Quantity divisor{};
};
template <class V>
void describe(V& v, ResourceFieldSelector& s) {
  v.field("containerName", s.container_name, Presence::Optional, "Container; own by default.");
  v.field("resource", s.resource, Presence::Required, "`limits.cpu`, `requests.memory`, ...");
  v.field("divisor", s.divisor, Presence::Optional, "Unit of the result.");
}

struct EnvVarSource {
  std::optional<ObjectFieldSelector> field_ref{};
  std::optional<ResourceFieldSelector> resource_field_ref{};
  std::optional<KeySelector> config_map_key_ref{};
  std::optional<KeySelector> secret_key_ref{};
  json::Value file_key_ref{};
};
template <class V>
void describe(V& v, EnvVarSource& s) {
  v.field("fieldRef", s.field_ref, Presence::Optional, "A field of the pod.", {.atomic_map = true});
  v.field("resourceFieldRef", s.resource_field_ref, Presence::Optional,
          "A resource of a container.", {.atomic_map = true});
  v.field("configMapKeyRef", s.config_map_key_ref, Presence::Optional, "A key of a ConfigMap.",
          {.atomic_map = true});
  v.field("secretKeyRef", s.secret_key_ref, Presence::Optional, "A key of a Secret.",
          {.atomic_map = true});
  v.field("fileKeyRef", s.file_key_ref, Presence::Optional, "A key of a file in a volume.");
}

struct EnvVar {
  std::string name{};
  std::string value{};
  std::optional<EnvVarSource> value_from{};
};
template <class V>
void describe(V& v, EnvVar& e) {
  v.field("name", e.name, Presence::Required, "Name of the variable.");
  v.field("value", e.value, Presence::Optional, "Its value; $(OTHER) is expanded.");
  v.field("valueFrom", e.value_from, Presence::Optional, "Where the value comes from.");
}

/// A whole ConfigMap or Secret by name.
struct OptionalObjectReference {
  std::string name{};
  std::optional<bool> optional{};
};
template <class V>
void describe(V& v, OptionalObjectReference& r) {
  v.field("name", r.name, Presence::Optional, "Name of the object.");
  v.field("optional", r.optional, Presence::Optional, "Whether it may be missing.");
}

struct EnvFromSource {
  std::string prefix{};
  std::optional<OptionalObjectReference> config_map_ref{};
  std::optional<OptionalObjectReference> secret_ref{};
};
template <class V>
void describe(V& v, EnvFromSource& s) {
  v.field("prefix", s.prefix, Presence::Optional, "Put before each key.");
  v.field("configMapRef", s.config_map_ref, Presence::Optional, "All keys of a ConfigMap.");
  v.field("secretRef", s.secret_ref, Presence::Optional, "All keys of a Secret.");
}

struct ResourceRequirements {
  std::map<std::string, Quantity> limits{};
  std::map<std::string, Quantity> requests{};
  json::Value claims{};
};
template <class V>
void describe(V& v, ResourceRequirements& r) {
  v.field("limits", r.limits, Presence::Optional, "The most a container may use.");
  v.field("requests", r.requests, Presence::Optional, "What is set aside for it.");
  v.field("claims", r.claims, Presence::Optional, "Devices it uses.");
}

struct VolumeMount {
  std::string name{};
  std::string mount_path{};
  std::string sub_path{};
  std::string sub_path_expr{};
  bool read_only = false;
  std::optional<std::string> mount_propagation{};
  std::optional<std::string> recursive_read_only{};
};
template <class V>
void describe(V& v, VolumeMount& m) {
  v.field("name", m.name, Presence::Required, "Name of a volume of the pod.");
  v.field("mountPath", m.mount_path, Presence::Required, "Where the container sees it.");
  v.field("subPath", m.sub_path, Presence::Optional, "Path within the volume.");
  v.field("subPathExpr", m.sub_path_expr, Presence::Optional, "subPath with $(VAR) expanded.");
  v.field("readOnly", m.read_only, Presence::Optional, "Forbids writing.");
  v.field("mountPropagation", m.mount_propagation, Presence::Optional, "How mounts propagate.");
  v.field("recursiveReadOnly", m.recursive_read_only, Presence::Optional,
          "Whether readOnly reaches mounts below.");
}

struct ExecAction {
  std::vector<std::string> command{};
};
template <class V>
void describe(V& v, ExecAction& a) {
  v.field("command", a.command, Presence::Optional, "Argument vector; no shell.",
          {.list_type = "atomic"});
}

struct HttpHeader {
  std::string name{};
  std::string value{};
};
template <class V>
void describe(V& v, HttpHeader& h) {
  v.field("name", h.name, Presence::Required, "Header name.");
  v.field("value", h.value, Presence::Required, "Header value.");
}

struct HttpGetAction {
  std::string path{};
  IntOrString port{};
  std::string host{};
  std::string scheme{};  ///< HTTP or HTTPS; "" means HTTP.
  std::vector<HttpHeader> http_headers{};
};
template <class V>
void describe(V& v, HttpGetAction& a) {
  v.field("path", a.path, Presence::Optional, "Path to get.");
  v.field("port", a.port, Presence::Required, "Port by number or name.");
  v.field("host", a.host, Presence::Optional, "Host; the pod's address by default.");
  v.field("scheme", a.scheme, Presence::Optional, "HTTP or HTTPS.");
  v.field("httpHeaders", a.http_headers, Presence::Optional, "Headers to send.",
          {.list_type = "atomic"});
}

struct TcpSocketAction {
  IntOrString port{};
  std::string host{};
};
template <class V>
void describe(V& v, TcpSocketAction& a) {
  v.field("port", a.port, Presence::Required, "Port by number or name.");
  v.field("host", a.host, Presence::Optional, "Host; the pod's address by default.");
}

/// Zero in a number means the Kubernetes default: timeout 1, period 10, success 1, failure 3.
struct Probe {
  std::optional<ExecAction> exec{};
  std::optional<HttpGetAction> http_get{};
  std::optional<TcpSocketAction> tcp_socket{};
  std::int32_t initial_delay_seconds = 0;
  std::int32_t timeout_seconds = 0;
  std::int32_t period_seconds = 0;
  std::int32_t success_threshold = 0;
  std::int32_t failure_threshold = 0;
  std::optional<std::int64_t> termination_grace_period_seconds{};
  json::Value grpc{};
};
template <class V>
void describe(V& v, Probe& p) {
  v.field("exec", p.exec, Presence::Optional, "Runs a command; exit status 0 passes.");
  v.field("httpGet", p.http_get, Presence::Optional, "Gets a URL; 200-399 passes.");
  v.field("tcpSocket", p.tcp_socket, Presence::Optional, "Opens a connection.");
  v.field("initialDelaySeconds", p.initial_delay_seconds, Presence::Optional,
          "Wait before the first probe.");
  v.field("timeoutSeconds", p.timeout_seconds, Presence::Optional, "Limit of one probe.");
  v.field("periodSeconds", p.period_seconds, Presence::Optional, "Time between probes.");
  v.field("successThreshold", p.success_threshold, Presence::Optional,
          "Passes in a row that count as success.");
  v.field("failureThreshold", p.failure_threshold, Presence::Optional,
          "Failures in a row that count as failure.");
  v.field("terminationGracePeriodSeconds", p.termination_grace_period_seconds, Presence::Optional,
          "Overrides the pod's grace period.");
  v.field("grpc", p.grpc, Presence::Optional, "Calls the gRPC health service; not probed here.");
}

struct LifecycleHandler {
  std::optional<ExecAction> exec{};
  std::optional<HttpGetAction> http_get{};
  std::optional<TcpSocketAction> tcp_socket{};
  json::Value sleep{};
};
template <class V>
void describe(V& v, LifecycleHandler& h) {
  v.field("exec", h.exec, Presence::Optional, "Runs a command.");
  v.field("httpGet", h.http_get, Presence::Optional, "Gets a URL.");
  v.field("tcpSocket", h.tcp_socket, Presence::Optional, "Accepted for compatibility.");
  v.field("sleep", h.sleep, Presence::Optional, "Waits.");
}

struct Lifecycle {
  std::optional<LifecycleHandler> post_start{};
  std::optional<LifecycleHandler> pre_stop{};
  std::optional<std::string> stop_signal{};
};
template <class V>
void describe(V& v, Lifecycle& l) {
  v.field("postStart", l.post_start, Presence::Optional, "Called right after the start.");
  v.field("preStop", l.pre_stop, Presence::Optional, "Called before the end.");
  v.field("stopSignal", l.stop_signal, Presence::Optional, "Signal that ends it.");
}

struct Capabilities {
  std::vector<std::string> add{};
  std::vector<std::string> drop{};
};
template <class V>
void describe(V& v, Capabilities& c) {
  v.field("add", c.add, Presence::Optional, "Capabilities to add.", {.list_type = "atomic"});
  v.field("drop", c.drop, Presence::Optional, "Capabilities to drop.", {.list_type = "atomic"});
}

struct SecurityContext {
  std::optional<Capabilities> capabilities{};
  std::optional<bool> privileged{};
  std::optional<std::int64_t> run_as_user{};
  std::optional<std::int64_t> run_as_group{};
  std::optional<bool> run_as_non_root{};
  std::optional<bool> read_only_root_filesystem{};
  std::optional<bool> allow_privilege_escalation{};
  std::optional<json::Object> seccomp_profile{};
  std::optional<json::Object> se_linux_options{};
  json::Value app_armor_profile{};
  json::Value proc_mount{};
  json::Value windows_options{};
};
template <class V>
void describe(V& v, SecurityContext& c) {
  v.field("capabilities", c.capabilities, Presence::Optional, "Linux capabilities.");
  v.field("privileged", c.privileged, Presence::Optional, "As root on the node.");
  v.field("runAsUser", c.run_as_user, Presence::Optional, "User id.");
  v.field("runAsGroup", c.run_as_group, Presence::Optional, "Group id.");
  v.field("runAsNonRoot", c.run_as_non_root, Presence::Optional, "Refuses to run as root.");
  v.field("readOnlyRootFilesystem", c.read_only_root_filesystem, Presence::Optional,
          "Makes the root file system read-only.");
  v.field("allowPrivilegeEscalation", c.allow_privilege_escalation, Presence::Optional,
          "Whether a process may gain privileges.");
  v.field("seccompProfile", c.seccomp_profile, Presence::Optional, "System call filter.");
  v.field("seLinuxOptions", c.se_linux_options, Presence::Optional, "SELinux context.");
  v.field("appArmorProfile", c.app_armor_profile, Presence::Optional, "AppArmor profile.");
  v.field("procMount", c.proc_mount, Presence::Optional, "How /proc is mounted.");
  v.field("windowsOptions", c.windows_options, Presence::Optional, "Settings for Windows.");
}

struct VolumeDevice {
  std::string name{};
  std::string device_path{};
};
template <class V>
void describe(V& v, VolumeDevice& d) {
  v.field("name", d.name, Presence::Required, "Name of a claim volume.");
  v.field("devicePath", d.device_path, Presence::Required, "Device in the container.");
}

struct Container {
  std::string name{};
  std::string image{};
  std::vector<std::string> command{};
  std::vector<std::string> args{};
  std::string working_dir{};
  std::vector<ContainerPort> ports{};
  std::vector<EnvFromSource> env_from{};
  std::vector<EnvVar> env{};
  ResourceRequirements resources{};
  std::vector<VolumeMount> volume_mounts{};
  std::vector<VolumeDevice> volume_devices{};
  std::optional<Probe> liveness_probe{};
  std::optional<Probe> readiness_probe{};
  std::optional<Probe> startup_probe{};
  std::optional<Lifecycle> lifecycle{};
  std::optional<std::string> restart_policy{};  ///< `Always` makes an init container a sidecar.
  std::string termination_message_path{};
  std::string termination_message_policy{};
  std::string image_pull_policy{};
  std::optional<SecurityContext> security_context{};
  bool stdin_open = false;  ///< `stdin` in JSON.
  bool stdin_once = false;
  bool tty = false;
  json::Value resize_policy{};
  json::Value restart_policy_rules{};
};
template <class V>
void describe(V& v, Container& c) {
  v.field("name", c.name, Presence::Required, "DNS label, unique within the pod.");
  v.field("image", c.image, Presence::Optional, "Image reference.");
  v.field("command", c.command, Presence::Optional, "Replaces the image's entry point.",
          {.list_type = "atomic"});
  v.field("args", c.args, Presence::Optional, "Arguments of the entry point.",
          {.list_type = "atomic"});
  v.field("workingDir", c.working_dir, Presence::Optional, "Working directory.");
  v.field("ports", c.ports, Presence::Optional, "Ports the container listens on.",
          {.merge_key = "containerPort", .merge_key_2 = "protocol"});
  v.field("envFrom", c.env_from, Presence::Optional, "Objects whose keys become variables.",
          {.list_type = "atomic"});
  v.field("env", c.env, Presence::Optional, "Environment variables.", {.merge_key = "name"});
  v.field("resources", c.resources, Presence::Optional, "Resources it needs and may use.");
  v.field("volumeMounts", c.volume_mounts, Presence::Optional, "Volumes it sees.",
          {.merge_key = "mountPath"});
  v.field("volumeDevices", c.volume_devices, Presence::Optional, "Block devices it sees.",
          {.merge_key = "devicePath"});
  v.field("livenessProbe", c.liveness_probe, Presence::Optional, "Failure restarts it.");
  v.field("readinessProbe", c.readiness_probe, Presence::Optional,
          "Failure takes it out of Services.");
  v.field("startupProbe", c.startup_probe, Presence::Optional,
          "Holds the other probes back until it passes.");
  v.field("lifecycle", c.lifecycle, Presence::Optional, "Hooks at start and stop.");
  v.field("restartPolicy", c.restart_policy, Presence::Optional,
          "Always makes an init container run beside the pod.");
  v.field("terminationMessagePath", c.termination_message_path, Presence::Optional,
          "File with the last words of the container.");
  v.field("terminationMessagePolicy", c.termination_message_policy, Presence::Optional,
          "File or FallbackToLogsOnError.");
  v.field("imagePullPolicy", c.image_pull_policy, Presence::Optional,
          "Always, IfNotPresent or Never.");
  v.field("securityContext", c.security_context, Presence::Optional, "Security settings.");
  v.field("stdin", c.stdin_open, Presence::Optional, "Keeps standard input open.");
  v.field("stdinOnce", c.stdin_once, Presence::Optional, "Closes it after the first client.");
  v.field("tty", c.tty, Presence::Optional, "Allocates a terminal.");
  v.field("resizePolicy", c.resize_policy, Presence::Optional, "How resources may change.");
  v.field("restartPolicyRules", c.restart_policy_rules, Presence::Optional,
          "When it is started again.");
}

}  // namespace api

#include "apiserver/builtin/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "apiserver/objects/metadata.h"
#include "apiserver/resources/table.h"

/// Columns and cells as kube-apiserver's printers make them.
namespace apiserver {
namespace {

using json::find_array;
using json::find_int;
using json::find_string;

json::Value text(std::string_view value) { return json::String(value); }
json::Value text_or(std::string_view value, std::string_view fallback) {
  return json::String(value.empty() ? fallback : value);
}
json::Value name_of(const json::Value& object) {
  return text(find_string(object, "metadata.name"));
}
json::Value age(const json::Value& object, base::SystemTime now) {
  return text(age_of(find_string(object, "metadata.creationTimestamp"), now));
}
std::int64_t int_of(const json::Value& object, std::string_view path, std::int64_t fallback = 0) {
  return find_int(object, path).value_or(fallback);
}
std::size_t size_of(const json::Value& object, std::string_view path) {
  const json::Object* map = json::find_object(object, path);
  return map ? map->size() : 0;
}

std::string join(const std::vector<std::string>& parts, std::string_view fallback = "<none>") {
  return parts.empty() ? std::string(fallback) : fmt::format("{}", fmt::join(parts, ","));
}

PrinterColumn column(const char* name, int priority = 0, const char* type = "string") {
  PrinterColumn out;
  out.name = name;
  out.type = type;
  out.priority = priority;
  if (out.name == "Name") out.format = "name";
  return out;
}

template <class... Names>
std::vector<PrinterColumn> columns(Names... names) {
  return {column(names)...};
}

std::string labels_text(const json::Object* labels) {
  std::vector<std::string> parts;
  if (labels)
    for (const auto& member : *labels)
      parts.push_back(fmt::format("{}={}", std::string_view(member.key()),
                                  member.value().is_string()
                                      ? json::view(member.value().get_string())
                                      : std::string_view()));
  std::sort(parts.begin(), parts.end());
  return join(parts);
}

void add_container_cells(json::Array& cells, const json::Value& object) {
  std::vector<std::string> names;
  std::vector<std::string> images;
  if (const auto* list = find_array(object, "spec.template.spec.containers")) {
    for (const auto& container : *list) {
      names.emplace_back(find_string(container, "name"));
      images.emplace_back(find_string(container, "image"));
    }
  }
  cells.emplace_back(text(join(names)));
  cells.emplace_back(text(join(images)));
}

// --- pods ---------------------------------------------------------------------------------------

/// Waiting and terminated reasons of one container status; "" when it runs.
std::string container_reason(const json::Value& status) {
  if (const auto reason = find_string(status, "state.waiting.reason"); !reason.empty())
    return std::string(reason);
  if (!json::find(status, "state.terminated")) return {};
  if (const auto reason = find_string(status, "state.terminated.reason"); !reason.empty())
    return std::string(reason);
  const auto signal = int_of(status, "state.terminated.signal");
  return signal != 0 ? fmt::format("Signal:{}", signal)
                     : fmt::format("ExitCode:{}", int_of(status, "state.terminated.exitCode"));
}

/// `Init:1/2`, `Init:Error`, ...; "" when every init container is done.
std::string init_reason(const json::Value& pod) {
  const auto* statuses = find_array(pod, "status.initContainerStatuses");
  const auto* containers = find_array(pod, "spec.initContainers");
  if (!statuses || !containers) return {};
  for (std::size_t i = 0; i < statuses->size(); ++i) {
    const json::Value& status = (*statuses)[i];
    if (json::find(status, "state.terminated") && int_of(status, "state.terminated.exitCode") == 0)
      continue;
    const std::string reason = container_reason(status);
    if (!reason.empty() && reason != "PodInitializing") return "Init:" + reason;
    return fmt::format("Init:{}/{}", i, containers->size());
  }
  return {};
}

std::string pod_status(const json::Value& pod) {
  const auto phase = find_string(pod, "status.phase");
  std::string reason(find_string(pod, "status.reason"));
  if (reason.empty()) reason = phase.empty() ? "Unknown" : phase;
  if (const std::string init = init_reason(pod); !init.empty()) {
    reason = init;
  } else {
    bool running = false;
    if (const auto* list = find_array(pod, "status.containerStatuses")) {
      for (const json::Value& status : std::views::reverse(*list)) {
        const std::string own = container_reason(status);
        if (!own.empty()) reason = own;
        const json::Value* ready = json::find(status, "ready");
        running = running || (ready && ready->is_bool() && ready->get_bool() &&
                              json::find(status, "state.running"));
      }
    }
    if (reason == "Completed" && running) reason = "Running";
  }
  if (is_deleting(pod) && phase != "Succeeded" && phase != "Failed")
    return find_string(pod, "status.reason") == "NodeLost" ? "Unknown" : "Terminating";
  return reason;
}

json::Value restarts_cell(const json::Value& pod, base::SystemTime now) {
  std::int64_t count = 0;
  std::string_view last;
  for (const char* path : {"status.containerStatuses", "status.initContainerStatuses"}) {
    const auto* list = find_array(pod, path);
    if (!list) continue;
    if (std::string_view(path) != "status.containerStatuses" && init_reason(pod).empty()) continue;
    for (const auto& status : *list) {
      count += int_of(status, "restartCount");
      const auto end = find_string(status, "lastState.terminated.finishedAt");
      if (end > last) last = end;
    }
  }
  if (count == 0 || last.empty()) return text(fmt::format("{}", count));
  return text(fmt::format("{} ({} ago)", count, age_of(last, now)));
}

json::Array pod_row(const json::Value& pod, base::SystemTime now) {
  std::size_t ready = 0;
  if (const auto* list = find_array(pod, "status.containerStatuses"))
    for (const auto& status : *list)
      if (const auto* value = json::find(status, "ready");
          value && value->is_bool() && value->get_bool())
        ++ready;
  const auto* containers = find_array(pod, "spec.containers");
  json::Array cells;
  cells.emplace_back(name_of(pod));
  cells.emplace_back(text(fmt::format("{}/{}", ready, containers ? containers->size() : 0)));
  cells.emplace_back(text(pod_status(pod)));
  cells.emplace_back(restarts_cell(pod, now));
  cells.emplace_back(age(pod, now));
  cells.emplace_back(text_or(find_string(pod, "status.podIP"), "<none>"));
  cells.emplace_back(text_or(find_string(pod, "spec.nodeName"), "<none>"));
  cells.emplace_back(text_or(find_string(pod, "status.nominatedNodeName"), "<none>"));
  cells.emplace_back("<none>");
  return cells;
}

// --- nodes --------------------------------------------------------------------------------------

std::string node_roles(const json::Value& node) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::vector<std::string> roles;
  if (const auto* labels = json::find_object(node, "metadata.labels")) {
    for (const auto& member : *labels) {
      const std::string_view key(member.key().data(), member.key().size());
      if (key.starts_with(kPrefix) && key.size() > kPrefix.size())
        roles.emplace_back(key.substr(kPrefix.size()));
      if (key == "kubernetes.io/role" && member.value().is_string())
        roles.push_back(json::to_string(member.value().get_string()));
    }
  }
  std::sort(roles.begin(), roles.end());
  return join(roles);
}

json::Array node_row(const json::Value& node, base::SystemTime now) {
  std::string status = "Unknown";
  if (const auto* list = find_array(node, "status.conditions"))
    for (const auto& condition : *list)
      if (find_string(condition, "type") == "Ready") {
        const auto value = find_string(condition, "status");
        status = value == "True" ? "Ready" : value == "False" ? "NotReady" : "Unknown";
      }
  if (const auto* off = json::find(node, "spec.unschedulable");
      off && off->is_bool() && off->get_bool())
    status += ",SchedulingDisabled";
  const auto address = [&](std::string_view type) -> json::Value {
    if (const auto* list = find_array(node, "status.addresses"))
      for (const auto& entry : *list)
        if (find_string(entry, "type") == type) return text(find_string(entry, "address"));
    return "<none>";
  };
  json::Array cells;
  cells.emplace_back(name_of(node));
  cells.emplace_back(text(status));
  cells.emplace_back(text(node_roles(node)));
  cells.emplace_back(age(node, now));
  cells.emplace_back(text(find_string(node, "status.nodeInfo.kubeletVersion")));
  cells.emplace_back(address("InternalIP"));
  cells.emplace_back(address("ExternalIP"));
  for (const char* path : {"status.nodeInfo.osImage", "status.nodeInfo.kernelVersion",
                           "status.nodeInfo.containerRuntimeVersion"})
    cells.emplace_back(text_or(find_string(node, path), "<unknown>"));
  return cells;
}

// --- services and endpoints ---------------------------------------------------------------------

json::Array service_row(const json::Value& service, base::SystemTime now) {
  std::vector<std::string> ports;
  if (const auto* list = find_array(service, "spec.ports")) {
    for (const auto& port : *list) {
      const auto node_port = int_of(port, "nodePort");
      const std::string node = node_port > 0 ? fmt::format(":{}", node_port) : std::string();
      ports.push_back(
          fmt::format("{}{}/{}", int_of(port, "port"), node, find_string(port, "protocol")));
    }
  }
  std::vector<std::string> external;
  if (const auto* list = find_array(service, "spec.externalIPs"))
    for (const auto& entry : *list)
      if (entry.is_string()) external.push_back(json::to_string(entry.get_string()));
  if (const auto* list = find_array(service, "status.loadBalancer.ingress"))
    for (const auto& entry : *list) external.emplace_back(find_string(entry, "ip"));
  const auto type = find_string(service, "spec.type");
  std::string outside = join(external, type == "LoadBalancer" ? "<pending>" : "<none>");
  if (type == "ExternalName") outside = find_string(service, "spec.externalName");
  json::Array cells;
  cells.emplace_back(name_of(service));
  cells.emplace_back(text(type));
  cells.emplace_back(text_or(find_string(service, "spec.clusterIP"), "<none>"));
  cells.emplace_back(text(outside));
  cells.emplace_back(text(join(ports)));
  cells.emplace_back(age(service, now));
  cells.emplace_back(text(labels_text(json::find_object(service, "spec.selector"))));
  return cells;
}

json::Array endpoints_row(const json::Value& endpoints, base::SystemTime now) {
  constexpr std::size_t kShown = 3;
  std::vector<std::string> all;
  if (const auto* subsets = find_array(endpoints, "subsets")) {
    for (const auto& subset : *subsets) {
      const auto* addresses = find_array(subset, "addresses");
      const auto* ports = find_array(subset, "ports");
      if (!addresses) continue;
      for (const auto& address : *addresses) {
        if (!ports || ports->empty()) all.emplace_back(find_string(address, "ip"));
        if (ports)
          for (const auto& port : *ports)
            all.push_back(fmt::format("{}:{}", find_string(address, "ip"), int_of(port, "port")));
      }
    }
  }
  const std::size_t more = all.size() > kShown ? all.size() - kShown : 0;
  all.resize(std::min(all.size(), kShown));
  std::string shown = join(all);
  if (more > 0) shown += fmt::format(" + {} more...", more);
  return {name_of(endpoints), text(shown), age(endpoints, now)};
}

json::Array endpoint_slice_row(const json::Value& slice, base::SystemTime now) {
  std::vector<std::string> ports;
  if (const auto* list = find_array(slice, "ports"))
    for (const auto& port : *list) ports.push_back(fmt::format("{}", int_of(port, "port")));
  std::vector<std::string> addresses;
  if (const auto* list = find_array(slice, "endpoints"))
    for (const auto& endpoint : *list)
      if (const auto* own = find_array(endpoint, "addresses"))
        for (const auto& address : *own)
          if (address.is_string()) addresses.push_back(json::to_string(address.get_string()));
  return {name_of(slice), text(find_string(slice, "addressType")), text(join(ports, "<unset>")),
          text(join(addresses, "<unset>")), age(slice, now)};
}

// --- workloads ----------------------------------------------------------------------------------

json::Array stateful_set_row(const json::Value& set, base::SystemTime now) {
  json::Array cells;
  cells.emplace_back(name_of(set));
  cells.emplace_back(text(
      fmt::format("{}/{}", int_of(set, "status.readyReplicas"), int_of(set, "spec.replicas", 1))));
  cells.emplace_back(age(set, now));
  add_container_cells(cells, set);
  return cells;
}

std::string job_status(const json::Value& job) {
  std::string status = "Running";
  if (const auto* list = find_array(job, "status.conditions")) {
    for (const auto& condition : *list) {
      if (find_string(condition, "status") != "True") continue;
      const auto type = find_string(condition, "type");
      if (type == "Complete" || type == "Failed" || type == "Suspended")
        status = std::string(type);
      else if (type == "FailureTarget" && status == "Running")
        status = "FailureTarget";
      else if (type == "SuccessCriteriaMet" && status == "Running")
        status = "SuccessCriteriaMet";
    }
  }
  return status == "Running" && is_deleting(job) ? "Terminating" : status;
}

json::Array job_row(const json::Value& job, base::SystemTime now) {
  std::string duration;
  const auto start = base::parse_rfc3339(find_string(job, "status.startTime"));
  if (start) {
    const auto end = base::parse_rfc3339(find_string(job, "status.completionTime"));
    duration =
        human_duration(std::chrono::floor<std::chrono::seconds>((end ? *end : now) - *start));
  }
  const auto done = int_of(job, "status.succeeded");
  const auto wanted = find_int(job, "spec.completions");
  const auto parallel = int_of(job, "spec.parallelism", 1);
  json::Array cells;
  cells.emplace_back(name_of(job));
  cells.emplace_back(text(job_status(job)));
  cells.emplace_back(text(wanted         ? fmt::format("{}/{}", done, *wanted)
                          : parallel > 1 ? fmt::format("{}/1 of {}", done, parallel)
                                         : fmt::format("{}/1", done)));
  cells.emplace_back(text(duration));
  cells.emplace_back(age(job, now));
  add_container_cells(cells, job);
  cells.emplace_back(text(labels_text(json::find_object(job, "spec.selector.matchLabels"))));
  return cells;
}

json::Array controller_revision_row(const json::Value& object, base::SystemTime now) {
  json::Value controller = "<none>";
  if (const auto* owners = find_array(object, "metadata.ownerReferences"))
    for (const auto& owner : *owners)
      controller =
          text(fmt::format("{}/{}", find_string(owner, "kind"), find_string(owner, "name")));
  return {name_of(object), controller, int_of(object, "revision"), age(object, now)};
}

// --- events -------------------------------------------------------------------------------------

std::string event_source(const json::Value& event) {
  std::string component(find_string(event, "source.component"));
  if (component.empty()) component = find_string(event, "reportingComponent");
  const auto host = find_string(event, "source.host");
  return host.empty() ? component : fmt::format("{}, {}", component, host);
}

json::Array event_row(const json::Value& event, base::SystemTime now) {
  std::string_view first = find_string(event, "firstTimestamp");
  if (first.empty()) first = find_string(event, "eventTime");
  std::string_view last = find_string(event, "series.lastObservedTime");
  if (last.empty()) last = find_string(event, "lastTimestamp");
  if (last.empty()) last = first;
  std::string kind(find_string(event, "involvedObject.kind"));
  std::transform(kind.begin(), kind.end(), kind.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  json::Array cells;
  cells.emplace_back(text(age_of(last, now)));
  cells.emplace_back(text(find_string(event, "type")));
  cells.emplace_back(text(find_string(event, "reason")));
  cells.emplace_back(text(fmt::format("{}/{}", kind, find_string(event, "involvedObject.name"))));
  cells.emplace_back(text(find_string(event, "involvedObject.fieldPath")));
  cells.emplace_back(text(event_source(event)));
  cells.emplace_back(text(find_string(event, "message")));
  cells.emplace_back(text(age_of(first, now)));
  cells.emplace_back(std::max(int_of(event, "count", 1), int_of(event, "series.count", 1)));
  cells.emplace_back(name_of(event));
  return cells;
}

// --- the rest -----------------------------------------------------------------------------------

json::Array namespace_row(const json::Value& object, base::SystemTime now) {
  return {name_of(object), text(find_string(object, "status.phase")), age(object, now)};
}
json::Array config_map_row(const json::Value& object, base::SystemTime now) {
  return {name_of(object), size_of(object, "data") + size_of(object, "binaryData"),
          age(object, now)};
}
json::Array secret_row(const json::Value& object, base::SystemTime now) {
  return {name_of(object), text(find_string(object, "type")), size_of(object, "data"),
          age(object, now)};
}
json::Array lease_row(const json::Value& object, base::SystemTime now) {
  return {name_of(object), text(find_string(object, "spec.holderIdentity")), age(object, now)};
}
json::Array service_account_row(const json::Value& object, base::SystemTime now) {
  const auto* secrets = find_array(object, "secrets");
  return {name_of(object), secrets ? secrets->size() : 0, age(object, now)};
}
json::Array crd_row(const json::Value& object, base::SystemTime) {
  return {name_of(object), text(find_string(object, "metadata.creationTimestamp"))};
}
json::Array volume_claim_row(const json::Value& object, base::SystemTime now) {
  std::vector<std::string> modes;
  if (const auto* list = find_array(object, "status.accessModes"))
    for (const auto& mode : *list)
      if (mode.is_string()) modes.push_back(json::to_string(mode.get_string()));
  json::Array cells;
  cells.emplace_back(name_of(object));
  cells.emplace_back(text(find_string(object, "status.phase")));
  cells.emplace_back(text(find_string(object, "spec.volumeName")));
  cells.emplace_back(text(find_string(object, "status.capacity.storage")));
  cells.emplace_back(text(join(modes, "")));
  cells.emplace_back(text(find_string(object, "spec.storageClassName")));
  cells.emplace_back(age(object, now));
  cells.emplace_back(text(find_string(object, "spec.volumeMode")));
  return cells;
}

std::vector<PrinterColumn> wide_from(std::vector<PrinterColumn> all, std::size_t first) {
  for (std::size_t i = first; i < all.size(); ++i) all[i].priority = 1;
  return all;
}

std::vector<PrinterColumn> event_columns() {
  auto all = columns("Last Seen", "Type", "Reason", "Object", "Subobject", "Source", "Message",
                     "First Seen", "Count", "Name");
  for (auto& entry : all)
    if (entry.name == "Subobject" || entry.name == "Source" || entry.name == "First Seen" ||
        entry.name == "Count" || entry.name == "Name")
      entry.priority = 1;
  return all;
}

}  // namespace

TableView table_view(std::string_view plural) {
  if (plural == "pods")
    return {wide_from(columns("Name", "Ready", "Status", "Restarts", "Age", "IP", "Node",
                              "Nominated Node", "Readiness Gates"),
                      5),
            pod_row};
  if (plural == "nodes")
    return {wide_from(columns("Name", "Status", "Roles", "Age", "Version", "Internal-IP",
                              "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
                      5),
            node_row};
  if (plural == "services")
    return {
        wide_from(
            columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"), 6),
        service_row};
  if (plural == "endpoints") return {columns("Name", "Endpoints", "Age"), endpoints_row};
  if (plural == "endpointslices")
    return {columns("Name", "AddressType", "Ports", "Endpoints", "Age"), endpoint_slice_row};
  if (plural == "statefulsets")
    return {wide_from(columns("Name", "Ready", "Age", "Containers", "Images"), 3),
            stateful_set_row};
  if (plural == "jobs")
    return {wide_from(columns("Name", "Status", "Completions", "Duration", "Age", "Containers",
                              "Images", "Selector"),
                      5),
            job_row};
  if (plural == "controllerrevisions")
    return {columns("Name", "Controller", "Revision", "Age"), controller_revision_row};
  if (plural == "events") return {event_columns(), event_row};
  if (plural == "namespaces") return {columns("Name", "Status", "Age"), namespace_row};
  if (plural == "configmaps") return {columns("Name", "Data", "Age"), config_map_row};
  if (plural == "secrets") return {columns("Name", "Type", "Data", "Age"), secret_row};
  if (plural == "leases") return {columns("Name", "Holder", "Age"), lease_row};
  if (plural == "serviceaccounts") return {columns("Name", "Secrets", "Age"), service_account_row};
  if (plural == "customresourcedefinitions") return {columns("Name", "Created At"), crd_row};
  if (plural == "persistentvolumeclaims")
    return {wide_from(columns("Name", "Status", "Volume", "Capacity", "Access Modes",
                              "StorageClass", "Age", "VolumeMode"),
                      7),
            volume_claim_row};
  return {};
}

}  // namespace apiserver

#include "nodeagent/node_status.h"

#include <sys/utsname.h>

#include <algorithm>

#include "base/file.h"
#include "nodeagent/lifecycle/status.h"
#include "nodeagent/limits.h"

namespace nodeagent {
namespace {

std::string first_line(const std::string& path) {
  std::string text = base::read_file(path).value_or("");
  return text.substr(0, text.find('\n'));
}

std::string os_name() {
  const std::string text = base::read_file("/etc/os-release").value_or("");
  constexpr std::string_view kKey = "PRETTY_NAME=\"";
  const std::size_t at = text.find(kKey);
  if (at == std::string::npos) return "Linux";
  const std::size_t begin = at + kKey.size();
  return text.substr(begin, text.find('"', begin) - begin);
}

std::string architecture_name(std::string_view machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return std::string(machine);
}

}  // namespace

MachineInfo MachineInfo::of_this_machine(std::string address, std::string agent_version) {
  utsname names{};
  ::uname(&names);
  MachineInfo info{std::move(address), std::move(agent_version), {}};
  info.system.machine_id = first_line("/etc/machine-id");
  info.system.boot_id = first_line("/proc/sys/kernel/random/boot_id");
  info.system.kernel_version = names.release;
  info.system.os_image = os_name();
  info.system.container_runtime_version = "kaito://" + info.agent_version;
  info.system.kubelet_version = info.agent_version;
  info.system.operating_system = "linux";
  info.system.architecture = architecture_name(names.machine);
  return info;
}

api::NodeStatus node_status(const api::Node& node, const MachineInfo& machine, base::SystemTime now,
                            std::chrono::seconds heartbeat) {
  api::NodeStatus status = node.status;
  const std::string time = base::format_rfc3339(now);
  auto ready = std::ranges::find(status.conditions, "Ready", &api::NodeCondition::type);
  if (ready == status.conditions.end()) {
    status.conditions.push_back({.type = "Ready"});
    ready = std::prev(status.conditions.end());
  }
  const auto last = base::parse_rfc3339(ready->last_heartbeat_time);
  if (!last || now - *last >= heartbeat || ready->status != "True")
    ready->last_heartbeat_time = time;
  if (ready->status != "True") {
    ready->status = "True";
    ready->last_transition_time = time;
    ready->reason = "KubeletReady";
    ready->message = "node agent is running on this machine";
  }
  const std::vector<api::NodeAddress> addresses = {{"InternalIP", machine.address},
                                                   {"Hostname", node.metadata.name}};
  for (const api::NodeAddress& address : addresses) {
    const auto found = std::ranges::find(status.addresses, address.type, &api::NodeAddress::type);
    if (found == status.addresses.end()) status.addresses.push_back(address);
  }
  if (!status.node_info || status.node_info->kubelet_version != machine.system.kubelet_version ||
      status.node_info->boot_id != machine.system.boot_id) {
    status.node_info = machine.system;
  }
  return status;
}

base::Result<kube::Requeue> NodeStatusController::reconcile(const base::Context& ctx,
                                                            const api::ObjectKey& key) {
  const auto node = deps_.nodes.get(key);
  if (!node || !deps_.is_local_node(*node) || node->metadata.deleting())
    return kube::Requeue::none();
  const json::Value wanted =
      json::encode(node_status(*node, machine_, deps_.clock.now(), kNodeHeartbeat));
  const auto patch = status_patch(json::encode(node->status), wanted);
  if (patch) {
    const auto written = kube::patch_status<api::Node>(ctx, deps_.client, key, *patch,
                                                       node->metadata.resource_version);
    if (!written && written.error().code() != base::ErrorCode::NotFound) return written.error();
  }
  return kube::Requeue::after(kNodeHeartbeat);
}

}  // namespace nodeagent

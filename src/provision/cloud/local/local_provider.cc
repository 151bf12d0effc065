#include "provision/cloud/local/local_provider.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "api/nodeclaim/machine.h"
#include "api/nodeclaim/nodeclaim.h"
#include "api/workspace/names.h"
#include "model/sku/sku.h"
#include "provision/labels.h"

namespace provision {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

constexpr std::string_view kScheme = "local://";
constexpr std::string_view kGpu = "nvidia.com/gpu";
constexpr std::size_t kMaxLabelBytes = 63;
/// As kubelets announce by default.
constexpr const char* kMaxPods = "110";

std::string provider_id(const MachineFacts& machine, const std::string& claim) {
  return fmt::format("{}{}/{}", kScheme, machine.name, claim);
}

/// The Node's name is the claim's: the last part of the provider id.
std::string node_name(const std::string& id) { return id.substr(id.rfind('/') + 1); }

/// A label value as near to `text` as the rules for labels allow.
std::string label_value(std::string text) {
  text.resize(std::min(text.size(), kMaxLabelBytes));
  while (!text.empty() && (text.back() == '-' || text.back() == '.')) text.pop_back();
  return text;
}

Instance to_instance(const api::Node& node) {
  return {.provider_id = node.spec.provider_id,
          .claim_name = node.metadata.name,
          .image_id = "local",
          .capacity = node.status.capacity,
          .simulated_gpu = node.metadata.labels.contains(std::string(api::kLabelSimulatedGpu))};
}

std::int64_t gpus_of(const std::string& instance_type) {
  const auto sku = model::find_sku("local", instance_type);
  return sku ? sku->gpu_count : 0;
}

std::string kubernetes_architecture(std::string_view machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return std::string(machine);
}

}  // namespace

MachineFacts read_machine_facts() {
  MachineFacts facts;
  utsname system{};
  if (::uname(&system) == 0) {
    facts.name = system.nodename;
    facts.architecture = kubernetes_architecture(system.machine);
  }
  if (facts.name.empty()) facts.name = "localhost";
  facts.cpus = std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN));
  facts.memory_bytes = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGE_SIZE);
  std::error_code ignored;
  while (std::filesystem::exists(fmt::format("/dev/nvidia{}", facts.gpus), ignored)) ++facts.gpus;
  return facts;
}

api::Node make_local_node(const InstanceRequest& request, const MachineFacts& machine) {
  api::Node node;
  node.metadata.name = request.claim_name;
  node.metadata.labels = request.labels;
  auto& labels = node.metadata.labels;
  labels[std::string(api::kLabelLocalNode)] = "true";
  labels[std::string(kLabelClaim)] = label_value(request.claim_name);
  labels[std::string(kLabelRegistered)] = "true";
  labels[std::string(api::kLabelInstanceType)] = request.instance_type;
  labels["kubernetes.io/hostname"] = label_value(request.claim_name);
  labels["kubernetes.io/os"] = "linux";
  labels["kubernetes.io/arch"] = machine.architecture;
  node.metadata.finalizers = {std::string(kTerminationFinalizer)};
  node.metadata.owner_references.push_back({.api_version = request.claim_api_version,
                                            .kind = request.claim_kind,
                                            .name = request.claim_name,
                                            .uid = request.claim_uid,
                                            .controller = {},
                                            .block_owner_deletion = true});
  node.spec.provider_id = provider_id(machine, request.claim_name);
  node.spec.taints = request.taints;

  auto& capacity = node.status.capacity;
  capacity["cpu"] = api::Quantity(fmt::format("{}", machine.cpus));
  capacity["memory"] = api::Quantity(fmt::format("{}Ki", machine.memory_bytes / 1024));
  capacity["pods"] = kMaxPods;
  if (const std::int64_t gpus = gpus_of(request.instance_type); gpus > 0) {
    labels["accelerator"] = "nvidia";
    capacity[std::string(kGpu)] = api::Quantity(fmt::format("{}", gpus));
    if (machine.gpus < gpus) labels[std::string(api::kLabelSimulatedGpu)] = "true";
  }
  node.status.allocatable = capacity;
  return node;
}

Result<Instance> LocalProvider::create(const base::Context& ctx, const InstanceRequest& request) {
  if (!model::find_sku("local", request.instance_type) &&
      !model::is_plausible_sku("local", request.instance_type)) {
    return Error(ErrorCode::Invalid,
                 fmt::format("instance type '{}' is not known; use a name that one of the clouds "
                             "has, such as Standard_NC24ads_A100_v4 or g5.xlarge",
                             request.instance_type));
  }
  const api::Node wanted = make_local_node(request, deps_.machine);
  auto node = kube::create(ctx, deps_.client, wanted);
  const bool is_new = node.has_value();
  if (!node && node.error().code() == ErrorCode::AlreadyExists) {
    node = kube::get<api::Node>(ctx, deps_.client, {"", wanted.metadata.name});
  }
  if (!node) return std::move(node).error().context("creating the node");
  if (node->spec.provider_id != wanted.spec.provider_id) {
    return Error(ErrorCode::Conflict,
                 fmt::format("a node named {} is there already and is not of this claim; delete it",
                             wanted.metadata.name));
  }
  if (node->status.capacity.empty()) {
    // Some servers take a new Node's status only through the subresource.
    const json::Value status = json::encode(wanted.status);
    node = TRY(kube::patch_status<api::Node>(ctx, deps_.client, wanted.metadata.key(), status));
  }
  if (is_new) announce_simulation(request, *node);
  return to_instance(*node);
}

void LocalProvider::announce_simulation(const InstanceRequest& request, const api::Node& node) {
  if (!node.metadata.labels.contains(std::string(api::kLabelSimulatedGpu))) return;
  const std::string message = fmt::format(
      "{} has {} and this machine has {}: GPU capacity is simulated and the CPU serves",
      request.instance_type,
      gpus_of(request.instance_type) == 1 ? "1 GPU"
                                          : fmt::format("{} GPUs", gpus_of(request.instance_type)),
      deps_.machine.gpus == 0 ? "none" : fmt::format("{}", deps_.machine.gpus));
  const bool is_machine = request.claim_kind == api::Machine::kType.kind;
  const kube::ObjectReference claim{is_machine ? api::Machine::kType : api::NodeClaim::kType,
                                    {"", request.claim_name},
                                    request.claim_uid};
  for (const auto& about : {kube::ObjectReference::of(node), claim}) {
    deps_.events.record(about, kube::EventType::Normal, "SimulatedCapacity", message);
  }
}

/// Errors: NotFound also for a Node of that name that is another machine.
Result<api::Node> LocalProvider::find(const base::Context& ctx, const std::string& id) {
  api::Node node = TRY(kube::get<api::Node>(ctx, deps_.client, {"", node_name(id)}));
  if (node.spec.provider_id != id) {
    return Error(ErrorCode::NotFound, fmt::format("no node has the provider id {}", id));
  }
  return node;
}

Status LocalProvider::remove(const base::Context& ctx, const std::string& id) {
  const api::Node node = TRY(find(ctx, id));
  if (node.metadata.deleting()) {
    return Error(ErrorCode::NotFound, fmt::format("machine {} has ended", id));
  }
  kube::DeleteOptions options;
  options.uid = node.metadata.uid;
  return kube::remove<api::Node>(ctx, deps_.client, node.metadata.key(), options);
}

Result<Instance> LocalProvider::get(const base::Context& ctx, const std::string& id) {
  const api::Node node = TRY(find(ctx, id));
  return to_instance(node);
}

Result<std::vector<Instance>> LocalProvider::list(const base::Context& ctx) {
  kube::ListOptions options;
  options.label_selector = fmt::format("{}=true,{}", api::kLabelLocalNode, kLabelClaim);
  const auto nodes = TRY(kube::list<api::Node>(ctx, deps_.client, options));
  std::vector<Instance> instances;
  for (const api::Node& node : nodes) {
    if (node.spec.provider_id.starts_with(kScheme)) instances.push_back(to_instance(node));
  }
  return instances;
}

std::vector<std::string> LocalProvider::instance_types() const {
  std::vector<std::string> names;
  for (const model::Sku& sku : model::skus("local")) names.emplace_back(sku.name);
  return names;
}

}  // namespace provision

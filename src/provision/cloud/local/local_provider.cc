#include "provision/cloud/local/local_provider.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "api/workspace/names.h"
#include "model/sku/sku.h"
#include "provision/labels.h"

namespace provision {
namespace {

using base::Error;
using base::ErrorCode;

constexpr std::string_view kScheme = "local://";
constexpr std::string_view kGpu = "nvidia.com/gpu";

std::string provider_id(const MachineFacts& machine, const std::string& claim) { return fmt::format("{}{}/{}", kScheme, machine.name, claim); }

/// The Node's name is the claim's: the last part of the provider id.
std::string node_name(const std::string& id) { return id.substr(id.rfind('/') + 1); }

Instance to_instance(const api::Node& node) {
  return {node.spec.provider_id, node.metadata.name, "local", node.status.capacity, node.metadata.labels.contains(std::string(api::kLabelSimulatedGpu))};
}

}  // namespace

MachineFacts read_machine_facts() {
  MachineFacts facts;
  char name[256] = {};
  facts.name = ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
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
  labels[std::string(kLabelClaim)] = request.claim_name;
  labels[std::string(kLabelRegistered)] = "true";
  labels[std::string(api::kLabelInstanceType)] = request.instance_type;
  labels["kubernetes.io/hostname"] = request.claim_name;
  labels["kubernetes.io/os"] = "linux";
  labels["kubernetes.io/arch"] = "amd64";
  node.metadata.owner_references.push_back({.api_version = request.claim_api_version, .kind = request.claim_kind, .name = request.claim_name, .uid = request.claim_uid, .controller = {}, .block_owner_deletion = true});
  node.spec.provider_id = provider_id(machine, request.claim_name);
  node.spec.taints = request.taints;

  const auto sku = model::find_sku("local", request.instance_type);
  const std::int64_t wanted = sku ? sku->gpu_count : 0;
  auto& capacity = node.status.capacity;
  capacity["cpu"] = api::Quantity(fmt::format("{}", machine.cpus));
  capacity["memory"] = api::Quantity(fmt::format("{}Ki", machine.memory_bytes / 1024));
  capacity["pods"] = "110";
  if (wanted > 0) {
    labels["accelerator"] = "nvidia";
    capacity[std::string(kGpu)] = api::Quantity(fmt::format("{}", wanted));
    if (machine.gpus < wanted) labels[std::string(api::kLabelSimulatedGpu)] = "true";
  }
  node.status.allocatable = capacity;
  return node;
}

base::Result<Instance> LocalProvider::create(const base::Context& ctx, const InstanceRequest& request) {
  if (!model::find_sku("local", request.instance_type) && !model::is_plausible_sku("local", request.instance_type)) {
    return Error(ErrorCode::Invalid, fmt::format("instance type '{}' is not known; use one of the clouds' names, such as Standard_NC24ads_A100_v4", request.instance_type));
  }
  const api::Node node = make_local_node(request, deps_.machine);
  auto created = kube::create(ctx, deps_.client, node);
  if (!created && created.error().code() != ErrorCode::AlreadyExists) return std::move(created).error();
  auto live = TRY(kube::get<api::Node>(ctx, deps_.client, {"", node.metadata.name}));
  if (live.spec.provider_id != node.spec.provider_id) {
    return Error(ErrorCode::Conflict, fmt::format("a node named {} is there already and is not of this claim", node.metadata.name));
  }
  if (live.status.capacity.empty()) {
    // Some servers take a new Node's status only through the subresource.
    live = TRY(kube::patch_status<api::Node>(ctx, deps_.client, {"", node.metadata.name},
                                             json::Object{{"capacity", json::encode(node.status).at("capacity")}, {"allocatable", json::encode(node.status).at("allocatable")}}));
  }
  const Instance instance = to_instance(live);
  if (created && instance.simulated_gpu) {
    const std::string message = fmt::format("this machine has {} GPUs; the {} of {} are simulated and the CPU serves", deps_.machine.gpus,
                                            live.status.capacity.at(std::string(kGpu)).text, request.instance_type);
    deps_.events.record(kube::ObjectReference::of(live), kube::EventType::Warning, "SimulatedCapacity", message);
  }
  return instance;
}

base::Status LocalProvider::remove(const base::Context& ctx, const std::string& id) {
  return kube::remove<api::Node>(ctx, deps_.client, {"", node_name(id)});
}

base::Result<Instance> LocalProvider::get(const base::Context& ctx, const std::string& id) {
  const auto node = TRY(kube::get<api::Node>(ctx, deps_.client, {"", node_name(id)}));
  return to_instance(node);
}

base::Result<std::vector<Instance>> LocalProvider::list(const base::Context& ctx) {
  kube::ListOptions options;
  options.label_selector = std::string(kLabelClaim);
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

#include "provision/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/nodeclaim/machine.h"
#include "api/workspace/names.h"

namespace provision {
namespace {

/// One step in a node's life.
struct Step {
  std::string_view name;
  std::string status;
  std::string reason;
  std::string message;
};

Step launched(const Progress& progress) {
  if (progress.instance) return {"Launched", "True", "Launched", "the machine was launched"};
  if (progress.launch_error) {
    const bool wrong = progress.launch_error->code() == base::ErrorCode::Invalid;
    return {"Launched", wrong ? "False" : "Unknown", wrong ? "InvalidInstanceType" : "LaunchFailed", progress.launch_error->message()};
  }
  return {"Launched", "Unknown", "AwaitingReconciliation", "the machine is not launched yet"};
}

Step registered(const Progress& progress) {
  if (progress.node) return {"Registered", "True", "Registered", fmt::format("node {} registered", progress.node->metadata.name)};
  if (progress.instance) return {"Registered", "Unknown", "NodeNotFound", "the machine's node did not register yet"};
  return {"Registered", "Unknown", "AwaitingReconciliation", "the machine is not launched yet"};
}

/// The first requested extended resource that the node does not announce; "" when all are there.
std::string missing_resource(const Claim& claim, const api::Node& node, const Instance* instance) {
  const auto announces = [&](const std::string& name) {
    const auto found = node.status.allocatable.find(name);
    return found != node.status.allocatable.end() && api::quantity_milli(found->second.text).value_or(0) > 0;
  };
  std::map<std::string, api::Quantity> wanted = claim.requests;
  if (instance) {
    for (const auto& [name, quantity] : instance->capacity) wanted.emplace(name, quantity);
  }
  for (const auto& [name, quantity] : wanted) {
    const bool extended = name.find('/') != std::string::npos;
    if (extended && api::quantity_milli(quantity.text).value_or(0) > 0 && !announces(name)) return name;
  }
  return {};
}

Step initialized(const Claim& claim, const Progress& progress) {
  if (!progress.node) return {"Initialized", "Unknown", "AwaitingReconciliation", "no node yet"};
  if (!is_node_ready(*progress.node)) return {"Initialized", "Unknown", "NodeNotReady", fmt::format("node {} is not ready", progress.node->metadata.name)};
  if (const std::string missing = missing_resource(claim, *progress.node, progress.instance ? &*progress.instance : nullptr); !missing.empty()) {
    return {"Initialized", "Unknown", "ResourceNotRegistered", fmt::format("node {} does not announce {}", progress.node->metadata.name, missing)};
  }
  return {"Initialized", "True", "Initialized", fmt::format("node {} is initialized", progress.node->metadata.name)};
}

}  // namespace

const api::ResourceType& claim_type(ClaimKind kind) { return kind == ClaimKind::Machine ? api::Machine::kType : api::NodeClaim::kType; }

bool is_node_ready(const api::Node& node) {
  return std::any_of(node.status.conditions.begin(), node.status.conditions.end(), [](const auto& c) { return c.type == "Ready" && c.status == "True"; });
}

base::Result<InstanceRequest> to_request(const Claim& claim) {
  const auto& type = claim_type(claim.kind);
  InstanceRequest request{.claim_name = claim.metadata.name,
                          .claim_uid = claim.metadata.uid,
                          .claim_api_version = type.api_version(),
                          .claim_kind = std::string(type.kind),
                          .instance_type = {},
                          .labels = claim.metadata.labels,
                          .taints = claim.taints};
  for (const api::NodeRequirement& requirement : claim.requirements) {
    if (requirement.op == "In" && requirement.values.size() == 1) request.labels[requirement.key] = requirement.values.front();
  }
  const auto instance_type = request.labels.find(std::string(api::kLabelInstanceType));
  if (instance_type == request.labels.end()) {
    return base::Error(base::ErrorCode::Invalid, fmt::format("spec.requirements holds no single value for {}", api::kLabelInstanceType));
  }
  request.instance_type = instance_type->second;
  return request;
}

api::NodeClaimStatus compute_status(const Claim& claim, const Progress& progress, const api::Time& now) {
  api::NodeClaimStatus status = claim.status;
  if (progress.instance) {
    status.provider_id = progress.instance->provider_id;
    status.image_id = progress.instance->image_id;
    status.capacity = progress.instance->capacity;
    status.allocatable = progress.instance->capacity;
  }
  if (progress.node) status.node_name = progress.node->metadata.name;
  const std::string prefix = claim.kind == ClaimKind::Machine ? "Machine" : "";
  const auto set = [&](std::string type, const Step& step) {
    api::Condition condition;
    condition.type = std::move(type);
    condition.status = step.status;
    condition.reason = step.reason;
    condition.message = step.message;
    condition.observed_generation = claim.metadata.generation;
    api::set_condition(status.conditions, std::move(condition), now);
  };
  Step ready{"Ready", "True", "Ready", "the node is ready for pods"};
  for (const Step& step : {launched(progress), registered(progress), initialized(claim, progress)}) {
    set(prefix + std::string(step.name), step);
    if (ready.status == "True" && step.status != "True") ready = {"Ready", step.status, step.reason, step.message};
  }
  set("Ready", ready);
  return status;
}

}  // namespace provision

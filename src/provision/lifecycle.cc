#include "provision/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "api/nodeclaim/machine.h"
#include "api/workspace/names.h"
#include "provision/labels.h"

namespace provision {
namespace {

constexpr std::string_view kRagEngineLabel = "kaito.sh/ragengine";

/// One step in a node's life.
struct Step {
  std::string_view name;
  std::string_view status;
  std::string reason;
  std::string message;
};

Step done(std::string_view name, std::string message) {
  return {name, "True", std::string(name), std::move(message)};
}

/// Pending is Unknown for NodeClaims; the conditions of Machines said False.
Step pending(const Claim& claim, std::string_view name, std::string reason, std::string message) {
  const bool machine = claim.kind == ClaimKind::Machine;
  return {name, machine ? "False" : "Unknown", std::move(reason), std::move(message)};
}

Step not_reached(const Claim& claim, std::string_view name) {
  if (claim.kind == ClaimKind::Machine) {
    return {name, "False", "MachineNotLaunched", "the machine is not launched"};
  }
  return {name, "Unknown", "AwaitingReconciliation", "the machine is not launched yet"};
}

Step launched(const Claim& claim, const Progress& progress) {
  if (progress.instance) return done("Launched", "the machine was launched");
  if (!progress.launch_error) {
    return {"Launched", "Unknown", "AwaitingReconciliation", "object is awaiting reconciliation"};
  }
  const std::string& why = progress.launch_error->message();
  switch (progress.launch_error->code()) {
    case base::ErrorCode::Invalid:
      return {"Launched", "False", "InstanceTypeResolutionFailed", why};
    case base::ErrorCode::Unavailable:
    case base::ErrorCode::Throttled:
      return pending(claim, "Launched", "InsufficientCapacityError", why);
    default:
      return pending(claim, "Launched", "LaunchFailed", why);
  }
}

Step registered(const Claim& claim, const Progress& progress) {
  if (!progress.instance) return not_reached(claim, "Registered");
  if (progress.nodes > 1) {
    return {"Registered", "False", "MultipleNodesFound",
            fmt::format("{} nodes have the provider id {}; delete all but one", progress.nodes,
                        progress.instance->provider_id)};
  }
  if (!progress.node) {
    return pending(claim, "Registered", "NodeNotFound", "Node not registered with cluster");
  }
  return done("Registered", fmt::format("node {} registered", progress.node->metadata.name));
}

/// The first extended resource that was asked for or that the machine has, and that the node does
/// not announce; "" when all are there.
std::string missing_resource(const Claim& claim, const Progress& progress) {
  const auto amount = [](const api::Quantity& quantity) {
    return api::quantity_milli(quantity.text).value_or(0);
  };
  const auto& announced = progress.node->status.allocatable;
  std::map<std::string, api::Quantity> wanted = claim.requests;
  for (const auto& [name, quantity] : progress.instance->capacity) wanted.emplace(name, quantity);
  for (const auto& [name, quantity] : wanted) {
    const bool is_extended = name.find('/') != std::string::npos;
    if (!is_extended || amount(quantity) <= 0) continue;
    const auto found = announced.find(name);
    if (found == announced.end() || amount(found->second) <= 0) return name;
  }
  return {};
}

/// Taints that a node has until it is set up, by whoever sets it up.
bool is_ephemeral(const api::Taint& taint) {
  static constexpr std::array<std::string_view, 4> kEphemeral = {
      "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable",
      "node.cloudprovider.kubernetes.io/uninitialized", kUnregisteredTaint};
  return std::ranges::find(kEphemeral, taint.key) != kEphemeral.end();
}

Step initialized(const Claim& claim, const Progress& progress) {
  constexpr std::string_view kName = "Initialized";
  if (!progress.instance) return not_reached(claim, kName);
  if (!progress.node || progress.nodes > 1) {
    return pending(claim, kName, "NodeNotFound", "Node not registered with cluster");
  }
  const api::Node& node = *progress.node;
  if (!api::is_node_ready(node)) {
    return pending(claim, kName, "NodeNotReady",
                   fmt::format("node {} is not ready", node.metadata.name));
  }
  for (const api::Taint& taint : node.spec.taints) {
    const auto same = [&](const api::Taint& other) {
      return other.key == taint.key && other.effect == taint.effect;
    };
    if (std::ranges::any_of(claim.startup_taints, same)) {
      return pending(claim, kName, "StartupTaintsExist",
                     fmt::format("StartupTaint \"{}:{}\" still exists", taint.key, taint.effect));
    }
    if (is_ephemeral(taint)) {
      return pending(
          claim, kName, "KnownEphemeralTaintsExist",
          fmt::format("KnownEphemeralTaint \"{}:{}\" still exists", taint.key, taint.effect));
    }
  }
  if (const std::string missing = missing_resource(claim, progress); !missing.empty()) {
    return pending(claim, kName, "ResourceNotRegistered",
                   fmt::format("Resource \"{}\" was requested but not registered by node {}",
                               missing, node.metadata.name));
  }
  return done(kName, fmt::format("node {} is initialized", node.metadata.name));
}

/// The condition that sums up the steps.
Step root(const Claim& claim, const std::array<Step, 3>& steps) {
  const auto first = std::ranges::find_if(steps, [](const Step& s) { return s.status != "True"; });
  if (first == steps.end()) return {"Ready", "True", "Ready", "the node is ready for pods"};
  if (claim.kind == ClaimKind::Machine) {
    return {"Ready", first->status, first->reason, first->message};
  }
  std::string message;
  bool unhealthy = false;
  for (const Step& step : steps) {
    if (step.status == "True") continue;
    unhealthy = unhealthy || step.status == "False";
    message += fmt::format("{}{}={}", message.empty() ? "" : ", ", step.name, step.status);
  }
  return {"Ready", unhealthy ? "False" : "Unknown",
          unhealthy ? "UnhealthyDependents" : "ReconcilingDependents", std::move(message)};
}

std::string condition_type(const Claim& claim, std::string_view step) {
  const bool prefixed = claim.kind == ClaimKind::Machine && step != "Ready";
  return std::string(prefixed ? "Machine" : "").append(step);
}

}  // namespace

const api::ResourceType& claim_type(ClaimKind kind) {
  return kind == ClaimKind::Machine ? api::Machine::kType : api::NodeClaim::kType;
}

bool is_managed(const Claim& claim) {
  const auto& labels = claim.metadata.labels;
  return labels.contains(std::string(api::kLabelWorkspace)) ||
         labels.contains(std::string(kRagEngineLabel)) ||
         (claim.node_class.group == "kaito.sh" && claim.node_class.kind == "KaitoNodeClass");
}

base::Result<InstanceRequest> to_request(const Claim& claim) {
  const auto& type = claim_type(claim.kind);
  InstanceRequest request{.claim_name = claim.metadata.name,
                          .claim_uid = claim.metadata.uid,
                          .claim_api_version = type.api_version(),
                          .claim_kind = std::string(type.kind),
                          .instance_type = {},
                          .labels = {},
                          .taints = claim.taints};
  for (const api::NodeRequirement& requirement : claim.requirements) {
    if (requirement.op == "In" && requirement.values.size() == 1) {
      request.labels[requirement.key] = requirement.values.front();
    }
  }
  const auto instance_type = request.labels.find(std::string(api::kLabelInstanceType));
  if (instance_type == request.labels.end()) {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("spec.requirements must hold one value for {}", api::kLabelInstanceType));
  }
  request.instance_type = instance_type->second;
  // The claim's own labels win over its requirements, as in Karpenter.
  for (const auto& [key, value] : claim.metadata.labels) request.labels[key] = value;
  request.labels[std::string(api::kLabelInstanceType)] = request.instance_type;
  request.taints.insert(request.taints.end(), claim.startup_taints.begin(),
                        claim.startup_taints.end());
  return request;
}

api::NodeClaimStatus compute_status(const Claim& claim, const Progress& progress,
                                    const api::Time& now) {
  api::NodeClaimStatus status = claim.status;
  if (progress.instance) {
    status.provider_id = progress.instance->provider_id;
    // The status of a Machine has no such field.
    if (claim.kind == ClaimKind::NodeClaim) status.image_id = progress.instance->image_id;
    status.capacity = progress.instance->capacity;
    status.allocatable = progress.instance->capacity;
  }
  if (progress.node) {
    status.node_name = progress.node->metadata.name;
    if (!progress.node->status.capacity.empty()) status.capacity = progress.node->status.capacity;
    if (!progress.node->status.allocatable.empty()) {
      status.allocatable = progress.node->status.allocatable;
    }
  }
  const std::array<Step, 3> steps = {launched(claim, progress), registered(claim, progress),
                                     initialized(claim, progress)};
  const auto set = [&](const Step& step) {
    api::Condition condition;
    condition.type = condition_type(claim, step.name);
    condition.status = step.status;
    condition.reason = step.reason;
    condition.message = step.message;
    condition.observed_generation = claim.metadata.generation;
    api::set_condition(status.conditions, std::move(condition), now);
  };
  for (const Step& step : steps) set(step);
  set(root(claim, steps));
  return status;
}

const api::Condition* find_step(const Claim& claim, const api::NodeClaimStatus& status,
                                std::string_view step) {
  return api::find_condition(status.conditions, condition_type(claim, step));
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  std::chrono::seconds total{0};
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::int64_t count = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (failure != std::errc() || count < 0 || count > 1'000'000'000 || text.empty()) {
      return std::nullopt;
    }
    const char unit = text.front();
    if (unit == 'h') {
      total += std::chrono::hours(count);
    } else if (unit == 'm') {
      total += std::chrono::minutes(count);
    } else if (unit == 's') {
      total += std::chrono::seconds(count);
    } else {
      return std::nullopt;
    }
    text.remove_prefix(1);
  }
  return total;
}

}  // namespace provision

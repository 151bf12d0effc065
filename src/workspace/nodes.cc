#include "workspace/nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/core/quantity.h"
#include "api/workspace/names.h"
#include "base/sha256.h"
#include "workspace/blocker.h"

namespace workspace {
namespace {

constexpr std::size_t kMaxConditionMessageBytes = 256;
constexpr std::string_view kGpuResource = "nvidia.com/gpu";

api::Condition make_condition(std::string type, bool status, std::string reason,
                              std::string message) {
  api::Condition condition;
  condition.type = std::move(type);
  condition.status = status ? "True" : "False";
  condition.reason = std::move(reason);
  condition.message = std::move(message);
  return condition;
}

std::string shorten(std::string text) {
  if (text.size() > kMaxConditionMessageBytes) {
    text.resize(kMaxConditionMessageBytes);
    text += "...";
  }
  return text;
}

std::string label(const api::Node& node, std::string_view key) {
  const auto found = node.metadata.labels.find(std::string(key));
  return found == node.metadata.labels.end() ? std::string() : found->second;
}

bool is_reserved(std::string_view key) {
  return std::find(api::kReservedSelectorKeys.begin(), api::kReservedSelectorKeys.end(), key) !=
         api::kReservedSelectorKeys.end();
}

bool is_owned(const api::Workspace& workspace, const api::Node& node) {
  return label(node, api::kLabelWorkspace) == workspace.metadata.name &&
         label(node, api::kLabelWorkspaceNamespace) == workspace.metadata.ns;
}

bool has_gpu_capacity(const api::Node& node) {
  const auto found = node.status.capacity.find(std::string(kGpuResource));
  if (found == node.status.capacity.end()) return false;
  const auto count = api::quantity_units(found->second.text);
  return count && *count > 0;
}

/// How many nodes the workspace needs, or why nobody can tell.
struct Target {
  std::int32_t nodes = 0;
  std::optional<Problem> problem;
};

Target wanted_nodes(const Observed& observed, const Options& options) {
  const api::Workspace& workspace = *observed.workspace;
  // A workspace that cannot run must not cost a node.
  if (auto blocker = find_blocker(observed)) return {1, std::move(blocker)};
  // A tuning that ended without anything to serve needs no node any more.
  if (observed.tuning == TuningPhase::Done || observed.tuning == TuningPhase::Failed)
    return {0, std::nullopt};
  // The native runtime does not spread one model over nodes: each node holds a whole replica, and
  // one trains.
  const std::int32_t count =
      workspace.tuning ? 1 : std::max<std::int32_t>(1, workspace.resource.count.value_or(1));
  if (!observed.preset || !observed.sku || options.provisioner == NodeProvisioner::Byo)
    return {count, std::nullopt};
  const auto weights = observed.preset->weights_bytes();
  const auto memory = observed.sku->gpu_memory_bytes();
  const bool bypass =
      workspace.metadata.annotations.contains(std::string(api::kAnnotationBypassResourceChecks));
  if (memory > 0 && weights > memory && !bypass) {
    constexpr double kGiB = 1024.0 * 1024 * 1024;
    return {
        count,
        Problem{"InstanceTooSmall",
                fmt::format("preset {} needs {:.1f} GiB for its weights and {} has {:.1f} GiB of "
                            "GPU memory; choose a "
                            "larger resource.instanceType, or set the annotation {} to try anyway",
                            observed.preset->name, static_cast<double>(weights) / kGiB,
                            observed.sku->name, static_cast<double>(memory) / kGiB,
                            api::kAnnotationBypassResourceChecks),
                true}};
  }
  return {count, std::nullopt};
}

/// The first condition that is not True, in the order of a node's life; a real reason beats
/// waiting.
const api::Condition* failing_condition(const std::vector<Claim>& claims) {
  const api::Condition* waiting = nullptr;
  for (const std::string_view step : {"Launched", "Registered", "Initialized"}) {
    for (const Claim& claim : claims) {
      if (claim.deleting) continue;
      const api::Condition* condition = api::find_condition(claim.conditions, step);
      if (!condition)
        condition = api::find_condition(claim.conditions, fmt::format("Machine{}", step));
      if (!condition || condition->status == "True" || condition->message.empty()) continue;
      if (condition->reason != "AwaitingReconciliation") return condition;
      if (!waiting) waiting = condition;
    }
  }
  return waiting;
}

api::Condition claims_condition(const Observed& observed, const Options& options,
                                const std::optional<Problem>& problem, std::int32_t needed) {
  const bool machines = options.provisioner == NodeProvisioner::Machine;
  const std::string type = machines ? "MachineReady" : "NodeClaimReady";
  const auto ready = std::count_if(observed.claims.begin(), observed.claims.end(),
                                   [](const Claim& c) { return c.ready(); });
  if (ready >= needed) {
    return make_condition(type, true, machines ? "MachinesReady" : "NodeClaimsReady",
                          machines ? "Enough Machines are ready" : "Enough NodeClaims are ready");
  }
  if (problem) return make_condition(type, false, problem->reason, shorten(problem->message));
  if (const api::Condition* failing = failing_condition(observed.claims)) {
    return make_condition(type, false, failing->reason, shorten(failing->message));
  }
  return make_condition(
      type, false, machines ? "MachineNotReady" : "NodeClaimNotReady",
      fmt::format("{} of {} {} are ready", ready, needed, machines ? "Machines" : "NodeClaims"));
}

std::string pressure_warning(const std::vector<const api::Node*>& nodes) {
  std::vector<std::string> pressed;
  for (const api::Node* node : nodes) {
    for (const auto& condition : node->status.conditions) {
      const bool pressure = condition.type == "DiskPressure" ||
                            condition.type == "MemoryPressure" || condition.type == "PIDPressure";
      if (pressure && condition.status == "True")
        pressed.push_back(fmt::format("{} has {}", node->metadata.name, condition.type));
    }
  }
  return pressed.empty() ? "" : fmt::format("; warning: {}", fmt::join(pressed, ", "));
}

/// Nodes that may serve, best first: named by the user, then used before, then by name.
std::vector<const api::Node*> byo_candidates(const Observed& observed) {
  const api::Workspace& workspace = *observed.workspace;
  const auto& preferred = workspace.resource.preferred_nodes;
  const auto& before = workspace.status.worker_nodes;
  const auto rank = [&](const api::Node* node) {
    const bool named =
        std::find(preferred.begin(), preferred.end(), node->metadata.name) != preferred.end();
    const bool used = std::find(before.begin(), before.end(), node->metadata.name) != before.end();
    return std::tuple(!named, !used, std::string_view(node->metadata.name));
  };
  std::vector<const api::Node*> nodes;
  for (const auto& node : observed.nodes) {
    if (matches_selector(workspace, *node) && !node->metadata.deleting())
      nodes.push_back(node.get());
  }
  std::sort(nodes.begin(), nodes.end(), [&](auto* a, auto* b) { return rank(a) < rank(b); });
  return nodes;
}

void finish(NodePlan& plan, api::Condition nodes_ready, const api::Condition* claims_ready) {
  const bool claims_good = !claims_ready || claims_ready->status == "True";
  const bool nodes_good = nodes_ready.status == "True";
  plan.ready = !plan.problem && claims_good && nodes_good;
  api::Condition resource = make_condition(
      "ResourceReady", plan.ready, "workspaceResourceStatusSuccess", "workspace resource is ready");
  if (plan.problem) {
    resource.reason = plan.problem->reason;
    resource.message = plan.problem->message;
  } else if (!plan.ready) {
    const api::Condition& failing = claims_good ? nodes_ready : *claims_ready;
    resource.reason = failing.reason;
    resource.message = failing.message;
  }
  if (claims_ready) plan.conditions.push_back(*claims_ready);
  plan.conditions.push_back(std::move(nodes_ready));
  plan.conditions.push_back(std::move(resource));
}

NodePlan plan_byo(const Observed& observed, NodePlan plan) {
  std::vector<const api::Node*> candidates = byo_candidates(observed);
  std::int32_t ready = 0;
  for (const api::Node* node : candidates) {
    plan.worker_nodes.push_back(node->metadata.name);
    if (is_usable(*node)) ++ready;
  }
  std::sort(plan.worker_nodes.begin(), plan.worker_nodes.end());
  const bool enough = plan.target > 0 && ready >= plan.target;
  std::string message =
      enough ? "Enough Nodes are ready"
             : fmt::format(
                   "{} of {} nodes that match resource.labelSelector are ready; label or add nodes",
                   ready, plan.target);
  api::Condition nodes_ready =
      make_condition("NodesReady", enough, enough ? "NodesReady" : "NodeNotReady",
                     shorten(message + pressure_warning(candidates)));
  finish(plan, std::move(nodes_ready), nullptr);
  if (!plan.ready && !plan.problem)
    plan.conditions.back().reason = "workspaceResourceStatusNotReady";
  return plan;
}

/// Which claims to create and which to give up, so that `needed` remain.
void plan_claims(const Observed& observed, std::int32_t needed, NodePlan& plan) {
  const std::string& uid = observed.workspace->metadata.uid;
  std::set<std::string> existing;
  for (const Claim& claim : observed.claims) existing.insert(claim.name);
  std::set<std::string> wanted;
  // Claims that exist are kept before others are made, so that a rename never doubles a node.
  for (std::int32_t ordinal = 0; ordinal < needed; ++ordinal)
    wanted.insert(claim_name(uid, ordinal));
  for (const std::string& name : wanted) {
    if (!existing.contains(name)) plan.create.push_back(name);
  }
  for (const Claim& claim : observed.claims) {
    if (!wanted.contains(claim.name) && !claim.deleting) plan.remove.push_back(claim.name);
  }
}

/// Ready nodes of the right type that the user named and nobody's claim owns.
std::vector<std::string> reusable_nodes(const Observed& observed, std::int32_t target) {
  const api::Workspace& workspace = *observed.workspace;
  std::vector<std::string> names;
  for (const std::string& wanted : workspace.resource.preferred_nodes) {
    for (const auto& node : observed.nodes) {
      if (node->metadata.name != wanted || !is_usable(*node) || !matches_selector(workspace, *node))
        continue;
      if (!label(*node, api::kLabelWorkspace).empty()) continue;
      if (label(*node, api::kLabelInstanceType) != workspace.resource.instance_type) continue;
      if (static_cast<std::int32_t>(names.size()) < target) names.push_back(wanted);
    }
  }
  return names;
}

NodePlan plan_provisioned(const Observed& observed, const Options& options, NodePlan plan) {
  const api::Workspace& workspace = *observed.workspace;
  plan.reused = reusable_nodes(observed, plan.target);
  const std::int32_t lacking = plan.target - static_cast<std::int32_t>(plan.reused.size());
  const std::int32_t needed = plan.problem ? 0 : lacking;
  // Nothing runs and nothing can: what nodes there are go back. A workload that runs keeps its
  // nodes until it is gone.
  if (needed > 0 || !observed.stateful_set) plan_claims(observed, needed, plan);

  std::vector<const api::Node*> own;
  std::int32_t ready = 0;
  std::int32_t without_gpu = 0;
  const bool wants_gpu = observed.sku && observed.sku->gpu_count > 0;
  for (const auto& node : observed.nodes) {
    const bool reused =
        std::find(plan.reused.begin(), plan.reused.end(), node->metadata.name) != plan.reused.end();
    if (!reused && !is_owned(workspace, *node)) continue;
    own.push_back(node.get());
    plan.worker_nodes.push_back(node->metadata.name);
    if (!is_usable(*node) ||
        label(*node, api::kLabelInstanceType) != workspace.resource.instance_type)
      continue;
    if (wants_gpu && label(*node, "accelerator") != "nvidia")
      plan.label_gpu.push_back(node->metadata.name);
    if (wants_gpu && !has_gpu_capacity(*node)) {
      ++without_gpu;
    } else {
      ++ready;
    }
  }
  std::sort(plan.worker_nodes.begin(), plan.worker_nodes.end());

  const bool enough = plan.target > 0 && ready >= plan.target;
  std::string reason = "NodesReady";
  std::string message = "Enough Nodes are ready";
  if (!enough && without_gpu > 0) {
    reason = "NodePluginsNotReady";
    message = fmt::format("{} nodes are ready but announce no {}; is the device plugin running?",
                          without_gpu, kGpuResource);
  } else if (plan.target == 0 && !plan.problem) {
    reason = "NodesReleased";
    message = "the tuning has ended and needs no node any more";
  } else if (!enough) {
    reason = "NodeNotReady";
    message = fmt::format("{} of {} nodes are ready", ready, plan.target);
  }
  const api::Condition claims_ready = claims_condition(observed, options, plan.problem, lacking);
  finish(plan,
         make_condition("NodesReady", enough, reason, shorten(message + pressure_warning(own))),
         &claims_ready);
  return plan;
}

json::Object requirement(std::string_view key, std::string_view value) {
  return {
      {"key", json::String(key)}, {"operator", "In"}, {"values", json::Array{json::String(value)}}};
}

json::Object node_class(const std::string& cloud) {
  if (cloud == "aws")
    return {{"group", "karpenter.k8s.aws"}, {"kind", "EC2NodeClass"}, {"name", "default"}};
  return {{"group", "kaito.sh"}, {"kind", "KaitoNodeClass"}, {"name", "default"}};
}

}  // namespace

const api::PresetSpec* chosen_preset(const api::Workspace& workspace) {
  if (workspace.tuning) return workspace.tuning->preset ? &*workspace.tuning->preset : nullptr;
  const auto& inference = workspace.inference;
  return inference && inference->preset ? &*inference->preset : nullptr;
}

bool Claim::ready() const {
  if (deleting) return false;
  const api::Condition* condition = api::find_condition(conditions, "Ready");
  return condition ? condition->status == "True" : !node_name.empty();
}

bool is_usable(const api::Node& node) {
  return !node.metadata.deleting() && api::is_node_ready(node);
}

std::map<std::string, std::string> sanitized_match_labels(const api::Workspace& workspace) {
  std::map<std::string, std::string> labels = workspace.resource.label_selector.match_labels;
  // `key In [value]` is the label in other words; new nodes must get it too.
  for (const auto& requirement : workspace.resource.label_selector.match_expressions) {
    if (requirement.op == "In" && requirement.values.size() == 1)
      labels.emplace(requirement.key, requirement.values.front());
  }
  for (const std::string_view key : api::kReservedSelectorKeys) labels.erase(std::string(key));
  return labels;
}

bool matches_selector(const api::Workspace& workspace, const api::Node& node) {
  const api::LabelSelector& selector = workspace.resource.label_selector;
  for (const auto& [key, value] : selector.match_labels) {
    if (is_reserved(key)) continue;
    const auto found = node.metadata.labels.find(key);
    if (found == node.metadata.labels.end() || found->second != value) return false;
  }
  if (selector.match_expressions.empty()) return true;
  const api::LabelSelector expressions{.match_labels = {},
                                       .match_expressions = selector.match_expressions};
  return api::matches(expressions, node.metadata.labels).value_or(false);
}

bool is_selective_label(std::string_view key) {
  // Nearly every node has these, with the same values.
  return key != "kubernetes.io/os" && key != "kubernetes.io/arch" &&
         key != "beta.kubernetes.io/os" && key != "beta.kubernetes.io/arch";
}

std::optional<std::string> selective_label(const api::Workspace& workspace) {
  for (const auto& [key, value] : workspace.resource.label_selector.match_labels) {
    if (!is_reserved(key) && is_selective_label(key)) return key + "=" + value;
  }
  return std::nullopt;
}

std::string claim_name(const std::string& workspace_uid, std::int32_t ordinal) {
  constexpr std::size_t kHexDigits = 9;
  return "ws" +
         base::sha256_hex(fmt::format("{}/{}", workspace_uid, ordinal)).substr(0, kHexDigits);
}

NodePlan plan_nodes(const Observed& observed, const Options& options) {
  NodePlan plan;
  Target target = wanted_nodes(observed, options);
  plan.target = target.nodes;
  plan.problem = std::move(target.problem);
  if (options.provisioner == NodeProvisioner::Byo) return plan_byo(observed, std::move(plan));
  return plan_provisioned(observed, options, std::move(plan));
}

json::Value make_claim(const Observed& observed, const Options& options, const std::string& name) {
  const api::Workspace& workspace = *observed.workspace;
  const bool machine = options.provisioner == NodeProvisioner::Machine;
  const std::string& instance_type = workspace.resource.instance_type;
  json::Object labels{{api::kLabelInstanceType, json::String(instance_type)},
                      {machine ? "karpenter.sh/provisioner-name" : "karpenter.sh/nodepool",
                       machine ? "default" : "kaito"},
                      {api::kLabelWorkspace, json::String(workspace.metadata.name)},
                      {api::kLabelWorkspaceNamespace, json::String(workspace.metadata.ns)}};
  for (const auto& [key, value] : sanitized_match_labels(workspace))
    labels[key] = json::String(value);
  // A new node must match the whole selector, or its pods could never run there.
  for (const auto& expression : workspace.resource.label_selector.match_expressions) {
    if (expression.op == "In" && !expression.values.empty() && !is_reserved(expression.key) &&
        !labels.contains(expression.key)) {
      labels[expression.key] = json::String(expression.values.front());
    }
  }

  json::Array requirements;
  requirements.push_back(machine ? requirement("karpenter.sh/provisioner-name", "default")
                                 : requirement("karpenter.sh/nodepool", "kaito"));
  requirements.push_back(requirement(api::kLabelInstanceType, instance_type));
  requirements.push_back(requirement("kubernetes.io/os", "linux"));
  if (machine) {
    requirements.push_back(requirement("kaito.sh/machine-type", "gpu"));
    requirements.push_back(requirement("kubernetes.io/arch", "amd64"));
  } else if (options.cloud == "azure") {
    requirements.push_back(requirement("karpenter.azure.com/sku-name", instance_type));
  } else if (options.cloud == "aws") {
    requirements.push_back(json::Object{{"key", "karpenter.k8s.aws/instance-gpu-count"},
                                        {"operator", "Gt"},
                                        {"values", json::Array{"0"}}});
  }

  const std::string storage =
      observed.preset && !observed.preset->disk.empty() ? observed.preset->disk : "1024Gi";
  json::Object spec{
      {"requirements", std::move(requirements)},
      {"taints",
       json::Array{json::Object{{"key", "sku"}, {"value", "gpu"}, {"effect", "NoSchedule"}}}},
      {"resources", json::Object{{"requests", json::Object{{"storage", json::String(storage)}}}}}};
  json::Object metadata{{"name", json::String(name)}, {"labels", std::move(labels)}};
  if (machine) {
    spec["machineTemplateRef"] = json::Object{{"name", json::String(name)}};
  } else {
    spec["nodeClassRef"] = node_class(options.cloud);
    const auto family =
        workspace.metadata.annotations.find(std::string(api::kAnnotationNodeImageFamily));
    metadata["annotations"] = json::Object{
        {"karpenter.sh/do-not-disrupt", "true"},
        {api::kAnnotationNodeImageFamily,
         json::String(family == workspace.metadata.annotations.end() ? options.default_image_family
                                                                     : family->second)}};
  }
  return json::Object{{"apiVersion", machine ? "karpenter.sh/v1alpha5" : "karpenter.sh/v1"},
                      {"kind", machine ? "Machine" : "NodeClaim"},
                      {"metadata", std::move(metadata)},
                      {"spec", std::move(spec)}};
}

}  // namespace workspace

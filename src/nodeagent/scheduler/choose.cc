#include "nodeagent/scheduler/choose.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>

namespace nodeagent {
namespace {

using Amounts = std::map<std::string, std::int64_t>;

std::int64_t amount_of(const api::Quantity& quantity) {
  return api::quantity_milli(quantity.text).value_or(0);
}

void add(Amounts& to, const Amounts& from) {
  for (const auto& [name, amount] : from) to[name] += amount;
}

void raise(Amounts& to, const Amounts& from) {
  for (const auto& [name, amount] : from) to[name] = std::max(to[name], amount);
}

Amounts container_requests(const api::Container& container) {
  Amounts amounts;
  for (const auto& [name, quantity] : container.resources.limits)
    amounts[name] = amount_of(quantity);
  for (const auto& [name, quantity] : container.resources.requests)
    amounts[name] = amount_of(quantity);
  return amounts;
}

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool matches(const api::LabelSelectorRequirement& requirement,
             const std::map<std::string, std::string>& labels) {
  const auto label = labels.find(requirement.key);
  const bool present = label != labels.end();
  const auto in = [&] {
    return present &&
           std::ranges::find(requirement.values, label->second) != requirement.values.end();
  };
  if (requirement.op == "In") return in();
  if (requirement.op == "NotIn") return !in();
  if (requirement.op == "Exists") return present;
  if (requirement.op == "DoesNotExist") return !present;
  if (requirement.op == "Gt" || requirement.op == "Lt") {
    if (!present || requirement.values.size() != 1) return false;
    const auto have = parse_number(label->second);
    const auto bound = parse_number(requirement.values.front());
    return have && bound && (requirement.op == "Gt" ? *have > *bound : *have < *bound);
  }
  return false;
}

/// An empty term matches nothing, as in Kubernetes.
bool matches(const api::NodeSelectorTerm& term, const api::Node& node) {
  if (term.match_expressions.empty() && term.match_fields.empty()) return false;
  const std::map<std::string, std::string> fields = {{"metadata.name", node.metadata.name}};
  return std::ranges::all_of(term.match_expressions,
                             [&](const auto& r) { return matches(r, node.metadata.labels); }) &&
         std::ranges::all_of(term.match_fields, [&](const auto& r) { return matches(r, fields); });
}

bool fits_affinity(const api::Pod& pod, const api::Node& node) {
  for (const auto& [key, value] : pod.spec.node_selector) {
    const auto label = node.metadata.labels.find(key);
    if (label == node.metadata.labels.end() || label->second != value) return false;
  }
  if (!pod.spec.affinity || !pod.spec.affinity->node_affinity) return true;
  const auto& required = pod.spec.affinity->node_affinity->required;
  return !required || std::ranges::any_of(required->node_selector_terms,
                                          [&](const auto& term) { return matches(term, node); });
}

bool tolerates(const api::Toleration& toleration, const api::Taint& taint) {
  if (!toleration.effect.empty() && toleration.effect != taint.effect) return false;
  if (!toleration.key.empty() && toleration.key != taint.key) return false;
  if (toleration.op == "Exists") return true;
  return !toleration.key.empty() && toleration.value == taint.value;
}

const api::Taint* untolerated_taint(const api::Pod& pod, const api::Node& node) {
  const auto found = std::ranges::find_if(node.spec.taints, [&](const api::Taint& taint) {
    if (taint.effect != "NoSchedule" && taint.effect != "NoExecute") return false;
    return std::ranges::none_of(pod.spec.tolerations,
                                [&](const auto& t) { return tolerates(t, taint); });
  });
  return found == node.spec.taints.end() ? nullptr : &*found;
}

/// What the node has too little of.
std::vector<std::string> lacking(const Amounts& requests, const NodeUsage& usage) {
  const auto& allocatable = usage.node->status.allocatable.empty() ? usage.node->status.capacity
                                                                   : usage.node->status.allocatable;
  std::vector<std::string> reasons;
  const auto available = [&](const std::string& name) -> std::int64_t {
    const auto found = allocatable.find(name);
    return found == allocatable.end() ? 0 : amount_of(found->second);
  };
  if (allocatable.contains("pods") && (usage.pods + 1) * 1000 > available("pods"))
    reasons.emplace_back("Too many pods");
  for (const auto& [name, amount] : requests) {
    const auto used = usage.used.find(name);
    const std::int64_t taken = used == usage.used.end() ? 0 : used->second;
    if (amount > 0 && taken + amount > available(name)) reasons.push_back("Insufficient " + name);
  }
  return reasons;
}

std::vector<std::string> reasons_against(const api::Pod& pod, const Amounts& requests,
                                         const NodeUsage& usage) {
  const api::Node& node = *usage.node;
  if (node.spec.unschedulable) return {"node(s) were unschedulable"};
  if (const api::Taint* taint = untolerated_taint(pod, node)) {
    return {fmt::format("node(s) had untolerated taint {{{}: {}}}", taint->key, taint->value)};
  }
  if (!fits_affinity(pod, node)) return {"node(s) didn't match Pod's node affinity/selector"};
  return lacking(requests, usage);
}

std::int64_t preference(const api::Pod& pod, const api::Node& node) {
  std::int64_t score = 0;
  if (!pod.spec.affinity || !pod.spec.affinity->node_affinity) return score;
  for (const api::PreferredSchedulingTerm& term : pod.spec.affinity->node_affinity->preferred) {
    if (matches(term.preference, node)) score += term.weight;
  }
  return score;
}

}  // namespace

std::map<std::string, std::int64_t> pod_requests(const api::Pod& pod) {
  Amounts running;
  for (const api::Container& container : pod.spec.containers)
    add(running, container_requests(container));
  Amounts sidecars;
  Amounts peak;
  for (const api::Container& container : pod.spec.init_containers) {
    Amounts now = container_requests(container);
    if (container.restart_policy.value_or("") == "Always") {
      add(sidecars, now);
      raise(peak, sidecars);
    } else {
      add(now, sidecars);
      raise(peak, now);
    }
  }
  add(running, sidecars);
  raise(running, peak);
  return running;
}

std::vector<NodeUsage> usage_of(const std::vector<std::shared_ptr<const api::Node>>& nodes,
                                const std::vector<std::shared_ptr<const api::Pod>>& pods) {
  std::vector<NodeUsage> usage;
  std::map<std::string, std::size_t> by_name;
  for (const auto& node : nodes) {
    by_name[node->metadata.name] = usage.size();
    usage.push_back({node, {}, 0});
  }
  for (const auto& pod : pods) {
    const auto found = by_name.find(pod->spec.node_name);
    if (found == by_name.end() || pod->status.phase == "Succeeded" || pod->status.phase == "Failed")
      continue;
    add(usage[found->second].used, pod_requests(*pod));
    ++usage[found->second].pods;
  }
  return usage;
}

Choice choose_node(const api::Pod& pod, const std::vector<NodeUsage>& nodes) {
  if (nodes.empty()) return {"", "no nodes available to schedule pods"};
  const Amounts requests = pod_requests(pod);
  std::map<std::string, int> reasons;
  const NodeUsage* best = nullptr;
  const auto rank = [&](const NodeUsage& usage) {
    return std::tuple(-preference(pod, *usage.node), usage.pods,
                      std::string_view(usage.node->metadata.name));
  };
  for (const NodeUsage& usage : nodes) {
    const std::vector<std::string> against = reasons_against(pod, requests, usage);
    for (const std::string& reason : against) ++reasons[reason];
    if (against.empty() && (!best || rank(usage) < rank(*best))) best = &usage;
  }
  if (best) return {best->node->metadata.name, ""};
  std::vector<std::string> parts;
  for (const auto& [reason, count] : reasons) parts.push_back(fmt::format("{} {}", count, reason));
  std::ranges::sort(parts);
  return {"", fmt::format("0/{} nodes are available: {}.", nodes.size(), fmt::join(parts, ", "))};
}

}  // namespace nodeagent

#include "workloads/failure_policy.h"

#include <fmt/format.h>

#include <algorithm>

namespace workloads {
namespace {

bool matches(const ExitCodeRule& rule, const api::ContainerStatus& container) {
  if (!container.state.terminated || container.state.terminated->exit_code == 0) return false;
  if (rule.container_name && *rule.container_name != container.name) return false;
  const bool listed =
      std::ranges::find(rule.values, container.state.terminated->exit_code) != rule.values.end();
  return rule.op == "NotIn" ? !listed : rule.op == "In" && listed;
}

/// The container that the rule is about; main containers are asked first.
const api::ContainerStatus* find_match(const ExitCodeRule& rule, const api::PodStatus& status) {
  for (const auto* containers : {&status.container_statuses, &status.init_container_statuses}) {
    for (const api::ContainerStatus& container : *containers) {
      if (matches(rule, container)) return &container;
    }
  }
  return nullptr;
}

const api::PodCondition* find_match(const std::vector<PodConditionRule>& rules,
                                    const api::PodStatus& status) {
  for (const api::PodCondition& condition : status.conditions) {
    for (const PodConditionRule& rule : rules) {
      const std::string_view wanted = rule.status.empty() ? "True" : std::string_view(rule.status);
      if (condition.type == rule.type && condition.status == wanted) return &condition;
    }
  }
  return nullptr;
}

/// Says what of the pod matched the rule; nothing when nothing did.
std::optional<std::string> explain_match(const FailureRule& rule, const api::Pod& pod) {
  if (rule.on_exit_codes) {
    const api::ContainerStatus* container = find_match(*rule.on_exit_codes, pod.status);
    if (!container) return std::nullopt;
    return fmt::format("Container {} for pod {} failed with exit code {}", container->name,
                       pod.metadata.key().text(), container->state.terminated->exit_code);
  }
  const api::PodCondition* condition = find_match(rule.on_pod_conditions, pod.status);
  if (!condition) return std::nullopt;
  return fmt::format("Pod {} has condition {}", pod.metadata.key().text(), condition->type);
}

}  // namespace

base::Result<FailurePolicy> parse_failure_policy(const json::Object& policy) {
  return json::decode<FailurePolicy>(json::Value(policy));
}

FailureVerdict judge_failure(const FailurePolicy& policy, const api::Pod& pod) {
  for (std::size_t index = 0; index < policy.rules.size(); ++index) {
    const FailureRule& rule = policy.rules[index];
    const std::optional<std::string> match = explain_match(rule, pod);
    if (!match) continue;
    if (rule.action == "Count") return {};
    if (rule.action == "Ignore") return {FailureAction::Ignore, ""};
    if (rule.action == "FailJob") {
      return {FailureAction::FailJob,
              fmt::format("{} matching {} rule at index {}", *match, rule.action, index)};
    }
  }
  return {};
}

}  // namespace workloads

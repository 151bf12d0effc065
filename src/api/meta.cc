#include "api/meta.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace api {

const OwnerReference* find_controller(const ObjectMeta& metadata) {
  for (const OwnerReference& reference : metadata.owner_references) {
    if (reference.controller.value_or(false)) return &reference;
  }
  return nullptr;
}

const Condition* find_condition(const std::vector<Condition>& conditions, std::string_view type) {
  const auto found = std::ranges::find(conditions, type, &Condition::type);
  return found == conditions.end() ? nullptr : &*found;
}

bool is_condition_true(const std::vector<Condition>& conditions, std::string_view type) {
  const Condition* condition = find_condition(conditions, type);
  return condition && condition->status == "True";
}

void set_condition(std::vector<Condition>& conditions, Condition wanted, const Time& now) {
  const auto found = std::ranges::find(conditions, wanted.type, &Condition::type);
  if (found == conditions.end()) {
    wanted.last_transition_time = now;
    conditions.push_back(std::move(wanted));
    return;
  }
  wanted.last_transition_time = found->status == wanted.status ? found->last_transition_time : now;
  *found = std::move(wanted);
}

namespace {

base::Result<bool> matches(const LabelSelectorRequirement& requirement,
                           const std::map<std::string, std::string>& labels) {
  const auto label = labels.find(requirement.key);
  const bool present = label != labels.end();
  const bool needs_values = requirement.op == "In" || requirement.op == "NotIn";
  if (needs_values == requirement.values.empty()) {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("selector key {}: operator {} {}", requirement.key, requirement.op,
                    needs_values ? "needs at least one value" : "takes no values"));
  }
  if (requirement.op == "Exists") return present;
  if (requirement.op == "DoesNotExist") return !present;
  if (requirement.op == "In" || requirement.op == "NotIn") {
    const bool in =
        present && std::ranges::find(requirement.values, label->second) != requirement.values.end();
    return requirement.op == "In" ? in : !in;
  }
  return base::Error(base::ErrorCode::Invalid,
                     fmt::format("selector key {}: operator '{}' is not one of In, NotIn, Exists, "
                                 "DoesNotExist",
                                 requirement.key, requirement.op));
}

}  // namespace

base::Result<bool> matches(const LabelSelector& selector,
                           const std::map<std::string, std::string>& labels) {
  bool all = true;
  for (const auto& [key, value] : selector.match_labels) {
    const auto label = labels.find(key);
    all = all && label != labels.end() && label->second == value;
  }
  for (const LabelSelectorRequirement& requirement : selector.match_expressions) {
    const bool one = TRY(matches(requirement, labels));
    all = all && one;
  }
  return all;
}

}  // namespace api

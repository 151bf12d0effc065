#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/core/pod.h"
#include "base/result.h"
#include "json/codec.h"

/// `spec.podFailurePolicy` of a Job: what each way of failing means for the whole. Pure.
namespace workloads {

struct ExitCodeRule {
  std::optional<std::string> container_name{};  ///< Any container when absent.
  std::string op{};                             ///< `operator` in JSON: In or NotIn.
  std::vector<std::int32_t> values{};
};
template <class V>
void describe(V& v, ExitCodeRule& r) {
  v.field("containerName", r.container_name, json::Presence::Optional, "The container meant.");
  v.field("operator", r.op, json::Presence::Required, "In or NotIn.");
  v.field("values", r.values, json::Presence::Required, "Exit codes.");
}

struct PodConditionRule {
  std::string type{};
  std::string status{};  ///< "" means True.
};
template <class V>
void describe(V& v, PodConditionRule& r) {
  v.field("type", r.type, json::Presence::Required, "Type of the condition.");
  v.field("status", r.status, json::Presence::Optional, "Its status; True by default.");
}

struct FailureRule {
  std::string action{};  ///< FailJob, Ignore or Count; a rule with another one never matches.
  std::optional<ExitCodeRule> on_exit_codes{};
  std::vector<PodConditionRule> on_pod_conditions{};
};
template <class V>
void describe(V& v, FailureRule& r) {
  v.field("action", r.action, json::Presence::Required, "FailJob, Ignore or Count.");
  v.field("onExitCodes", r.on_exit_codes, json::Presence::Optional, "Exit codes that match.");
  v.field("onPodConditions", r.on_pod_conditions, json::Presence::Optional,
          "Conditions of which one must be there.");
}

struct FailurePolicy {
  std::vector<FailureRule> rules{};
};
template <class V>
void describe(V& v, FailurePolicy& p) {
  v.field("rules", p.rules, json::Presence::Required, "The first that matches decides.");
}

/// Errors: Invalid, naming the field.
base::Result<FailurePolicy> parse_failure_policy(const json::Object& policy);

enum class FailureAction { Count, Ignore, FailJob };
struct FailureVerdict {
  FailureAction action = FailureAction::Count;
  std::string message;  ///< For FailJob: which container or condition matched which rule.
};

/// What the failure of `pod` means. A pod that no rule matches counts.
FailureVerdict judge_failure(const FailurePolicy& policy, const api::Pod& pod);

}  // namespace workloads

#include "api/workspace/validate.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/workspace/names.h"
#include "api/workspace/validate_parts.h"

namespace api {
namespace {

using validation::add;
using validation::Errors;
using validation::lower;

/// A StatefulSet labels its pods with its name, '-' and ten characters: 63 bytes in all.
constexpr std::size_t kMaxNameBytes = 52;

void check_name(const Workspace& workspace, Errors& errors) {
  if (!validation::is_dns_label(workspace.metadata.name, kMaxNameBytes)) {
    add(errors, "metadata.name",
        fmt::format("'{}' is not a name of lower-case letters, digits and '-', at most {} "
                    "characters, that starts and ends with a letter or digit",
                    workspace.metadata.name, kMaxNameBytes));
  }
}

/// An annotation with few allowed values. Case and blanks around the value do not matter where
/// `fold` is set.
struct AnnotationRule {
  std::string_view key;
  std::vector<std::string_view> values;
  bool fold = false;
};

const std::vector<AnnotationRule>& annotation_rules() {
  static const std::vector<AnnotationRule> rules = {
      {kAnnotationRuntime, {"native", "vllm", "transformers"}},
      {kAnnotationNodeImageFamily, {"ubuntu", "azurelinux"}, true},
      {kAnnotationPerformanceMode, {"balanced", "interactivity", "throughput"}},
      {kAnnotationUseLocalWeights, {"true", "false"}},
      {kAnnotationEnableLb, {"true", "false"}, true},
  };
  return rules;
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

/// `before` is null for a new object.
void check_annotations(const Workspace* before, const Workspace& after, Errors& errors) {
  for (const AnnotationRule& rule : annotation_rules()) {
    const std::string key(rule.key);
    const auto found = after.metadata.annotations.find(key);
    if (found == after.metadata.annotations.end()) continue;
    if (before) {
      const auto old = before->metadata.annotations.find(key);
      if (old != before->metadata.annotations.end() && old->second == found->second) continue;
    }
    const std::string value = rule.fold ? lower(trimmed(found->second)) : found->second;
    if (std::ranges::find(rule.values, value) == rule.values.end()) {
      add(errors, fmt::format("metadata.annotations[{}]", key),
          fmt::format("'{}' is not one of {}", found->second, fmt::join(rule.values, ", ")));
    }
  }
}

template <class T>
bool same(const T& a, const T& b) {
  return json::equal(json::write_value(a), json::write_value(b));
}

/// The selector with `key In [value]` written as the label it means.
LabelSelector normalized(const LabelSelector& selector) {
  LabelSelector result;
  result.match_labels = selector.match_labels;
  for (const LabelSelectorRequirement& requirement : selector.match_expressions) {
    if (requirement.op == "In" && requirement.values.size() == 1 &&
        !result.match_labels.contains(requirement.key)) {
      result.match_labels[requirement.key] = requirement.values.front();
    } else {
      result.match_expressions.push_back(requirement);
    }
  }
  return result;
}

void check_resource_change(const ResourceSpec& was, const ResourceSpec& is,
                           const ValidationDeps& deps, Errors& errors) {
  if (was.count && is.count && *was.count != *is.count) {
    add(errors, "resource.count",
        fmt::format("cannot change from {} to {}; make another Workspace", *was.count, *is.count));
  }
  if (was.instance_type != is.instance_type) {
    const bool cleared_for_byo = deps.byo && is.instance_type.empty();
    if (!was.instance_type.empty() && !cleared_for_byo) {
      add(errors, "resource.instanceType",
          fmt::format("cannot change from '{}' to '{}'; make another Workspace", was.instance_type,
                      is.instance_type));
    } else {
      validation::check_instance_type(is, deps, errors);
    }
  }
  if (!same(normalized(was.label_selector), normalized(is.label_selector))) {
    add(errors, "resource.labelSelector", "cannot change; make another Workspace");
  }
  if (!same(was.partition, is.partition)) {
    add(errors, "resource.partition", "cannot change; make another Workspace");
  }
}

void check_inference_change(const Workspace& before, const Workspace& after, Errors& errors) {
  const InferenceSpec& was = *before.inference;
  const InferenceSpec& is = *after.inference;
  if (!same(was.preset, is.preset)) {
    add(errors, "inference.preset", "cannot change; make another Workspace");
  }
  if (was.pod_template.has_value() != is.pod_template.has_value()) {
    add(errors, "inference.template", "cannot be added or removed; make another Workspace");
  } else if (is.pod_template && !same(was.pod_template, is.pod_template)) {
    validation::check_template(*is.pod_template, errors);
  }
  if (!same(was.adapters, is.adapters)) validation::check_adapters(after, errors);
}

void check_tuning_change(const Workspace& before, const Workspace& after,
                         const ValidationDeps& deps, Errors& errors) {
  const TuningSpec& was = *before.tuning;
  const TuningSpec& is = *after.tuning;
  if (!same(was.preset, is.preset)) {
    add(errors, "tuning.preset", "cannot change; make another Workspace");
  }
  if (lower(was.method) != lower(is.method)) {
    add(errors, "tuning.method", "cannot change; make another Workspace");
  }
  if (was.input && is.input && was.input->name != is.input->name) {
    add(errors, "tuning.input.name", "cannot change; make another Workspace");
  }
  if (!same(was.input, is.input) || !same(was.output, is.output)) {
    validation::check_tuning(after, deps, errors);
  }
}

}  // namespace

std::vector<json::FieldError> validate_create(const Workspace& workspace,
                                              const ValidationDeps& deps) {
  Errors errors;
  check_name(workspace, errors);
  check_annotations(nullptr, workspace, errors);
  if (!workspace.inference && !workspace.tuning) {
    add(errors, "inference", "is missing: a Workspace needs `inference` or `tuning`");
  }
  if (workspace.inference && workspace.tuning) {
    add(errors, "tuning", "stands beside `inference`; keep one of them");
  }
  validation::check_resource(workspace, deps, errors);
  if (workspace.inference) validation::check_inference(workspace, deps, errors);
  if (workspace.tuning) validation::check_tuning(workspace, deps, errors);
  return errors;
}

std::vector<json::FieldError> validate_update(const Workspace& before, const Workspace& after,
                                              const ValidationDeps& deps) {
  Errors errors;
  if (after.metadata.deleting()) return errors;
  check_annotations(&before, after, errors);
  if (before.inference.has_value() != after.inference.has_value()) {
    add(errors, "inference", "cannot be added or removed; make another Workspace");
  }
  if (before.tuning.has_value() != after.tuning.has_value()) {
    add(errors, "tuning", "cannot be added or removed; make another Workspace");
  }
  check_resource_change(before.resource, after.resource, deps, errors);
  if (before.inference && after.inference) check_inference_change(before, after, errors);
  if (before.tuning && after.tuning) check_tuning_change(before, after, deps, errors);
  return errors;
}

}  // namespace api

#include "api/workspace/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include "api/core/pod.h"
#include "api/workspace/names.h"

namespace api {
namespace {

constexpr std::size_t kMaxAdapters = 10;
constexpr std::size_t kMaxDnsLabelBytes = 63;

using Errors = std::vector<json::FieldError>;

void add(Errors& errors, std::string path, std::string message) {
  errors.push_back({std::move(path), std::move(message)});
}

bool is_dns_label(std::string_view text) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= kMaxDnsLabelBytes && alphanumeric(text.front()) &&
         alphanumeric(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return alphanumeric(c) || c == '-'; });
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

const std::string* annotation(const Workspace& workspace, std::string_view key) {
  const auto found = workspace.metadata.annotations.find(std::string(key));
  return found == workspace.metadata.annotations.end() ? nullptr : &found->second;
}

void check_name(const Workspace& workspace, Errors& errors) {
  if (!is_dns_label(workspace.metadata.name)) {
    add(errors, "metadata.name",
        "must be a DNS label: lower-case letters, digits and '-', at most 63, starting and ending "
        "with a letter or digit");
  }
}

void check_annotations(const Workspace& workspace, Errors& errors) {
  const auto path = [](std::string_view key) {
    return fmt::format("metadata.annotations[{}]", key);
  };
  if (const auto* family = annotation(workspace, kAnnotationNodeImageFamily);
      family && lower(*family) != "ubuntu" && lower(*family) != "azurelinux") {
    add(errors, path(kAnnotationNodeImageFamily),
        fmt::format("'{}' is not ubuntu or azurelinux", *family));
  }
  if (const auto* mode = annotation(workspace, kAnnotationPerformanceMode);
      mode && *mode != "balanced" && *mode != "interactivity" && *mode != "throughput") {
    add(errors, path(kAnnotationPerformanceMode),
        fmt::format("'{}' is not balanced, interactivity or throughput", *mode));
  }
  if (const auto* local = annotation(workspace, kAnnotationUseLocalWeights);
      local && *local != "true" && *local != "false") {
    add(errors, path(kAnnotationUseLocalWeights), fmt::format("'{}' is not true or false", *local));
  }
}

void check_selector(const Workspace& workspace, Errors& errors) {
  const LabelSelector& selector = workspace.resource.label_selector;
  const auto reserved = [](const std::string& key) {
    return std::find(kReservedSelectorKeys.begin(), kReservedSelectorKeys.end(), key) !=
           kReservedSelectorKeys.end();
  };
  const auto& labels = selector.match_labels;
  if (!labels.empty() && std::all_of(labels.begin(), labels.end(),
                                     [&](const auto& label) { return reserved(label.first); })) {
    add(errors, "resource.labelSelector.matchLabels",
        "holds only keys that belong to the operator; add a label of your own");
  }
  if (labels.empty() && selector.match_expressions.empty()) {
    add(errors, "resource.labelSelector", "is empty and would match every node; add matchLabels");
  }
  if (const auto valid = matches(selector, {}); !valid)
    add(errors, "resource.labelSelector.matchExpressions", valid.error().message());
}

void check_resource(const Workspace& workspace, const ValidationDeps& deps, Errors& errors) {
  const ResourceSpec& resource = workspace.resource;
  if (resource.count && *resource.count < 1)
    add(errors, "resource.count", fmt::format("{} is not 1 or more", *resource.count));
  if (deps.byo) {
    if (!resource.instance_type.empty())
      add(errors, "resource.instanceType",
          "must be empty: nodes are brought by the user (--node-provisioner=byo)");
  } else if (resource.instance_type.empty()) {
    add(errors, "resource.instanceType",
        "is required; name a machine type of the cloud, such as Standard_NC24ads_A100_v4");
  } else if (deps.is_instance_type && !deps.is_instance_type(resource.instance_type)) {
    add(errors, "resource.instanceType",
        fmt::format("'{}' is not a GPU machine type this cloud is known to have",
                    resource.instance_type));
  }
  if (resource.partition && !deps.byo)
    add(errors, "resource.partition", "is only for nodes that you bring (--node-provisioner=byo)");
  if (resource.partition && workspace.tuning)
    add(errors, "resource.partition", "is not for tuning");
  check_selector(workspace, errors);
}

void check_preset(const std::optional<PresetSpec>& preset, const std::string& path,
                  const ValidationDeps& deps, Errors& errors) {
  if (!preset) return;
  if (preset->name.empty()) {
    add(errors, path + ".name", "is required");
  } else if (deps.is_preset && !deps.is_preset(preset->name)) {
    add(errors, path + ".name",
        fmt::format("'{}' is not in the catalogue; see docs/reference/presets.md for the names",
                    preset->name));
  }
}

void check_one_source(const std::string& path, const DataSource& source, Errors& errors) {
  const int given = (source.urls.empty() ? 0 : 1) + (source.volume_source ? 1 : 0) +
                    (source.image.empty() ? 0 : 1);
  if (given != 1)
    add(errors, path,
        fmt::format("needs exactly one of urls, volumeSource and image; {} are set", given));
}

void check_adapters(const std::vector<AdapterSpec>& adapters, Errors& errors) {
  if (adapters.size() > kMaxAdapters)
    add(errors, "inference.adapters",
        fmt::format("{} adapters, and at most {} are allowed", adapters.size(), kMaxAdapters));
  std::set<std::string> names;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const std::string path = fmt::format("inference.adapters[{}]", i);
    const auto& source = adapters[i].source;
    if (!source) {
      add(errors, path + ".source", "is required");
      continue;
    }
    if (!is_dns_label(source->name))
      add(errors, path + ".source.name",
          fmt::format("'{}' must be a DNS label: it names containers and folders", source->name));
    if (!names.insert(source->name).second)
      add(errors, path + ".source.name", fmt::format("'{}' appears twice", source->name));
    check_one_source(path + ".source", *source, errors);
    if (!source->urls.empty())
      add(errors, path + ".source.urls", "is not for adapters; use image or volumeSource");
    if (const auto& strength = adapters[i].strength) {
      double value = -1;
      const auto [end, code] =
          std::from_chars(strength->data(), strength->data() + strength->size(), value);
      if (code != std::errc{} || end != strength->data() + strength->size() ||
          !(value >= 0 && value <= 1)) {
        add(errors, path + ".strength", fmt::format("'{}' is not a number from 0 to 1", *strength));
      }
    }
  }
}

void check_template(const json::Object& pod_template, Errors& errors) {
  const auto decoded = json::decode_strict<PodTemplateSpec>(pod_template);
  for (const json::FieldError& error : decoded.errors) {
    // Fields that this program does not read are the API server's to judge; wrong types are ours.
    if (error.message != "unknown field")
      add(errors, "inference.template" + error.path, error.message);
  }
  if (decoded.errors.empty() && decoded.value.spec.containers.empty())
    add(errors, "inference.template.spec.containers", "needs at least one container");
}

void check_inference(const Workspace& workspace, const ValidationDeps& deps, Errors& errors) {
  const InferenceSpec& inference = *workspace.inference;
  if (!inference.preset && !inference.pod_template)
    add(errors, "inference", "needs a preset or a template");
  if (inference.preset && inference.pod_template)
    add(errors, "inference", "has both a preset and a template; keep one");
  check_preset(inference.preset, "inference.preset", deps, errors);
  if (inference.pod_template) check_template(*inference.pod_template, errors);
  check_adapters(inference.adapters, errors);
}

void check_tuning(const Workspace& workspace, const ValidationDeps& deps, Errors& errors) {
  const TuningSpec& tuning = *workspace.tuning;
  const std::string method = lower(tuning.method);
  if (method != "lora" && method != "qlora")
    add(errors, "tuning.method", fmt::format("'{}' is not lora or qlora", tuning.method));
  if (!tuning.preset) add(errors, "tuning.preset", "is required");
  check_preset(tuning.preset, "tuning.preset", deps, errors);
  if (workspace.resource.count.value_or(1) > 1)
    add(errors, "resource.count", "must be 1 for tuning");
  if (!tuning.input) {
    add(errors, "tuning.input", "is required");
  } else {
    check_one_source("tuning.input", *tuning.input, errors);
  }
  if (!tuning.output) {
    add(errors, "tuning.output", "is required");
    return;
  }
  if (tuning.output->volume_source.has_value() == !tuning.output->image.empty())
    add(errors, "tuning.output", "needs exactly one of volumeSource and image");
  if (!tuning.output->image.empty() && tuning.output->image_push_secret.empty())
    add(errors, "tuning.output.imagePushSecret", "is required for an output image");
}

bool same(const json::Value& a, const json::Value& b) { return json::equal(a, b); }

}  // namespace

std::vector<json::FieldError> validate_create(const Workspace& workspace,
                                              const ValidationDeps& deps) {
  Errors errors;
  check_name(workspace, errors);
  check_annotations(workspace, errors);
  if (!workspace.inference && !workspace.tuning)
    add(errors, "", "the Workspace needs `inference` or `tuning`");
  if (workspace.inference && workspace.tuning)
    add(errors, "", "the Workspace has both `inference` and `tuning`; keep one");
  check_resource(workspace, deps, errors);
  if (workspace.inference) check_inference(workspace, deps, errors);
  if (workspace.tuning) check_tuning(workspace, deps, errors);
  return errors;
}

std::vector<json::FieldError> validate_update(const Workspace& before, const Workspace& after,
                                              const ValidationDeps& deps) {
  Errors errors;
  if (after.metadata.deleting()) return errors;
  check_annotations(after, errors);
  if (before.inference.has_value() != after.inference.has_value())
    add(errors, "inference", "cannot be added or removed; make another Workspace");
  if (before.tuning.has_value() != after.tuning.has_value())
    add(errors, "tuning", "cannot be added or removed; make another Workspace");
  const ResourceSpec& was = before.resource;
  const ResourceSpec& is = after.resource;
  if (was.count && is.count && *was.count != *is.count)
    add(errors, "resource.count",
        fmt::format("cannot change from {} to {}", *was.count, *is.count));
  if (!was.instance_type.empty() && was.instance_type != is.instance_type &&
      !(deps.byo && is.instance_type.empty())) {
    add(errors, "resource.instanceType",
        fmt::format("cannot change from '{}' to '{}'", was.instance_type, is.instance_type));
  }
  if (!deps.byo && is.instance_type.empty()) add(errors, "resource.instanceType", "is required");
  if (!same(json::encode(was.label_selector), json::encode(is.label_selector)))
    add(errors, "resource.labelSelector", "cannot change");
  if (!same(json::write_value(was.partition), json::write_value(is.partition)))
    add(errors, "resource.partition", "cannot change");
  if (before.inference && after.inference) {
    if (!same(json::write_value(before.inference->preset),
              json::write_value(after.inference->preset)))
      add(errors, "inference.preset", "cannot change; make another Workspace");
    if (before.inference->pod_template.has_value() != after.inference->pod_template.has_value())
      add(errors, "inference.template", "cannot be added or removed");
    if (after.inference->pod_template) check_template(*after.inference->pod_template, errors);
    check_adapters(after.inference->adapters, errors);
  }
  if (before.tuning && after.tuning) {
    if (!same(json::write_value(before.tuning->preset), json::write_value(after.tuning->preset)))
      add(errors, "tuning.preset", "cannot change; make another Workspace");
    if (lower(before.tuning->method) != lower(after.tuning->method))
      add(errors, "tuning.method", "cannot change; make another Workspace");
    check_tuning(after, deps, errors);
  }
  return errors;
}

}  // namespace api

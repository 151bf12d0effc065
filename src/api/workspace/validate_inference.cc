#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <set>

#include "api/core/pod.h"
#include "api/workspace/names.h"
#include "api/workspace/validate_parts.h"

namespace api::validation {
namespace {

constexpr std::size_t kMaxAdapters = 10;
constexpr std::size_t kMaxDnsLabelBytes = 63;
constexpr std::size_t kMaxDnsSubdomainBytes = 253;

/// MIG profiles of the GPUs that have any. Source: upstream v0.12.
constexpr auto kMigProfiles = std::to_array<std::string_view>(
    {"1g.5gb",  "1g.6gb",  "1g.10gb", "1g.12gb", "1g.18gb", "1g.20gb",  "1g.23gb",
     "1g.24gb", "1g.35gb", "1g.45gb", "2g.10gb", "2g.12gb", "2g.20gb",  "2g.24gb",
     "2g.35gb", "2g.45gb", "3g.20gb", "3g.40gb", "3g.47gb", "3g.48gb",  "3g.71gb",
     "3g.90gb", "4g.20gb", "4g.24gb", "4g.40gb", "4g.47gb", "4g.48gb",  "4g.71gb",
     "4g.90gb", "7g.40gb", "7g.80gb", "7g.94gb", "7g.96gb", "7g.141gb", "7g.180gb"});

void check_partition(const Workspace& workspace, const ValidationDeps& deps, Errors& errors) {
  if (!workspace.resource.partition) return;
  const PartitionSpec& partition = *workspace.resource.partition;
  const std::string path = "resource.partition";
  if (!deps.byo) add(errors, path, "is only for nodes that you bring (--node-provisioner=byo)");
  if (workspace.tuning) add(errors, path, "is not for tuning");
  if (partition.mode == "mig") {
    if (partition.count) add(errors, path + ".count", "is not for mig; the profile says it all");
    if (std::ranges::find(kMigProfiles, partition.profile) == kMigProfiles.end()) {
      add(errors, path + ".profile",
          fmt::format("'{}' is not a MIG profile such as 1g.10gb", partition.profile));
    }
  } else if (partition.mode == "accelerator") {
    if (!partition.profile.empty()) add(errors, path + ".profile", "is only for mode mig");
    if (!partition.count) {
      add(errors, path + ".count", "is required for mode accelerator: whole GPUs to use");
    } else if (*partition.count < 1) {
      add(errors, path + ".count", fmt::format("{} is not 1 or more", *partition.count));
    }
  } else {
    add(errors, path + ".mode", fmt::format("'{}' is not mig or accelerator", partition.mode));
  }
}

void check_selector(const LabelSelector& selector, Errors& errors) {
  const auto& labels = selector.match_labels;
  const auto reserved = [](const auto& label) {
    return std::ranges::find(kReservedSelectorKeys, label.first) != kReservedSelectorKeys.end();
  };
  if (labels.empty() && selector.match_expressions.empty()) {
    add(errors, "resource.labelSelector",
        "is empty and would match every node; add a label under matchLabels");
  } else if (!labels.empty() && std::ranges::all_of(labels, reserved)) {
    add(errors, "resource.labelSelector.matchLabels",
        "holds only keys that belong to the operator; add a label of your own");
  }
  if (const auto valid = matches(selector, {}); !valid) {
    add(errors, "resource.labelSelector.matchExpressions", valid.error().message());
  }
}

void check_strength(const std::string& strength, const std::string& path,
                    const std::string& runtime, Errors& errors) {
  double value = -1;
  const char* end_of_text = strength.data() + strength.size();
  const auto [end, code] = std::from_chars(strength.data(), end_of_text, value);
  if (code != std::errc{} || end != end_of_text || !(value >= 0 && value <= 1)) {
    add(errors, path, fmt::format("'{}' is not a number from 0 to 1", strength));
  } else if (runtime == "vllm") {
    add(errors, path, "is not something vllm can do; leave it out or use the native runtime");
  }
}

void check_adapter(const AdapterSpec& adapter, const std::string& path, const std::string& runtime,
                   Errors& errors) {
  if (adapter.strength) check_strength(*adapter.strength, path + ".strength", runtime, errors);
  if (!adapter.source) {
    add(errors, path + ".source", "is required: an image or a volumeSource");
    return;
  }
  const DataSource& source = *adapter.source;
  if (!is_dns_subdomain(source.name)) {
    add(errors, path + ".source.name",
        fmt::format("'{}' is not a name of lower-case letters, digits, '-' and '.'", source.name));
  }
  if (!source.urls.empty()) {
    add(errors, path + ".source.urls", "is not for adapters; use image or volumeSource");
  }
  if (source.image.empty() != source.volume_source.has_value()) {
    add(errors, path + ".source", "needs exactly one of image and volumeSource");
  }
  if (!source.image.empty()) check_image(source.image, path + ".source.image", errors);
  if (source.volume_source) {
    check_volume(*source.volume_source, path + ".source.volumeSource", errors);
  }
}

}  // namespace

bool is_dns_label(std::string_view text, std::size_t max_bytes) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= max_bytes && alphanumeric(text.front()) &&
         alphanumeric(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return alphanumeric(c) || c == '-'; });
}

bool is_dns_subdomain(std::string_view text) {
  if (text.empty() || text.size() > kMaxDnsSubdomainBytes) return false;
  for (;;) {
    const auto dot = text.find('.');
    if (!is_dns_label(text.substr(0, dot), kMaxDnsLabelBytes)) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void check_instance_type(const ResourceSpec& resource, const ValidationDeps& deps, Errors& errors) {
  const std::string& type = resource.instance_type;
  if (deps.byo) {
    if (!type.empty()) {
      add(errors, "resource.instanceType",
          "must be empty: nodes are brought by the user (--node-provisioner=byo)");
    }
  } else if (type.empty()) {
    add(errors, "resource.instanceType",
        "is required; name a machine type of the cloud, such as Standard_NC24ads_A100_v4");
  } else if (deps.is_instance_type && !deps.is_instance_type(type)) {
    add(errors, "resource.instanceType",
        fmt::format("'{}' is not a GPU machine type this cloud is known to have", type));
  }
}

void check_resource(const Workspace& workspace, const ValidationDeps& deps, Errors& errors) {
  const ResourceSpec& resource = workspace.resource;
  if (resource.count && *resource.count < 1) {
    add(errors, "resource.count", fmt::format("{} is not 1 or more", *resource.count));
  }
  check_instance_type(resource, deps, errors);
  check_partition(workspace, deps, errors);
  check_selector(resource.label_selector, errors);
}

void check_preset(const PresetSpec& preset, const std::string& path, const ValidationDeps& deps,
                  Errors& errors) {
  if (preset.name.empty()) return add(errors, path + ".name", "is required");
  if (deps.is_preset && !deps.is_preset(preset.name)) {
    const std::string near = deps.suggest_preset ? deps.suggest_preset(preset.name) : "";
    return add(errors, path + ".name",
               fmt::format("'{}' is not in the catalogue{}; docs/reference/presets.md lists the "
                           "names, and any Hugging Face id (org/model) will do",
                           preset.name, near.empty() ? "" : ", did you mean " + near));
  }
  const bool private_mode = lower(preset.access_mode) == "private";
  const bool has_image = preset.preset_options && !preset.preset_options->image.empty();
  if (deps.is_private_preset && deps.is_private_preset(preset.name) && !private_mode) {
    add(errors, path + ".accessMode",
        fmt::format("must be private for {}: its licence keeps it out of public registries",
                    preset.name));
  }
  if (private_mode && !has_image) {
    add(errors, path + ".presetOptions.image",
        "is required with accessMode private: the image with the weights that you built");
  }
  if (has_image) check_image(preset.preset_options->image, path + ".presetOptions.image", errors);
}

void check_adapters(const Workspace& workspace, Errors& errors) {
  const std::vector<AdapterSpec>& adapters = workspace.inference->adapters;
  if (adapters.size() > kMaxAdapters) {
    add(errors, "inference.adapters",
        fmt::format("{} adapters are more than {}", adapters.size(), kMaxAdapters));
  }
  if (!adapters.empty() && !workspace.inference->preset) {
    add(errors, "inference.adapters", "is only for presets; a template brings its own");
  }
  const auto annotation = workspace.metadata.annotations.find(std::string(kAnnotationRuntime));
  const std::string runtime =
      annotation == workspace.metadata.annotations.end() ? "" : annotation->second;
  std::set<std::string> names;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const std::string path = fmt::format("inference.adapters[{}]", i);
    check_adapter(adapters[i], path, runtime, errors);
    const std::string name = adapters[i].source ? adapters[i].source->name : "";
    if (!name.empty() && !names.insert(name).second) {
      add(errors, path + ".source.name", fmt::format("'{}' appears twice", name));
    }
  }
}

void check_template(const json::Object& pod_template, Errors& errors) {
  const auto decoded = json::decode_strict<PodTemplateSpec>(pod_template);
  for (const json::FieldError& error : decoded.errors) {
    add(errors, "inference.template" + error.path, error.message);
  }
  if (decoded.errors.empty() && decoded.value.spec.containers.empty()) {
    add(errors, "inference.template.spec.containers", "needs at least one container");
  }
}

void check_inference(const Workspace& workspace, const ValidationDeps& deps, Errors& errors) {
  const InferenceSpec& inference = *workspace.inference;
  if (!inference.preset && !inference.pod_template) {
    add(errors, "inference", "needs a preset or a template");
  }
  if (inference.preset && inference.pod_template) {
    add(errors, "inference.template", "stands beside a preset; keep one of them");
  }
  if (inference.preset) check_preset(*inference.preset, "inference.preset", deps, errors);
  if (inference.pod_template) check_template(*inference.pod_template, errors);
  check_adapters(workspace, errors);
}

}  // namespace api::validation

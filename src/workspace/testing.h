#pragma once

#include <memory>
#include <string>

#include "api/workspace/names.h"
#include "workspace/observed.h"
#include "workspace/options.h"
#include "workspace/tune.h"

/// Valid observations for tests; a test changes only what matters to it.
namespace workspace::testing {

inline constexpr const char* kInstanceType = "Standard_NC24ads_A100_v4";

inline Options options(NodeProvisioner provisioner = NodeProvisioner::NodeClaim) {
  Options made;
  made.provisioner = provisioner;
  made.preset_registry = "registry.test/models";
  made.runtime_image = "registry.test/runtime:1";
  return made;
}

inline api::Workspace preset_workspace() {
  api::Workspace made;
  made.metadata.name = "w";
  made.metadata.ns = "d";
  made.metadata.uid = "uid-1";
  made.metadata.generation = 3;
  made.resource.instance_type = kInstanceType;
  made.resource.label_selector.match_labels = {{"apps", "phi"}};
  made.inference.emplace().preset = api::PresetSpec{.name = "phi-3-mini-4k-instruct"};
  return made;
}

/// The tuning of the user's guide, with names filled in.
inline api::Workspace tuning_workspace() {
  api::Workspace made = preset_workspace();
  made.inference.reset();
  api::TuningSpec& tuning = made.tuning.emplace();
  tuning.preset = api::PresetSpec{.name = "phi-3-mini-128k-instruct"};
  tuning.method = "qlora";
  tuning.input.emplace().urls = {"https://data.test/rows.parquet"};
  tuning.output.emplace().image = "registry.test/adapter:1";
  tuning.output->image_push_secret = "push";
  return made;
}

inline Observed observed(const api::Workspace& workspace) {
  Observed made;
  made.workspace = std::make_shared<const api::Workspace>(workspace);
  if (const api::PresetSpec* preset = chosen_preset(workspace))
    made.preset = model::resolve_preset(preset->name);
  resolve_phase(made, {});
  made.sku = model::find_sku("azure", workspace.resource.instance_type);
  return made;
}

inline Claim claim(const std::string& name, const std::string& ready = "True") {
  Claim made;
  made.name = name;
  made.conditions = {{.type = "Ready", .status = ready, .reason = "Test", .message = ""}};
  return made;
}

/// A ready GPU node made for `preset_workspace`.
inline api::Node own_node(const std::string& name) {
  api::Node made;
  made.metadata.name = name;
  made.metadata.labels = {{"apps", "phi"},
                          {"accelerator", "nvidia"},
                          {std::string(api::kLabelInstanceType), kInstanceType},
                          {std::string(api::kLabelWorkspace), "w"},
                          {std::string(api::kLabelWorkspaceNamespace), "d"}};
  made.status.capacity["nvidia.com/gpu"] = "1";
  made.status.conditions = {{.type = "Ready", .status = "True"}};
  return made;
}

/// The same without a workspace's labels: the user's own.
inline api::Node free_node(const std::string& name) {
  api::Node made = own_node(name);
  made.metadata.labels.erase(std::string(api::kLabelWorkspace));
  made.metadata.labels.erase(std::string(api::kLabelWorkspaceNamespace));
  return made;
}

inline void add(Observed& to, const api::Node& node) {
  to.nodes.push_back(std::make_shared<const api::Node>(node));
}

}  // namespace workspace::testing

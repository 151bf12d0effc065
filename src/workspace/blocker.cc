#include "workspace/blocker.h"

#include <fmt/format.h>

#include "api/workspace/names.h"

namespace workspace {
namespace {

/// What only a workspace that went past admission can lack.
std::optional<Problem> find_incomplete(const api::Workspace& workspace) {
  if (const auto& tuning = workspace.tuning) {
    if (!tuning->input || (tuning->input->urls.empty() && tuning->input->image.empty() &&
                           !tuning->input->volume_source))
      return Problem{"NothingToRun", "set tuning.input to urls, an image or a volumeSource", true};
    if (!tuning->output || (tuning->output->image.empty() && !tuning->output->volume_source))
      return Problem{"NothingToRun", "set tuning.output to an image or a volumeSource", true};
    return std::nullopt;
  }
  for (const auto& adapter : workspace.inference->adapters) {
    const bool known = adapter.source && !adapter.source->name.empty() &&
                       (!adapter.source->image.empty() || adapter.source->volume_source);
    if (!known)
      return Problem{"AdapterIncomplete",
                     "each of inference.adapters needs a source with a name, and an image or a "
                     "volumeSource",
                     true};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Problem> find_blocker(const Observed& observed) {
  const api::Workspace& workspace = *observed.workspace;
  const api::PresetSpec* preset = chosen_preset(workspace);
  const std::string path = workspace.tuning ? "tuning" : "inference";
  if (!preset) {
    if (workspace.inference && workspace.inference->pod_template) return std::nullopt;
    return Problem{
        "NothingToRun",
        workspace.tuning ? "set tuning.preset" : "set inference.preset or inference.template",
        true};
  }
  if (!observed.preset) {
    return Problem{"PresetUnknown",
                   fmt::format("{}.preset.name '{}' is neither in the catalogue "
                               "(docs/reference/presets.md) nor "
                               "an id of the Hugging Face hub (org/model)",
                               path, preset->name),
                   true};
  }
  const auto runtime = workspace.metadata.annotations.find(std::string(api::kAnnotationRuntime));
  if (runtime != workspace.metadata.annotations.end() && runtime->second != "native") {
    return Problem{
        "RuntimeNotAvailable",
        fmt::format(
            "annotation {} asks for '{}' and only 'native' is available; remove the annotation",
            api::kAnnotationRuntime, runtime->second),
        true};
  }
  if (auto problem = find_incomplete(workspace)) return problem;
  const std::string& config =
      workspace.tuning ? workspace.tuning->config : workspace.inference->config;
  if (!config.empty() && !observed.config) {
    return Problem{"ConfigMapNotFound",
                   fmt::format("{}.config names ConfigMap '{}', which is not in namespace {}; "
                               "create it or remove the field",
                               path, config, workspace.metadata.ns),
                   true};
  }
  return std::nullopt;
}

}  // namespace workspace

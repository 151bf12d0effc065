#include "workspace/blocker.h"

#include <fmt/format.h>

#include "api/workspace/names.h"

namespace workspace {

std::optional<Problem> find_blocker(const Observed& observed) {
  const api::Workspace& workspace = *observed.workspace;
  if (workspace.tuning)
    return Problem{"TuningNotAvailable", "tuning is not available in this release", true};
  if (!workspace.inference ||
      (!workspace.inference->preset && !workspace.inference->pod_template)) {
    return Problem{"NothingToRun", "set inference.preset or inference.template", true};
  }
  if (!workspace.inference->preset) return std::nullopt;
  if (!observed.preset) {
    return Problem{"PresetUnknown",
                   fmt::format("inference.preset.name '{}' is neither in the catalogue "
                               "(docs/reference/presets.md) nor "
                               "an id of the Hugging Face hub (org/model)",
                               workspace.inference->preset->name),
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
  if (!workspace.inference->adapters.empty()) {
    return Problem{"AdaptersNotAvailable",
                   "inference.adapters are not available yet; remove them to serve the base model",
                   true};
  }
  const std::string& config = workspace.inference->config;
  if (!config.empty() && !observed.config) {
    return Problem{
        "ConfigMapNotFound",
        fmt::format("inference.config names ConfigMap '{}', which is not in namespace {}; "
                    "create it or remove the field",
                    config, workspace.metadata.ns),
        true};
  }
  return std::nullopt;
}

}  // namespace workspace

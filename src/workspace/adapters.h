#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "json/value.h"
#include "workspace/desired.h"
#include "workspace/observed.h"

/// LoRA adapters at inference. What adapters there are travels in a ConfigMap that the server
/// follows while it runs, so that adding, removing or weighing one restarts no pod; only an adapter
/// on a volume changes the pod, since volumes cannot be added to a running one.
namespace workspace {

struct AdaptersConfig {
  Desired object;
  std::string revision;  ///< Of the list; servers name the one they follow.
};

/// `<workspace>-adapters`: the ConfigMap that lists them.
std::string adapters_config_name(std::string_view workspace);

/// That ConfigMap; nothing when there are no adapters and never were. File
/// format: src/inference/README.md.
std::optional<AdaptersConfig> adapters_config(const Observed& observed);

/// What the server container needs to follow the ConfigMap.
void add_adapter_flags(const Observed& observed, json::Array& command, json::Array& mounts);
/// The volumes of those mounts.
void add_adapter_volumes(const Observed& observed, json::Array& volumes);

}  // namespace workspace

#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/core/pod.h"
#include "base/result.h"
#include "nodeagent/config_source.h"
#include "nodeagent/lifecycle/environment.h"
#include "nodeagent/runtime/container_spec.h"

namespace nodeagent {

/// Paths of the host by volume name.
using VolumePaths = std::map<std::string, std::string>;

/// Makes every volume of the pod ready below `volumes_dir`. Content that exists is kept (emptyDir)
/// or brought up to date (configMap, secret, projected, downwardAPI); running it again is harmless.
/// Errors: NotFound naming what is missing, Invalid for a kind this node does not support.
base::Result<VolumePaths> prepare_volumes(const api::Pod& pod, const std::string& volumes_dir,
                                          ConfigSource& configs);

/// The mounts of one container. Errors: Invalid for an unknown volume or a subPath that leaves it.
base::Result<std::vector<Mount>> container_mounts(const api::Container& container,
                                                  const VolumePaths& paths,
                                                  const Environment& environment);

/// Without namespaces volumes do not appear at their mount paths, so the paths in arguments and
/// variables are replaced by those of the host. Only whole path prefixes are replaced.
std::string rewrite_paths(std::string text, const std::vector<Mount>& mounts);

}  // namespace nodeagent

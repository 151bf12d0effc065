#pragma once

#include <map>
#include <string>
#include <string_view>
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
/// or brought up to date (configMap, secret, projected, downwardAPI: see `write_payload`); running
/// it again is harmless. Errors: NotFound naming what is missing, Invalid for a kind this node does
/// not support.
base::Result<VolumePaths> prepare_volumes(const api::Pod& pod, const std::string& volumes_dir,
                                          ConfigSource& configs);

/// Brings what comes from ConfigMaps, Secrets and the pod itself up to date while the pod runs.
/// Each volume for itself: one that cannot be made keeps what it shows. Errors: the first of them.
base::Status refresh_volumes(const api::Pod& pod, const std::string& volumes_dir,
                             ConfigSource& configs);

/// Names a ConfigMap or Secret (by its kind) as `volume_references` does.
std::string volume_reference(std::string_view kind, const api::ObjectKey& key);
/// The objects whose change the pod's volumes have to show, each once.
std::vector<std::string> volume_references(const api::Pod& pod);

/// The mounts of one container. Errors: Invalid for an unknown volume or a subPath that leaves it.
base::Result<std::vector<Mount>> container_mounts(const api::Container& container,
                                                  const VolumePaths& paths,
                                                  const Environment& environment);

/// Without namespaces volumes do not appear at their mount paths, so the paths in arguments and
/// variables are replaced by those of the host. Only whole path prefixes are replaced.
std::string rewrite_paths(std::string text, const std::vector<Mount>& mounts);

}  // namespace nodeagent

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/core/pod.h"
#include "base/result.h"
#include "nodeagent/config_source.h"

namespace nodeagent {

/// Variables in order, later ones may refer to earlier ones.
using Environment = std::vector<std::pair<std::string, std::string>>;

/// Replaces `$(NAME)` by its value where `environment` has one and leaves it alone otherwise;
/// `$$` stands for `$`.
std::string expand_variables(std::string_view text, const Environment& environment);

/// The value of a field path of a pod, as the downward API names it: `metadata.name`,
/// `metadata.labels['key']`, `status.podIP`, `spec.nodeName`, ... Errors: Invalid, naming the path.
base::Result<std::string> field_value(const api::Pod& pod, std::string_view path);

/// The value of `limits.cpu`, `requests.memory`, ... of a container of the pod, divided by the
/// divisor and rounded up; a missing limit is the node's capacity in kubelet, here 0.
/// Errors: Invalid, NotFound for an unknown container.
base::Result<std::string> resource_value(const api::Pod& pod, const api::Container& own,
                                         const api::ResourceFieldSelector& selector);

/// The variables a container declares. `pod.status` must hold the pod's address.
/// Errors: NotFound naming the missing ConfigMap, Secret or key; Invalid.
base::Result<Environment> container_environment(const api::Pod& pod,
                                                const api::Container& container,
                                                ConfigSource& configs);

}  // namespace nodeagent

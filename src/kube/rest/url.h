#pragma once

#include <string>
#include <string_view>

#include "api/meta.h"
#include "base/result.h"

namespace kube {

/// Path of the collection of `type`: `/apis/apps/v1/namespaces/default/statefulsets`. "" as `ns` of
/// a namespaced type gives the collection over all namespaces.
std::string collection_path(const api::ResourceType& type, std::string_view ns);

/// Path of one object, or of its `subresource`.
/// Errors: Invalid when the name or a needed namespace is missing, or either holds a `/`.
base::Result<std::string> object_path(const api::ResourceType& type, const api::ObjectKey& key,
                                      std::string_view subresource = {});

/// Appends `key=value`, percent-encoded, to a path that may have a query already.
void add_query(std::string& path, std::string_view key, std::string_view value);

}  // namespace kube

#pragma once

#include <string_view>

#include "apiserver/resources/registry.h"
#include "json/value.h"

/// The documents by which clients learn what is served.
namespace apiserver {

enum class ApiRoot { Core, Groups };

/// `/api`: APIVersions.
json::Value core_versions(std::string_view address);
/// `/apis`: APIGroupList.
json::Value group_list(const Catalog& catalog);
/// `/apis/<group>`: APIGroup.
json::Value group_document(const Catalog& catalog, std::string_view group);
/// `/api/v1`, `/apis/<group>/<version>`: APIResourceList.
json::Value resource_list(const Catalog& catalog, std::string_view group, std::string_view version);
/// APIGroupDiscoveryList (apidiscovery.k8s.io) of everything below a root.
json::Value aggregated_discovery(const Catalog& catalog, ApiRoot root, std::string_view version);

}  // namespace apiserver

#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/schema/openapi.h"
#include "json/value.h"

/// What both OpenAPI versions are made of.
namespace apiserver {

enum class OpenApiDialect { V2, V3 };

inline constexpr std::string_view kObjectMetaName =
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
inline constexpr std::string_view kListMetaName = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
inline constexpr std::string_view kDeleteOptionsName =
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
inline constexpr std::string_view kStatusName = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
inline constexpr std::string_view kPatchName = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
inline constexpr std::string_view kScaleName = "io.k8s.api.autoscaling.v1.Scale";

/// A schema that points to a definition.
json::Object reference(std::string_view definition, OpenApiDialect dialect,
                       std::string_view description = {});

/// All definitions that `types` need, by name: the types, their lists and those of meta/v1.
json::Object make_definitions(std::span<const OpenApiType* const> types, OpenApiDialect dialect);

struct QueryParameter {
  std::string_view name;
  std::string_view type;
  std::string_view description;
};

struct ApiOperation {
  std::string_view method;  ///< `get`, `post`, ...
  std::string_view action;  ///< `list`, `patch`, ...
  std::string id;
  std::string description;
  std::vector<QueryParameter> parameters;
  std::vector<std::string_view> consumes;
  std::string body;      ///< Definition of the body; "" for none.
  std::string response;  ///< Definition of the answer.
  json::Object gvk;
};

struct ApiPath {
  std::string path;
  std::vector<std::string_view> parameters;  ///< `name`, `namespace`.
  std::vector<ApiOperation> operations;
};

/// The paths of a type and its subresources.
std::vector<ApiPath> make_paths(const OpenApiType& type);

}  // namespace apiserver

#include "apiserver/http/open_api.h"

#include "apiserver/schema/openapi.h"

namespace apiserver {
namespace {

std::vector<OpenApiType> types_of(const Catalog& catalog) {
  std::vector<OpenApiType> types;
  for (const auto& definition : catalog.definitions) {
    for (const auto& version : definition->versions) {
      if (!version.served) continue;
      OpenApiType type;
      type.group = definition->group;
      type.version = version.name;
      type.kind = definition->kind;
      type.plural = definition->plural;
      type.namespaced = definition->namespaced;
      type.custom = definition->custom;
      type.status = version.status_subresource;
      type.scale = version.scale.has_value();
      type.schema = version.schema;
      types.push_back(std::move(type));
    }
  }
  return types;
}

std::optional<OpenApiDocument> make(const Catalog& catalog, std::string_view path, bool protobuf) {
  const auto types = types_of(catalog);
  OpenApiDocument document;
  document.content_type = "application/json";
  if (path == "v2") {
    const json::Value value = openapi_v2_document(types);
    document.body = protobuf ? openapi_v2_protobuf(value) : json::dump(value);
    if (protobuf) document.content_type = kOpenApiV2Protobuf;
    return document;
  }
  if (path == "v3") {
    document.body = json::dump(openapi_v3_index(types));
    return document;
  }
  std::string_view rest = path.substr(3);
  std::string group;
  if (rest.starts_with("apis/")) {
    rest.remove_prefix(5);
    const auto slash = rest.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    group = rest.substr(0, slash);
    rest.remove_prefix(slash + 1);
  } else if (rest.starts_with("api/")) {
    rest.remove_prefix(4);
  } else {
    return std::nullopt;
  }
  if (!catalog.has_version(group, rest)) return std::nullopt;
  document.body = json::dump(openapi_v3_document(types, group, rest));
  return document;
}

}  // namespace

std::optional<OpenApiDocument> OpenApiPages::get(const CatalogRef& catalog, std::string_view path,
                                                 std::string_view accept) const {
  if (path.starts_with("/openapi/")) path.remove_prefix(9);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path != "v2" && path != "v3" && !path.starts_with("v3/")) return std::nullopt;
  const bool protobuf = path == "v2" && accept.find("proto-openapi") != std::string_view::npos;
  const std::string key = std::string(path) + (protobuf ? "#protobuf" : "");
  const auto kept = cache_.with([&](const Cache& cache) -> std::optional<OpenApiDocument> {
    const auto found = cache.documents.find(key);
    if (cache.catalog != catalog || found == cache.documents.end()) return std::nullopt;
    return found->second;
  });
  if (kept) return kept;
  auto made = make(*catalog, path, protobuf);
  if (!made) return std::nullopt;
  cache_.with([&](Cache& cache) {
    if (cache.catalog != catalog) {
      cache.catalog = catalog;
      cache.documents.clear();
    }
    cache.documents[key] = *made;
  });
  return made;
}

}  // namespace apiserver

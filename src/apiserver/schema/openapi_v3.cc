#include <fmt/format.h>

#include <map>

#include "apiserver/schema/openapi.h"
#include "apiserver/schema/openapi_definitions.h"

namespace apiserver {
namespace {

json::Object content(std::string_view media_type, std::string_view definition) {
  json::Object result;
  result[media_type] = json::Object{{"schema", reference(definition, OpenApiDialect::V3)}};
  return result;
}

json::Object v3_operation(const ApiOperation& op) {
  json::Object result{{"description", json::String(op.description)},
                      {"operationId", json::String(op.id)}};
  json::Array parameters;
  for (const QueryParameter& parameter : op.parameters) {
    parameters.push_back(json::Object{
        {"in", "query"},
        {"name", json::String(parameter.name)},
        {"description", json::String(parameter.description)},
        {"schema", json::Object{{"type", json::String(parameter.type)}, {"uniqueItems", true}}}});
  }
  result["parameters"] = std::move(parameters);
  if (!op.body.empty()) {
    json::Object bodies;
    for (const auto media_type : op.consumes) {
      bodies[media_type] = json::Object{{"schema", reference(op.body, OpenApiDialect::V3)}};
    }
    if (bodies.empty()) bodies = content("*/*", op.body);
    result["requestBody"] =
        json::Object{{"required", op.method != "delete"}, {"content", std::move(bodies)}};
  }
  json::Object ok{{"description", "OK"}, {"content", content("application/json", op.response)}};
  result["responses"] = json::Object{{"200", std::move(ok)}};
  result["x-kubernetes-action"] = json::String(op.action);
  result["x-kubernetes-group-version-kind"] = op.gvk;
  return result;
}

json::Object v3_path(const ApiPath& path) {
  json::Object result;
  for (const ApiOperation& op : path.operations) result[op.method] = v3_operation(op);
  json::Array parameters;
  for (const auto name : path.parameters) {
    parameters.push_back(
        json::Object{{"in", "path"},
                     {"name", json::String(name)},
                     {"required", true},
                     {"schema", json::Object{{"type", "string"}, {"uniqueItems", true}}}});
  }
  if (!parameters.empty()) result["parameters"] = std::move(parameters);
  return result;
}

std::string group_path(std::string_view group, std::string_view version) {
  return group.empty() ? fmt::format("api/{}", version) : fmt::format("apis/{}/{}", group, version);
}

}  // namespace

json::Value openapi_v3_document(std::span<const OpenApiType> types, std::string_view group,
                                std::string_view version) {
  json::Object paths;
  std::vector<const OpenApiType*> mine;
  for (const OpenApiType& type : types) {
    if (type.group != group || type.version != version) continue;
    mine.push_back(&type);
    for (const ApiPath& path : make_paths(type)) paths[path.path] = v3_path(path);
  }
  return json::Object{
      {"openapi", "3.0.0"},
      {"info", json::Object{{"title", "Kubernetes"}, {"version", "unversioned"}}},
      {"paths", std::move(paths)},
      {"components", json::Object{{"schemas", make_definitions(mine, OpenApiDialect::V3)}}}};
}

json::Value openapi_v3_index(std::span<const OpenApiType> types) {
  std::map<std::pair<std::string, std::string>, std::string> hashes;
  for (const OpenApiType& type : types) {
    auto [entry, added] = hashes.try_emplace({type.group, type.version});
    if (added) entry->second = json::hash(openapi_v3_document(types, type.group, type.version));
  }
  json::Object paths;
  for (const auto& [key, hash] : hashes) {
    const std::string path = group_path(key.first, key.second);
    paths[path] = json::Object{
        {"serverRelativeURL", json::String(fmt::format("/openapi/v3/{}?hash={}", path, hash))}};
  }
  return json::Object{{"paths", std::move(paths)}};
}

}  // namespace apiserver

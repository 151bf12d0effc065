#include "apiserver/schema/openapi.h"

#include <fmt/format.h>

#include "apiserver/schema/openapi_definitions.h"

/// Version 2 (Swagger) as JSON.
namespace apiserver {
namespace {

json::Array strings(const std::vector<std::string_view>& values) {
  json::Array result;
  for (const auto value : values) result.emplace_back(json::String(value));
  return result;
}

json::Object v2_operation(const ApiOperation& op) {
  json::Object result{{"description", json::String(op.description)},
                      {"operationId", json::String(op.id)},
                      {"consumes", op.consumes.empty() ? json::Array{"*/*"} : strings(op.consumes)},
                      {"produces", json::Array{"application/json", "application/yaml"}},
                      {"schemes", json::Array{"https"}}};
  json::Array parameters;
  if (!op.body.empty()) {
    parameters.push_back(json::Object{{"in", "body"},
                                      {"name", "body"},
                                      {"required", op.method != "delete"},
                                      {"schema", reference(op.body, OpenApiDialect::V2)}});
  }
  for (const QueryParameter& parameter : op.parameters) {
    parameters.push_back(json::Object{{"in", "query"},
                                      {"name", json::String(parameter.name)},
                                      {"type", json::String(parameter.type)},
                                      {"description", json::String(parameter.description)},
                                      {"uniqueItems", true}});
  }
  result["parameters"] = std::move(parameters);
  json::Object ok{{"description", "OK"}, {"schema", reference(op.response, OpenApiDialect::V2)}};
  result["responses"] = json::Object{{"200", std::move(ok)}};
  result["x-kubernetes-action"] = json::String(op.action);
  result["x-kubernetes-group-version-kind"] = op.gvk;
  return result;
}

json::Object v2_path(const ApiPath& path) {
  json::Object result;
  for (const ApiOperation& op : path.operations) result[op.method] = v2_operation(op);
  json::Array parameters;
  for (const auto name : path.parameters) {
    parameters.push_back(json::Object{{"in", "path"},
                                      {"name", json::String(name)},
                                      {"required", true},
                                      {"type", "string"},
                                      {"uniqueItems", true}});
  }
  if (!parameters.empty()) result["parameters"] = std::move(parameters);
  return result;
}

}  // namespace

json::Value openapi_v2_document(std::span<const OpenApiType> types) {
  json::Object paths;
  std::vector<const OpenApiType*> all;
  for (const OpenApiType& type : types) {
    all.push_back(&type);
    for (const ApiPath& path : make_paths(type)) paths[path.path] = v2_path(path);
  }
  return json::Object{{"swagger", "2.0"},
                      {"info", json::Object{{"title", "Kubernetes"}, {"version", "unversioned"}}},
                      {"paths", std::move(paths)},
                      {"definitions", make_definitions(all, OpenApiDialect::V2)}};
}

}  // namespace apiserver

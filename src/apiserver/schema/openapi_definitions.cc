#include "apiserver/schema/openapi_definitions.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/meta.h"
#include "apiserver/schema/schema_node.h"
#include "json/schema.h"

namespace apiserver {
namespace {

/// Groups whose definitions do not follow `io.k8s.api.GROUP`.
struct GroupName {
  std::string_view group;
  std::string_view prefix;
};
constexpr GroupName kGroupNames[] = {
    {"", "io.k8s.api.core"},
    {"apiextensions.k8s.io", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions"},
    {"apiregistration.k8s.io", "io.k8s.kube-aggregator.pkg.apis.apiregistration"},
    {"meta.k8s.io", "io.k8s.apimachinery.pkg.apis.meta"},
};

/// `kaito.sh` -> `sh.kaito`.
std::string reversed(std::string_view domain) {
  std::string result;
  while (!domain.empty()) {
    const auto dot = domain.rfind('.');
    if (!result.empty()) result.push_back('.');
    result.append(dot == std::string_view::npos ? domain : domain.substr(dot + 1));
    domain = dot == std::string_view::npos ? std::string_view() : domain.substr(0, dot);
  }
  return result;
}

json::Object gvk_of(std::string_view group, std::string_view version, std::string_view kind) {
  return {{"group", json::String(group)},
          {"kind", json::String(kind)},
          {"version", json::String(version)}};
}

void erase_all(json::Object& schema, std::initializer_list<std::string_view> keywords) {
  for (const auto keyword : keywords) schema.erase(keyword);
}

/// Reduces a schema to what version 2 and old clients understand: what they cannot express must
/// be said less strictly, never wrongly.
void reduce_to_v2(json::Object& schema) {
  const SchemaNode node(schema);
  const bool nullable = node.nullable();
  const bool open = node.preserves_unknown();
  const bool int_or_string = node.int_or_string();
  erase_all(schema, {"oneOf", "anyOf", "allOf", "not", "nullable", "default", "example",
                     "x-kubernetes-validations"});
  if (int_or_string) {
    schema["type"] = "string";
    schema["format"] = "int-or-string";
    schema.erase("enum");
  } else if (nullable) {
    // Clients check null against the type.
    erase_all(schema, {"type", "properties", "items", "additionalProperties", "required", "format",
                       "enum"});
  } else if (open) {
    // Clients refuse members that are not among `properties`.
    erase_all(schema, {"properties", "items", "additionalProperties", "required"});
  }
}

void convert(json::Object& schema, OpenApiDialect dialect);

void convert_member(json::Object& schema, std::string_view keyword, OpenApiDialect dialect) {
  json::Value* found = schema.if_contains(keyword);
  if (found && found->is_object()) convert(found->get_object(), dialect);
}

void convert(json::Object& schema, OpenApiDialect dialect) {
  if (dialect == OpenApiDialect::V2) reduce_to_v2(schema);
  // Arrays of anything still need `items`.
  if (SchemaNode(schema).type() == "array" && !schema.contains("items")) {
    schema["items"] = json::Object{{"type", "object"}};
  }
  convert_member(schema, "items", dialect);
  convert_member(schema, "additionalProperties", dialect);
  if (json::Value* properties = schema.if_contains("properties");
      properties && properties->is_object()) {
    for (auto& member : properties->get_object()) {
      if (member.value().is_object()) convert(member.value().get_object(), dialect);
    }
  }
}

json::Object text_schema(std::string_view description) {
  return {{"description", json::String(description)}, {"type", "string"}};
}

constexpr std::string_view kApiVersionText =
    "APIVersion defines the versioned schema of this representation of an object. Servers should "
    "convert recognized schemas to the latest internal value, and may reject unrecognized values.";
constexpr std::string_view kKindText =
    "Kind is a string value representing the REST resource this object represents. Servers may "
    "infer this from the endpoint the client submits requests to. Cannot be updated.";

/// `properties` with apiVersion, kind and metadata in front.
json::Object with_type_fields(json::Object properties, std::string_view metadata,
                              std::string_view metadata_text, OpenApiDialect dialect) {
  json::Object result;
  result["apiVersion"] = text_schema(kApiVersionText);
  result["kind"] = text_schema(kKindText);
  result["metadata"] = reference(metadata, dialect, metadata_text);
  for (auto& member : properties) {
    if (!result.contains(member.key())) result.emplace(member.key(), std::move(member.value()));
  }
  return result;
}

json::Object make_definition(const OpenApiType& type, OpenApiDialect dialect) {
  json::Object schema = type.schema;
  const bool known = !schema.empty();
  convert(schema, dialect);
  schema["type"] = "object";
  json::Value* declared = schema.if_contains("properties");
  // Without declared fields any field must be accepted.
  if (known && declared && declared->is_object()) {
    *declared = with_type_fields(std::move(declared->get_object()), kObjectMetaName,
                                 "Standard object's metadata.", dialect);
  }
  schema["x-kubernetes-group-version-kind"] =
      json::Array{gvk_of(type.group, type.version, type.kind)};
  return schema;
}

json::Object make_list_definition(const OpenApiType& type, OpenApiDialect dialect) {
  const std::string item = definition_name(type.group, type.version, type.kind);
  json::Object items{
      {"type", "array"}, {"description", "List of objects."}, {"items", reference(item, dialect)}};
  json::Object properties = with_type_fields(json::Object{{"items", std::move(items)}},
                                             kListMetaName, "Standard list metadata.", dialect);
  return {{"description", json::String(fmt::format("{0}List is a list of {0}", type.kind))},
          {"type", "object"},
          {"required", json::Array{"items"}},
          {"properties", std::move(properties)},
          {"x-kubernetes-group-version-kind",
           json::Array{gvk_of(type.group, type.version, type.kind + "List")}}};
}

json::Object make_object_meta(OpenApiDialect dialect) {
  json::Object schema = json::schema_of<api::ObjectMeta>();
  convert(schema, dialect);
  schema["description"] =
      "ObjectMeta is metadata that all persisted resources must have, which includes all objects "
      "users must create.";
  json::Object& properties = schema["properties"].as_object();
  properties["selfLink"] = text_schema("Deprecated: no longer set by the server.");
  json::Object entry{{"type", "object"}, {"properties", json::Object{}}};
  json::Object& fields = entry["properties"].as_object();
  for (const std::string_view key :
       {"apiVersion", "fieldsType", "manager", "operation", "subresource", "time"}) {
    fields[key] = json::Object{{"type", "string"}};
  }
  fields["fieldsV1"] = json::Object{{"type", "object"}};
  properties["managedFields"] =
      json::Object{{"type", "array"},
                   {"description", "Which manager owns which fields; kept by the server."},
                   {"items", std::move(entry)}};
  if (json::Value* finalizers = properties.if_contains("finalizers")) {
    finalizers->as_object()["x-kubernetes-patch-strategy"] = "merge";
  }
  return schema;
}

json::Object make_delete_options() {
  json::Object properties;
  properties["apiVersion"] = text_schema(kApiVersionText);
  properties["kind"] = text_schema(kKindText);
  properties["gracePeriodSeconds"] = json::Object{{"type", "integer"}, {"format", "int64"}};
  properties["orphanDependents"] = json::Object{{"type", "boolean"}};
  properties["propagationPolicy"] = text_schema("Orphan, Background or Foreground.");
  properties["preconditions"] = json::Object{
      {"type", "object"},
      {"properties", json::Object{{"uid", json::Object{{"type", "string"}}},
                                  {"resourceVersion", json::Object{{"type", "string"}}}}}};
  properties["dryRun"] =
      json::Object{{"type", "array"}, {"items", json::Object{{"type", "string"}}}};
  return {{"description", "DeleteOptions may be provided when deleting an API object."},
          {"type", "object"},
          {"properties", std::move(properties)},
          {"x-kubernetes-group-version-kind", json::Array{gvk_of("", "v1", "DeleteOptions")}}};
}

json::Object make_status(OpenApiDialect dialect) {
  json::Object properties{{"code", json::Object{{"type", "integer"}, {"format", "int32"}}},
                          {"details", json::Object{{"type", "object"}}}};
  for (const std::string_view key : {"message", "reason", "status"}) {
    properties[key] = json::Object{{"type", "string"}};
  }
  return {{"description", "Status is a return value for calls that don't return other objects."},
          {"type", "object"},
          {"properties", with_type_fields(std::move(properties), kListMetaName,
                                          "Standard list metadata.", dialect)},
          {"x-kubernetes-group-version-kind", json::Array{gvk_of("", "v1", "Status")}}};
}

json::Object make_scale(OpenApiDialect dialect) {
  const json::Object replicas{{"type", "integer"}, {"format", "int32"}};
  json::Object spec{{"type", "object"}, {"properties", json::Object{{"replicas", replicas}}}};
  json::Object status{{"type", "object"},
                      {"properties", json::Object{{"replicas", replicas},
                                                  {"selector", json::Object{{"type", "string"}}}}}};
  return {{"description", "Scale represents a scaling request for a resource."},
          {"type", "object"},
          {"properties",
           with_type_fields(json::Object{{"spec", std::move(spec)}, {"status", std::move(status)}},
                            kObjectMetaName, "Standard object metadata.", dialect)},
          {"x-kubernetes-group-version-kind", json::Array{gvk_of("autoscaling", "v1", "Scale")}}};
}

}  // namespace

std::string definition_name(std::string_view group, std::string_view version,
                            std::string_view kind) {
  for (const GroupName& known : kGroupNames) {
    if (known.group == group) return fmt::format("{}.{}.{}", known.prefix, version, kind);
  }
  constexpr std::string_view kSuffix = ".k8s.io";
  if (group.ends_with(kSuffix)) {
    const auto first = group.substr(0, group.find('.'));
    return fmt::format("io.k8s.api.{}.{}.{}", first, version, kind);
  }
  if (group.find('.') == std::string_view::npos) {
    return fmt::format("io.k8s.api.{}.{}.{}", group, version, kind);
  }
  return fmt::format("{}.{}.{}", reversed(group), version, kind);
}

json::Object reference(std::string_view definition, OpenApiDialect dialect,
                       std::string_view description) {
  json::Object result;
  if (!description.empty()) result["description"] = json::String(description);
  if (dialect == OpenApiDialect::V2) {
    result["$ref"] = json::String(fmt::format("#/definitions/{}", definition));
    return result;
  }
  const json::String target(fmt::format("#/components/schemas/{}", definition));
  if (description.empty()) {
    result["$ref"] = target;
  } else {
    result["allOf"] = json::Array{json::Object{{"$ref", target}}};
  }
  return result;
}

json::Object make_definitions(std::span<const OpenApiType* const> types, OpenApiDialect dialect) {
  json::Object result;
  bool scale = false;
  for (const OpenApiType* type : types) {
    const std::string name = definition_name(type->group, type->version, type->kind);
    result[name] = make_definition(*type, dialect);
    result[name + "List"] = make_list_definition(*type, dialect);
    scale = scale || type->scale;
  }
  result[kObjectMetaName] = make_object_meta(dialect);
  json::Object list_meta = json::schema_of<api::ListMeta>();
  list_meta["properties"].as_object()["selfLink"] = json::Object{{"type", "string"}};
  result[kListMetaName] = std::move(list_meta);
  result[kDeleteOptionsName] = make_delete_options();
  result[kStatusName] = make_status(dialect);
  result[kPatchName] = json::Object{
      {"description", "Patch is provided to give a concrete name and type to the PATCH body."},
      {"type", "object"}};
  if (scale) result[kScaleName] = make_scale(dialect);
  return result;
}

}  // namespace apiserver

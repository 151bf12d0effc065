#include "api/crd.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "api/nodeclaim/machine.h"
#include "api/nodeclaim/nodeclaim.h"
#include "api/workspace/workspace.h"
#include "json/schema.h"

namespace api {
namespace {

struct Column {
  std::string_view name;
  std::string_view type;
  std::string_view json_path;
  int priority = 0;
};

/// Leaves out what only built-in types may say.
void strip_patch_keys(json::Value& schema) {
  if (auto* object = schema.if_object()) {
    object->erase("x-kubernetes-patch-merge-key");
    object->erase("x-kubernetes-patch-strategy");
    for (auto& member : *object) strip_patch_keys(member.value());
  } else if (auto* array = schema.if_array()) {
    for (json::Value& element : *array) strip_patch_keys(element);
  }
}

template <class T>
json::Value root_schema() {
  json::Object schema = json::schema_of<T>();
  // The server validates metadata itself.
  schema["properties"].as_object()["metadata"] = json::Object{{"type", "object"}};
  json::Value value(std::move(schema));
  strip_patch_keys(value);
  return value;
}

json::Array columns_json(std::initializer_list<Column> columns) {
  json::Array list;
  for (const Column& column : columns) {
    json::Object entry{{"name", json::String(column.name)},
                       {"type", json::String(column.type)},
                       {"jsonPath", json::String(column.json_path)}};
    if (column.priority != 0) entry["priority"] = column.priority;
    list.push_back(std::move(entry));
  }
  return list;
}

json::Object version(std::string_view name, bool storage, const json::Value& schema,
                     const json::Array& columns) {
  return {{"name", json::String(name)},
          {"served", true},
          {"storage", storage},
          {"schema", json::Object{{"openAPIV3Schema", schema}}},
          {"subresources", json::Object{{"status", json::Object{}}}},
          {"additionalPrinterColumns", columns}};
}

struct Names {
  std::string_view singular;
  std::vector<std::string_view> short_names;
  std::vector<std::string_view> categories;
};

json::Value definition(const ResourceType& type, const Names& names, json::Array versions) {
  const auto strings = [](const std::vector<std::string_view>& items) {
    json::Array array;
    for (const auto item : items) array.emplace_back(json::String(item));
    return array;
  };
  json::Object spec_names{{"plural", json::String(type.plural)},
                          {"singular", json::String(names.singular)},
                          {"kind", json::String(type.kind)},
                          {"listKind", json::String(std::string(type.kind) + "List")}};
  if (!names.short_names.empty()) spec_names["shortNames"] = strings(names.short_names);
  if (!names.categories.empty()) spec_names["categories"] = strings(names.categories);
  return json::Object{
      {"apiVersion", "apiextensions.k8s.io/v1"},
      {"kind", "CustomResourceDefinition"},
      {"metadata",
       json::Object{{"name", json::String(fmt::format("{}.{}", type.plural, type.group))}}},
      {"spec", json::Object{{"group", json::String(type.group)},
                            {"names", std::move(spec_names)},
                            {"scope", type.namespaced ? "Namespaced" : "Cluster"},
                            {"versions", std::move(versions)}}}};
}

constexpr std::string_view condition_path(std::string_view type) {
  // One literal per type: the columns are constants.
  if (type == "ResourceReady") return ".status.conditions[?(@.type==\"ResourceReady\")].status";
  if (type == "InferenceReady") return ".status.conditions[?(@.type==\"InferenceReady\")].status";
  if (type == "WorkspaceReady") return ".status.conditions[?(@.type==\"WorkspaceReady\")].status";
  if (type == "JobStarted") return ".status.conditions[?(@.type==\"JobStarted\")].status";
  if (type == "WorkspaceSucceeded")
    return ".status.conditions[?(@.type==\"WorkspaceSucceeded\")].status";
  return ".status.conditions[?(@.type==\"Ready\")].status";
}

json::Value workspace_definition() {
  const json::Array columns =
      columns_json({{"Instance", "string", ".resource.instanceType"},
                    {"ResourceReady", "string", condition_path("ResourceReady")},
                    {"InferenceReady", "string", condition_path("InferenceReady")},
                    {"WorkspaceReady", "string", condition_path("WorkspaceReady")},
                    {"JobStarted", "string", condition_path("JobStarted"), 1},
                    {"WorkspaceSucceeded", "string", condition_path("WorkspaceSucceeded"), 1},
                    {"TargetNodeCount", "integer", ".status.targetNodeCount", 1},
                    {"State", "string", ".status.state", 1},
                    {"Age", "date", ".metadata.creationTimestamp"}});
  const json::Value schema = root_schema<Workspace>();
  return definition(
      Workspace::kType, {"workspace", {"wk", "wks"}, {"workspace"}},
      {version("v1alpha1", false, schema, columns), version("v1beta1", true, schema, columns)});
}

json::Value node_claim_definition() {
  const json::Array columns =
      columns_json({{"Type", "string", ".metadata.labels.node\\.kubernetes\\.io/instance-type"},
                    {"Node", "string", ".status.nodeName"},
                    {"Ready", "string", condition_path("Ready")},
                    {"Age", "date", ".metadata.creationTimestamp"},
                    {"ID", "string", ".status.providerID", 1}});
  return definition(NodeClaim::kType, {"nodeclaim", {}, {"karpenter"}},
                    {version("v1", true, root_schema<NodeClaim>(), columns)});
}

json::Value machine_definition() {
  const json::Array columns =
      columns_json({{"Type", "string", ".metadata.labels.node\\.kubernetes\\.io/instance-type"},
                    {"Node", "string", ".status.nodeName"},
                    {"Ready", "string", condition_path("Ready")},
                    {"Age", "date", ".metadata.creationTimestamp"}});
  return definition(Machine::kType, {"machine", {}, {"karpenter"}},
                    {version("v1alpha5", true, root_schema<Machine>(), columns)});
}

}  // namespace

std::vector<json::Value> custom_resource_definitions() {
  return {workspace_definition(), node_claim_definition(), machine_definition()};
}

std::string crd_file_name(const json::Value& crd) {
  return fmt::format("{}_{}.yaml", json::find_string(crd, "spec.group"),
                     json::find_string(crd, "spec.names.plural"));
}

}  // namespace api

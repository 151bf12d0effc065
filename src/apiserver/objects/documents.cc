#include "apiserver/objects/documents.h"

#include <fmt/format.h>

#include <algorithm>

#include "apiserver/objects/metadata.h"
#include "apiserver/patch/json_patch.h"
#include "apiserver/patch/managed_fields.h"
#include "apiserver/patch/merge_patch.h"
#include "apiserver/patch/server_side_apply.h"
#include "apiserver/patch/strategic_merge.h"
#include "apiserver/schema/schema_node.h"
#include "apiserver/schema/structural.h"

namespace apiserver {
namespace {

bool is_required(const SchemaNode& schema, std::string_view key) {
  const json::Value* required = schema.keyword("required");
  if (!required || !required->is_array()) return false;
  return std::ranges::any_of(required->get_array(), [&](const json::Value& name) {
    return name.is_string() && json::view(name.get_string()) == key;
  });
}

/// A list or a map (not a structure, whose presence may mean something) without elements.
bool is_empty_collection(const SchemaNode& schema, const json::Value& value) {
  if (const json::Array* list = value.if_array()) return list->empty() && schema.type() == "array";
  const json::Object* map = value.if_object();
  return map && map->empty() && schema.keyword("additionalProperties") && !schema.properties();
}

/// Drops optional lists and maps that hold nothing: in built-in types they mean the same as none
/// and are not kept.
void drop_empty_collections(const SchemaNode& schema, json::Value& value) {
  if (json::Array* list = value.if_array()) {
    const SchemaNode items = schema.items();
    if (!items.known()) return;
    for (json::Value& element : *list) drop_empty_collections(items, element);
    return;
  }
  json::Object* object = value.if_object();
  if (!object || !schema.known()) return;
  std::vector<std::string> empty;
  for (auto& member : *object) {
    const std::string_view key(member.key().data(), member.key().size());
    const SchemaNode declared = schema.member(key);
    drop_empty_collections(declared, member.value());
    if (schema.has_property(key) && !is_required(schema, key) &&
        is_empty_collection(declared, member.value())) {
      empty.emplace_back(key);
    }
  }
  for (const std::string& key : empty) object->erase(key);
}

}  // namespace

std::vector<std::string> unknown_fields(const ResourceDefinition& /*resource*/,
                                        const VersionDefinition& version,
                                        const json::Value& object) {
  if (version.schema.empty()) return {};
  return unknown_paths(version.schema, object);
}

void prune_and_default(const ResourceDefinition& resource, const VersionDefinition& version,
                       json::Value& object) {
  if (version.schema.empty()) return;
  if (!resource.custom) {
    drop_empty_collections(SchemaNode::resource(version.schema), object);
    return;
  }
  prune(version.schema, object);
  apply_defaults(version.schema, object);
}

void validate_schema(const ResourceDefinition& resource, const VersionDefinition& version,
                     const json::Value& object, const json::Value* old,
                     std::vector<Cause>& causes) {
  if (version.schema.empty()) return;
  const auto violations = validate(version.schema, object);
  if (violations.empty()) return;
  // What was wrong before may stay, so that a stricter schema does not lock old objects.
  const auto before = old ? validate(version.schema, *old) : std::vector<SchemaViolation>();
  for (const SchemaViolation& violation : violations) {
    // Kubernetes reads a number that is missing from a built-in status as zero.
    const bool zero = !resource.custom && violation.reason == "FieldValueRequired" &&
                      violation.field.starts_with("status.");
    if (!zero && std::find(before.begin(), before.end(), violation) == before.end())
      causes.push_back({violation.reason, violation.message, violation.field});
  }
}

ApiResult<json::Value> apply_patch(PatchType type, const ResourceDefinition& resource,
                                   const VersionDefinition& version, const json::Value& target,
                                   const json::Value& patch) {
  if (type == PatchType::Merge) return apply_merge_patch(target, patch);
  if (type == PatchType::Json) {
    auto patched = apply_json_patch(target, patch);
    if (patched) return *std::move(patched);
    return status_error(422, "Invalid",
                        "the patch cannot be applied: " + patched.error().message());
  }
  if (type == PatchType::StrategicMerge && !resource.custom) {
    auto patched = apply_strategic_merge(target, patch, version.schema);
    if (patched) return *std::move(patched);
    return bad_request(patched.error().message());
  }
  return status_error(415, "UnsupportedMediaType", "this patch type is not supported here");
}

ApiResult<json::Value> apply_configuration(const ResourceDefinition& resource,
                                           const VersionDefinition& version,
                                           const json::Value* live, const json::Value& applied,
                                           const FieldWriter& writer) {
  json::Value wanted = applied;
  json::Object& object = wanted.get_object();
  // The object itself and its status are written by separate requests.
  if (writer.subresource == "status") {
    json::Object kept;
    for (const char* key : {"apiVersion", "kind", "metadata", "status"})
      if (json::Value* value = object.if_contains(key)) kept.emplace(key, std::move(*value));
    object = std::move(kept);
  }
  ApplyOptions options{.manager = {.manager = writer.manager,
                                   .api_version = writer.api_version,
                                   .subresource = writer.subresource,
                                   .time = writer.time},
                       .force = writer.force,
                       .closed_schema = resource.custom};
  if (version.status_subresource && writer.subresource.empty())
    options.manager.reset_fields = {"status"};
  std::optional<json::Value> current;
  if (live) current = *live;
  auto outcome = server_side_apply(current, wanted, version.schema, options);
  const std::string name(json::find_string(applied, "metadata.name"));
  if (!outcome) return bad_request(outcome.error().message());
  if (outcome->conflicts.empty()) return std::move(outcome->object);
  ApiError error;
  error.code = 409;
  error.reason = "Conflict";
  error.message = conflict_message(outcome->conflicts);
  error.group = resource.group;
  error.kind = resource.plural;
  error.name = name;
  for (const ApplyConflict& conflict : outcome->conflicts)
    error.causes.push_back({"FieldManagerConflict", conflict.message(), conflict.field});
  return std::unexpected(std::move(error));
}

void track_fields(const ResourceDefinition& /*resource*/, const VersionDefinition& version,
                  const json::Value* old, json::Value& object, const FieldWriter& writer) {
  std::optional<json::Value> before;
  if (old) before = *old;
  FieldManager manager{.manager = writer.manager,
                       .api_version = writer.api_version,
                       .subresource = writer.subresource,
                       .time = writer.time};
  if (version.status_subresource && writer.subresource.empty()) manager.reset_fields = {"status"};
  object = update_managed_fields(before, std::move(object), manager, version.schema);
}

bool same_document(const json::Value& a, const json::Value& b) { return equal_but_times(a, b); }

}  // namespace apiserver

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/resources/definition.h"
#include "json/value.h"

/// What the rules of a type say about one document: schema and patches. Pure.
namespace apiserver {

enum class PatchType { Json, Merge, StrategicMerge, Apply };

/// Paths of fields that the schema does not know, as `spec.foo`; empty for types without a schema.
/// Custom resources lose them, built-in types keep them.
std::vector<std::string> unknown_fields(const ResourceDefinition& resource,
                                        const VersionDefinition& version,
                                        const json::Value& object);
/// Custom resources lose unknown fields and get their schema's defaults; built-in types lose
/// optional lists and maps without elements, as in Kubernetes.
void prune_and_default(const ResourceDefinition& resource, const VersionDefinition& version,
                       json::Value& object);
/// Appends the violations of the schema that `old` (null for a new object) did not have already.
void validate_schema(const ResourceDefinition& resource, const VersionDefinition& version,
                     const json::Value& object, const json::Value* old, std::vector<Cause>& causes);

/// Any patch but Apply. Errors: 400, 415, 422.
ApiResult<json::Value> apply_patch(PatchType type, const ResourceDefinition& resource,
                                   const VersionDefinition& version, const json::Value& target,
                                   const json::Value& patch);

/// Who writes, for managedFields.
struct FieldWriter {
  std::string manager{};
  std::string subresource{};
  std::string api_version{};
  std::string time{};
  bool force = false;
};

/// Server-side apply of `applied` onto `live` (null when there is none); managedFields are up to
/// date in the result. Errors: 409 with one cause for each field that another manager owns.
ApiResult<json::Value> apply_configuration(const ResourceDefinition& resource,
                                           const VersionDefinition& version,
                                           const json::Value* live, const json::Value& applied,
                                           const FieldWriter& writer);
/// Brings managedFields of `object` up to date after an update of `old` (null when created).
void track_fields(const ResourceDefinition& resource, const VersionDefinition& version,
                  const json::Value* old, json::Value& object, const FieldWriter& writer);
/// Equality that ignores the times in managedFields.
bool same_document(const json::Value& a, const json::Value& b);

}  // namespace apiserver

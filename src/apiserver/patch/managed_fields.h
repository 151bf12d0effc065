#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/patch/field_set.h"
#include "base/result.h"
#include "json/value.h"

namespace apiserver {

/// Update entries kept in one object; older ones are joined as `ancient-changes`.
inline constexpr std::size_t kMaxUpdateManagers = 10;

/// Who writes, and when.
struct FieldManager {
  std::string manager;      ///< "" becomes `unknown`.
  std::string api_version;  ///< Of the request.
  std::string subresource;  ///< "" for the object itself.
  std::string time;         ///< RFC 3339 with seconds.
  /// Members of the object that this (sub)resource may not write, such as `status`: never owned.
  std::vector<std::string> reset_fields{};
};

enum class ManagedOperation { Apply, Update };

/// One entry of `metadata.managedFields`.
struct ManagedEntry {
  std::string manager;
  ManagedOperation operation = ManagedOperation::Update;
  std::string api_version;
  std::string subresource;
  std::string time;
  FieldSet fields;
  /// Apply entries are one for each manager and subresource; Update entries also for each version.
  bool same_owner(const ManagedEntry& other) const;
};

/// The entries of an object. Broken entries are left out: ownership is a convenience, and a write
/// must not fail for it.
std::vector<ManagedEntry> read_managed_fields(const json::Value& object);
/// Sets `metadata.managedFields` (removes it when there are none): sorted as Kubernetes does.
void write_managed_fields(json::Value& object, std::vector<ManagedEntry> entries);

/// `after` with `metadata.managedFields` brought up to date for a plain write (create, update or
/// patch): fields that changed belong to the manager, removed ones to nobody; entries that do not
/// change keep their time. `before` is nothing when the object is new. The entries of `after` count
/// when it has any, else those of `before`; `[{}]` ends the tracking until the next apply, as in
/// Kubernetes. Bookkeeping in `metadata` is never owned. Both documents are in the request's
/// version.
json::Value update_managed_fields(const std::optional<json::Value>& before, json::Value after,
                                  const FieldManager& writer, const json::Object& schema);

/// Drops from `fields` what nobody owns: apiVersion, kind, name, uid, resourceVersion, ...
void strip_unowned(FieldSet& fields);

/// `object` without `metadata.managedFields`.
json::Value without_managed_fields(json::Value object);
/// Equality that ignores the times in managedFields.
bool equal_but_times(const json::Value& a, const json::Value& b);

}  // namespace apiserver

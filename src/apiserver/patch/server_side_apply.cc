#include "apiserver/patch/server_side_apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "apiserver/patch/structured_merge.h"
#include "apiserver/schema/structural.h"

namespace apiserver {
namespace {

constexpr std::string_view kBeforeFirstApply = "before-first-apply";

/// What an applied object may carry from an earlier read, but does not mean to set.
constexpr std::string_view kServerFields[] = {
    "managedFields", "resourceVersion",   "uid",      "creationTimestamp",
    "generation",    "deletionTimestamp", "selfLink", "deletionGracePeriodSeconds"};

json::Value writable_part(json::Value applied, const ApplyOptions& options) {
  if (json::Object* object = applied.if_object()) {
    for (const std::string& key : options.manager.reset_fields) object->stable_erase(key);
  }
  json::Value* metadata = json::find(applied, "metadata");
  if (metadata && metadata->is_object()) {
    for (const auto key : kServerFields) metadata->get_object().stable_erase(key);
  }
  return applied;
}

base::Status check_declared(const json::Value& wanted, const json::Object& schema) {
  const auto unknown = unknown_paths(schema, wanted);
  if (unknown.empty()) return {};
  std::string message;
  for (const std::string& path : unknown) {
    message.append(
        fmt::format("{}.{}: field not declared in schema", message.empty() ? "" : "; ", path));
  }
  return base::Error(base::ErrorCode::Invalid, std::move(message));
}

/// What pruning must never take, owned or not.
FieldSet protected_fields(const json::Value& merged) {
  FieldSet result;
  result.child("f:apiVersion").add_self();
  result.child("f:kind").add_self();
  FieldSet& metadata = result.child("f:metadata");
  metadata.add_self();
  metadata.child("f:name").add_self();
  metadata.child("f:namespace").add_self();
  if (json::find_object(merged, "metadata")) {
    for (const auto key : kServerFields) metadata.child(field_element(key)).add_self();
  }
  return result;
}

std::string shown_manager(const ManagedEntry& entry) {
  std::string shown = fmt::format("\"{}\"", entry.manager);
  if (!entry.subresource.empty()) {
    shown.append(fmt::format(" with subresource \"{}\"", entry.subresource));
  }
  if (entry.operation == ManagedOperation::Update) shown.append(" using " + entry.api_version);
  return shown;
}

/// The entries of the live object; all of it belongs to `before-first-apply` when nobody tracked
/// it.
std::vector<ManagedEntry> live_entries(const json::Value& live, SchemaNode schema,
                                       const ApplyOptions& options) {
  std::vector<ManagedEntry> entries = read_managed_fields(live);
  if (!entries.empty()) return entries;
  const json::Value document = writable_part(live, options);
  ManagedEntry all{.manager = std::string(kBeforeFirstApply),
                   .api_version = options.manager.api_version,
                   .time = options.manager.time,
                   .fields = compare_fields(nullptr, &document, schema).added};
  strip_unowned(all.fields);
  if (!all.fields.empty()) entries.push_back(std::move(all));
  return entries;
}

/// Takes what changed from the other managers. Returns the conflicts, in which case nothing counts.
std::vector<ApplyConflict> dispossess(std::vector<ManagedEntry>& others,
                                      const FieldChanges& changes, bool force) {
  const FieldSet written = changes.added.union_with(changes.modified);
  std::vector<ApplyConflict> conflicts;
  for (ManagedEntry& entry : others) {
    const FieldSet contested = entry.fields.intersection(written);
    if (!force) {
      for (std::string& path : contested.paths()) {
        conflicts.push_back({shown_manager(entry), std::move(path)});
      }
    }
    entry.fields = entry.fields.difference(contested).difference(changes.removed);
  }
  std::sort(conflicts.begin(), conflicts.end(), [](const auto& a, const auto& b) {
    return std::tie(a.manager, a.field) < std::tie(b.manager, b.field);
  });
  return conflicts;
}

}  // namespace

std::string conflict_message(const std::vector<ApplyConflict>& conflicts) {
  if (conflicts.size() == 1) {
    return fmt::format("Apply failed with 1 conflict: {}: {}", conflicts[0].message(),
                       conflicts[0].field);
  }
  std::string lines;
  std::string_view manager;
  for (const ApplyConflict& conflict : conflicts) {
    if (conflict.manager != manager) {
      lines.append(
          fmt::format("{}conflicts with {}:", lines.empty() ? "" : "\n", conflict.manager));
      manager = conflict.manager;
    }
    lines.append(fmt::format("\n- {}", conflict.field));
  }
  return fmt::format("Apply failed with {} conflicts: {}", conflicts.size(), lines);
}

base::Result<ApplyOutcome> server_side_apply(const std::optional<json::Value>& live,
                                             const json::Value& applied, const json::Object& schema,
                                             const ApplyOptions& options) {
  const SchemaNode root = SchemaNode::resource(schema);
  const json::Value wanted = writable_part(applied, options);
  if (options.closed_schema) TRY(check_declared(wanted, schema));
  const json::Value old = live ? without_managed_fields(*live) : json::Value();
  const json::Value* old_document = live ? &old : nullptr;
  ManagedEntry mine{
      .manager = options.manager.manager.empty() ? "unknown" : options.manager.manager,
      .operation = ManagedOperation::Apply,
      .api_version = options.manager.api_version,
      .subresource = options.manager.subresource,
      .time = options.manager.time,
      .fields = FieldSet::from_value(wanted, root)};
  std::vector<ManagedEntry> others;
  std::optional<ManagedEntry> last;
  if (live) others = live_entries(*live, root, options);
  const auto previous = std::find_if(others.begin(), others.end(),
                                     [&](const auto& entry) { return entry.same_owner(mine); });
  if (previous != others.end()) {
    last = std::move(*previous);
    others.erase(previous);
  }

  json::Value merged = TRY(merge_applied(old_document, wanted, root));
  if (last) {
    FieldSet owned = protected_fields(merged).union_with(mine.fields);
    for (const ManagedEntry& entry : others) owned = owned.union_with(entry.fields);
    remove_unowned(merged, last->fields, owned, root);
  }
  const FieldChanges changes = compare_fields(old_document, &merged, root);
  ApplyOutcome outcome;
  outcome.conflicts = dispossess(others, changes, options.force);
  if (!outcome.conflicts.empty()) return outcome;

  strip_unowned(mine.fields);
  const bool unchanged = last && changes.none() && last->fields == mine.fields &&
                         last->api_version == mine.api_version;
  if (unchanged) {
    outcome.object = *live;
    return outcome;
  }
  others.push_back(std::move(mine));
  write_managed_fields(merged, std::move(others));
  outcome.object = std::move(merged);
  return outcome;
}

}  // namespace apiserver

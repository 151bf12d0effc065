#include "apiserver/patch/managed_fields.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace apiserver {
namespace {

constexpr std::string_view kAncientChanges = "ancient-changes";

/// Members of `metadata` that nobody owns: identity and what the server keeps.
constexpr std::string_view kBookkeeping[] = {"name",
                                             "namespace",
                                             "creationTimestamp",
                                             "selfLink",
                                             "uid",
                                             "clusterName",
                                             "generation",
                                             "managedFields",
                                             "deletionTimestamp",
                                             "resourceVersion",
                                             "deletionGracePeriodSeconds"};

const json::Array* entries_of(const json::Value& object) {
  return json::find_array(object, "metadata.managedFields");
}

/// The list that ends the tracking: `[{}]`.
bool is_reset(const json::Array& list) {
  const json::Object* only = list.size() == 1 ? list.front().if_object() : nullptr;
  return only && only->empty();
}

json::Value to_json(const ManagedEntry& entry) {
  json::Object object{
      {"manager", json::String(entry.manager)},
      {"operation", entry.operation == ManagedOperation::Apply ? "Apply" : "Update"},
      {"apiVersion", json::String(entry.api_version)}};
  if (!entry.time.empty()) object["time"] = json::String(entry.time);
  object["fieldsType"] = "FieldsV1";
  object["fieldsV1"] = entry.fields.to_json();
  if (!entry.subresource.empty()) object["subresource"] = json::String(entry.subresource);
  return object;
}

/// Joins the oldest Update entries until at most kMaxUpdateManagers are left.
void cap_updates(std::vector<ManagedEntry>& entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.operation, a.time) < std::tie(b.operation, b.time);
  });
  const auto is_update = [](const ManagedEntry& entry) {
    return entry.operation == ManagedOperation::Update;
  };
  auto updates = static_cast<std::size_t>(std::count_if(entries.begin(), entries.end(), is_update));
  for (auto at = entries.begin(); updates > kMaxUpdateManagers && at != entries.end();) {
    if (!is_update(*at) || at->manager == kAncientChanges) {
      ++at;
      continue;
    }
    const auto bucket = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
      return is_update(entry) && entry.manager == kAncientChanges &&
             entry.api_version == at->api_version;
    });
    if (bucket == entries.end()) {
      at->manager = kAncientChanges;
      at->subresource.clear();
      ++at;
      continue;
    }
    bucket->fields = bucket->fields.union_with(at->fields);
    bucket->time = std::max(bucket->time, at->time);
    at = entries.erase(at);
    --updates;
  }
}

void drop_empty(std::vector<ManagedEntry>& entries) {
  std::erase_if(entries, [](const ManagedEntry& entry) { return entry.fields.empty(); });
}

}  // namespace

bool ManagedEntry::same_owner(const ManagedEntry& other) const {
  return manager == other.manager && operation == other.operation &&
         subresource == other.subresource &&
         (operation == ManagedOperation::Apply || api_version == other.api_version);
}

std::vector<ManagedEntry> read_managed_fields(const json::Value& object) {
  std::vector<ManagedEntry> entries;
  const json::Array* list = entries_of(object);
  if (!list) return entries;
  for (const json::Value& item : *list) {
    const json::Value* fields = json::find(item, "fieldsV1");
    auto set = fields ? FieldSet::from_json(*fields) : base::Result<FieldSet>(FieldSet());
    if (!set || set->empty()) continue;
    ManagedEntry entry;
    entry.manager = json::find_string(item, "manager");
    entry.operation = json::find_string(item, "operation") == "Apply" ? ManagedOperation::Apply
                                                                      : ManagedOperation::Update;
    entry.api_version = json::find_string(item, "apiVersion");
    entry.subresource = json::find_string(item, "subresource");
    entry.time = json::find_string(item, "time");
    entry.fields = *std::move(set);
    entries.push_back(std::move(entry));
  }
  return entries;
}

void write_managed_fields(json::Value& object, std::vector<ManagedEntry> entries) {
  drop_empty(entries);
  json::Value* metadata = json::find(object, "metadata");
  if (!metadata || !metadata->is_object()) return;
  json::Object& fields = metadata->get_object();
  if (entries.empty()) {
    fields.stable_erase("managedFields");
    return;
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.operation, a.time, a.manager, a.api_version, a.subresource) <
           std::tie(b.operation, b.time, b.manager, b.api_version, b.subresource);
  });
  json::Array list;
  for (const ManagedEntry& entry : entries) list.push_back(to_json(entry));
  fields["managedFields"] = std::move(list);
}

void strip_unowned(FieldSet& fields) {
  FieldSet unowned;
  unowned.child("f:apiVersion").add_self();
  unowned.child("f:kind").add_self();
  FieldSet& metadata = unowned.child("f:metadata");
  metadata.add_self();
  for (const auto key : kBookkeeping) metadata.child(field_element(key)).add_self();
  fields = fields.difference(unowned);
}

json::Value without_managed_fields(json::Value object) {
  json::Value* metadata = json::find(object, "metadata");
  if (metadata && metadata->is_object()) metadata->get_object().stable_erase("managedFields");
  return object;
}

bool equal_but_times(const json::Value& a, const json::Value& b) {
  const auto timeless = [](json::Value object) {
    json::Value* list = json::find(object, "metadata.managedFields");
    if (list && list->is_array()) {
      for (json::Value& entry : list->get_array()) {
        if (json::Object* fields = entry.if_object()) fields->erase("time");
      }
    }
    return object;
  };
  return json::equal(timeless(a), timeless(b));
}

json::Value update_managed_fields(const std::optional<json::Value>& before, json::Value after,
                                  const FieldManager& writer, const json::Object& schema) {
  const json::Array* given = entries_of(after);
  if (given && is_reset(*given)) return without_managed_fields(std::move(after));
  std::vector<ManagedEntry> entries = read_managed_fields(after);
  if (entries.empty() && before) entries = read_managed_fields(*before);
  after = without_managed_fields(std::move(after));
  if (entries.empty() && before) return after;  // Not tracked until the first apply.

  const std::optional<json::Value> old =
      before ? std::optional(without_managed_fields(*before)) : std::nullopt;
  const FieldChanges changes =
      compare_fields(old ? &*old : nullptr, &after, SchemaNode::resource(schema));
  FieldSet written = changes.added.union_with(changes.modified);
  const FieldSet lost = written.union_with(changes.removed);
  for (ManagedEntry& entry : entries) entry.fields = entry.fields.difference(lost);
  strip_unowned(written);
  for (const std::string& key : writer.reset_fields) written.remove_child(field_element(key));
  if (!written.empty()) {
    ManagedEntry mine{.manager = writer.manager.empty() ? "unknown" : writer.manager,
                      .operation = ManagedOperation::Update,
                      .api_version = writer.api_version,
                      .subresource = writer.subresource,
                      .time = writer.time,
                      .fields = written};
    const auto previous = std::find_if(entries.begin(), entries.end(),
                                       [&](const auto& entry) { return entry.same_owner(mine); });
    if (previous == entries.end()) {
      entries.push_back(std::move(mine));
    } else {
      previous->fields = previous->fields.union_with(written);
      previous->time = writer.time;
    }
  }
  drop_empty(entries);
  cap_updates(entries);
  write_managed_fields(after, std::move(entries));
  return after;
}

}  // namespace apiserver

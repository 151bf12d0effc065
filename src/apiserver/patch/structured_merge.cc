#include "apiserver/patch/structured_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace apiserver {
namespace {

using base::Result;

std::string_view key_of(const json::Object::value_type& member) {
  return {member.key().data(), member.key().size()};
}

base::Error invalid(const std::string& path, std::string_view message) {
  return base::Error(base::ErrorCode::Invalid, fmt::format("{}: {}", path, message));
}

Result<json::Value> merge_maps(const json::Value* live, const json::Object& applied,
                               SchemaNode schema, const std::string& path) {
  json::Object result = live && live->is_object() ? live->get_object() : json::Object();
  for (const auto& member : applied) {
    const std::string_view key = key_of(member);
    const SchemaNode field = schema.member(key);
    if (member.value().is_null() && field.known() && !field.nullable()) {
      result.stable_erase(key);
      continue;
    }
    json::Value merged = TRY(merge_applied(result.if_contains(key), member.value(), field,
                                           fmt::format("{}.{}", path, key)));
    result.insert_or_assign(key, std::move(merged));
  }
  return json::Value(std::move(result));
}

/// The identities of an applied list. Errors: Invalid with what is wrong with which element.
Result<std::vector<std::string>> applied_elements(const json::Array& list, SchemaNode schema,
                                                  const std::string& path) {
  if (auto elements = list_elements(list, schema)) return *std::move(elements);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto element = list_elements(json::Array{list[i]}, schema);
    if (!element) {
      return invalid(path, fmt::format("element {}: associative list with keys has an element that "
                                       "omits all key fields [\"{}\"] (and doesn't have default "
                                       "values for any key fields)",
                                       i, fmt::join(schema.list_keys(), "\" \"")));
    }
    if (!seen.insert(element->front()).second) {
      return invalid(path,
                     fmt::format("duplicate entries for key {}", shown_element(element->front())));
    }
  }
  return invalid(path, "the elements of the list cannot be told apart");
}

using Positions = std::unordered_map<std::string_view, std::size_t>;

/// The first of `wanted` from `from` on that the live list has too; "" for none.
std::string_view first_shared(const std::vector<std::string>& wanted, std::size_t from,
                              const Positions& live) {
  for (; from < wanted.size(); ++from) {
    if (live.contains(wanted[from])) return wanted[from];
  }
  return {};
}

Result<json::Value> merge_lists(const json::Value* live, const json::Array& applied,
                                SchemaNode schema, const std::string& path) {
  const auto wanted = TRY(applied_elements(applied, schema, path));
  static const json::Array kNone;
  const json::Array& old = live && live->is_array() ? live->get_array() : kNone;
  // A live list whose elements cannot be told apart is replaced.
  const auto present = list_elements(old, schema).value_or(std::vector<std::string>());
  Positions old_at;
  for (std::size_t i = 0; i < present.size(); ++i) old_at.emplace(present[i], i);
  const std::set<std::string_view> is_wanted(wanted.begin(), wanted.end());

  // Elements that only the live list has stand behind their live neighbours as far as the wanted
  // order allows; the wanted ones stand as wanted.
  json::Array result;
  std::size_t next_old = 0;
  for (std::size_t i = 0; i < applied.size(); ++i) {
    const std::string_view next_shared = first_shared(wanted, i, old_at);
    for (; next_old < present.size() && present[next_old] != next_shared; ++next_old) {
      if (!is_wanted.contains(present[next_old])) result.push_back(old[next_old]);
    }
    const auto found = old_at.find(wanted[i]);
    const json::Value* counterpart = found == old_at.end() ? nullptr : &old[found->second];
    if (schema.list_type() == ListType::Set) {
      result.push_back(applied[i]);  // Its value is its identity: nothing to merge.
    } else {
      result.push_back(TRY(
          merge_applied(counterpart, applied[i], schema.items(), path + shown_element(wanted[i]))));
    }
    if (wanted[i] == next_shared && next_old < present.size()) ++next_old;
  }
  for (; next_old < present.size(); ++next_old) {
    if (!is_wanted.contains(present[next_old])) result.push_back(old[next_old]);
  }
  return json::Value(std::move(result));
}

bool is_empty_container(const json::Value& value) {
  const json::Object* object = value.if_object();
  const json::Array* array = value.if_array();
  return (object && object->empty()) || (array && array->empty());
}

/// Whether the child at one element goes; what stays is pruned in place. A declared field is owned
/// with anything below it, a map's key or a list's element only when it is a member itself.
bool child_goes(json::Value& child, const FieldSet& last, const FieldSet* owned, SchemaNode schema,
                bool declared) {
  static const FieldSet kNobody;
  const bool kept = owned && (declared || owned->is_member());
  if (!kept && (declared || last.is_member())) return true;
  const bool was_empty = is_empty_container(child);
  remove_unowned(child, last, owned ? *owned : kNobody, schema);
  return !was_empty && is_empty_container(child) && !(owned && owned->is_member());
}

void remove_from_map(json::Object& object, const FieldSet& last, const FieldSet& owned,
                     SchemaNode schema) {
  std::vector<std::string> gone;
  for (auto& member : object) {
    const std::string_view key = key_of(member);
    const std::string element = field_element(key);
    const FieldSet* mine = last.find(element);
    if (!mine) continue;
    // A declared field that only this manager ever spoke of goes with all defaults below it.
    if (child_goes(member.value(), *mine, owned.find(element), schema.member(key),
                   schema.has_property(key))) {
      gone.emplace_back(key);
    }
  }
  for (const std::string& key : gone) object.stable_erase(key);
}

void remove_from_list(json::Array& list, const std::vector<std::string>& elements,
                      const FieldSet& last, const FieldSet& owned, SchemaNode schema) {
  const SchemaNode items = schema.items();
  const auto keys =
      schema.list_type() == ListType::Map ? schema.list_keys() : std::vector<std::string_view>();
  json::Array kept;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const FieldSet* mine = last.find(elements[i]);
    if (mine) {
      const FieldSet* others = owned.find(elements[i]);
      if (mine->is_member() && !(others && others->is_member())) continue;
      // The keys stay for as long as the element does.
      FieldSet kept_fields = others ? *others : FieldSet();
      for (const auto key : keys) kept_fields.child(field_element(key)).add_self();
      remove_unowned(list[i], *mine, kept_fields, items);
    }
    kept.push_back(std::move(list[i]));
  }
  list = std::move(kept);
}

}  // namespace

Result<json::Value> merge_applied(const json::Value* live, const json::Value& applied,
                                  SchemaNode schema, const std::string& path) {
  if (const json::Object* object = applied.if_object(); object && !schema.atomic_map()) {
    return merge_maps(live, *object, schema, path);
  }
  const json::Array* list = applied.if_array();
  if (list && schema.list_type() != ListType::Atomic) {
    return merge_lists(live, *list, schema, path);
  }
  return applied;
}

void remove_unowned(json::Value& value, const FieldSet& last, const FieldSet& owned,
                    SchemaNode schema) {
  if (json::Object* object = value.if_object()) {
    if (!schema.atomic_map()) remove_from_map(*object, last, owned, schema);
  } else if (json::Array* list = value.if_array()) {
    if (const auto elements = list_elements(*list, schema)) {
      remove_from_list(*list, *elements, last, owned, schema);
    }
  }
}

}  // namespace apiserver

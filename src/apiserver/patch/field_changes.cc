#include <algorithm>
#include <map>
#include <string>

#include "apiserver/patch/field_set.h"

/// How two documents differ, field by field.
namespace apiserver {
namespace {

std::string_view key_of(const json::Object::value_type& member) {
  return {member.key().data(), member.key().size()};
}

/// The three sets at one place of the documents.
struct Place {
  FieldSet& added;
  FieldSet& modified;
  FieldSet& removed;
  Place at(std::string_view element) const {
    return {added.child(element), modified.child(element), removed.child(element)};
  }
};

void compare(const json::Value* before, const json::Value* after, SchemaNode schema, Place place);

/// The place appeared, vanished or has another value.
void mark(const json::Value* before, const json::Value* after, Place place) {
  if (!before) {
    place.added.add_self();
  } else if (!after) {
    place.removed.add_self();
  } else {
    place.modified.add_self();
  }
}

bool is_map(const json::Value& value, SchemaNode schema) {
  return value.is_object() && !schema.atomic_map();
}

void compare_maps(const json::Value* before, const json::Value* after, SchemaNode schema,
                  Place place) {
  static const json::Object kNone;
  const json::Object& left = before ? before->get_object() : kNone;
  const json::Object& right = after ? after->get_object() : kNone;
  // A map that is there or not is itself a field: `{}` differs from nothing.
  if (!before || !after) mark(before, after, place);
  for (const auto& member : left) {
    const std::string_view key = key_of(member);
    compare(&member.value(), right.if_contains(key), schema.member(key),
            place.at(field_element(key)));
  }
  for (const auto& member : right) {
    const std::string_view key = key_of(member);
    if (left.contains(key)) continue;
    compare(nullptr, &member.value(), schema.member(key), place.at(field_element(key)));
  }
}

using Elements = std::map<std::string, const json::Value*, std::less<>>;

/// The elements of a list by identity; nothing when it must be compared as a whole.
std::optional<Elements> elements_of(const json::Value* value, SchemaNode schema) {
  Elements result;
  if (!value) return result;
  const json::Array* list = value->if_array();
  if (!list) return std::nullopt;
  auto identities = list_elements(*list, schema);
  if (!identities) return std::nullopt;
  for (std::size_t i = 0; i < list->size(); ++i) {
    result.emplace(std::move((*identities)[i]), &(*list)[i]);
  }
  return result;
}

void compare_lists(const json::Value* before, const json::Value* after, const Elements& left,
                   const Elements& right, SchemaNode schema, Place place) {
  if (!before || !after) mark(before, after, place);
  for (const auto& [element, value] : left) {
    const auto found = right.find(element);
    compare(value, found == right.end() ? nullptr : found->second, schema.items(),
            place.at(element));
  }
  for (const auto& [element, value] : right) {
    if (!left.contains(element)) compare(nullptr, value, schema.items(), place.at(element));
  }
}

void compare(const json::Value* before, const json::Value* after, SchemaNode schema, Place place) {
  if (!before && !after) return;
  if (before && after && json::equal(*before, *after)) return;
  const bool maps = (!before || is_map(*before, schema)) && (!after || is_map(*after, schema));
  if (maps) return compare_maps(before, after, schema, place);
  const bool lists = (!before || before->is_array()) && (!after || after->is_array());
  if (lists) {
    const auto left = elements_of(before, schema);
    const auto right = elements_of(after, schema);
    if (left && right) return compare_lists(before, after, *left, *right, schema, place);
  }
  mark(before, after, place);
  if (!before || !after) return;
  // One kind became another: what was below is gone, what is below is new.
  place.removed = place.removed.union_with(FieldSet::from_value(*before, schema));
  place.added = place.added.union_with(FieldSet::from_value(*after, schema));
}

}  // namespace

FieldChanges compare_fields(const json::Value* before, const json::Value* after,
                            SchemaNode schema) {
  FieldChanges changes;
  compare(before, after, schema, {changes.added, changes.modified, changes.removed});
  for (FieldSet* set : {&changes.added, &changes.modified, &changes.removed}) {
    FieldSet fields;
    for (const auto& [element, child] : set->children()) fields.child(element) = child;
    fields.drop_empty_children();
    *set = std::move(fields);  // The document itself is not a field.
  }
  return changes;
}

}  // namespace apiserver

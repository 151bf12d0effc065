#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/schema/schema_node.h"
#include "base/result.h"
#include "json/value.h"

namespace apiserver {

/// A set of fields of one document, as `fieldsV1` of managedFields writes it. A tree: each step is
/// a path element in its wire form: `f:spec`, `k:{"name":"a"}`, `v:"x"`, `i:0`.
class FieldSet {
 public:
  /// The leaves of `value` and the elements of its lists and maps.
  static FieldSet from_value(const json::Value& value, SchemaNode schema);
  /// Reads `fieldsV1`. Errors: Invalid for a malformed element.
  static base::Result<FieldSet> from_json(const json::Value& fields);
  json::Value to_json() const;

  bool empty() const { return !member_ && children_.empty(); }
  /// True when the node itself belongs to the set, not only fields below it.
  bool is_member() const { return member_; }
  const std::map<std::string, FieldSet, std::less<>>& children() const { return children_; }
  /// The fields below one path element, or null.
  const FieldSet* find(std::string_view element) const;

  void add_self() { member_ = true; }
  /// The node of one path element, made when absent.
  FieldSet& child(std::string_view element);
  void remove_child(std::string_view element);
  /// Drops nodes that hold no member.
  void drop_empty_children();

  FieldSet union_with(const FieldSet& other) const;
  FieldSet intersection(const FieldSet& other) const;
  /// The fields of this set that are not members of `other`.
  FieldSet difference(const FieldSet& other) const;

  /// Every member as people read it: `.spec.containers[name="a"].image`.
  std::vector<std::string> paths() const;

  friend bool operator==(const FieldSet&, const FieldSet&) = default;

 private:
  void collect_paths(const std::string& prefix, std::vector<std::string>& out) const;

  bool member_ = false;
  std::map<std::string, FieldSet, std::less<>> children_;
};

/// How two documents differ, by field.
struct FieldChanges {
  FieldSet added;
  FieldSet modified;
  FieldSet removed;
  bool none() const { return added.empty() && modified.empty() && removed.empty(); }
};
/// Either value may be null for "absent".
FieldChanges compare_fields(const json::Value* before, const json::Value* after, SchemaNode schema);

/// The path elements of a list's items in order. Nothing when the list must be treated as atomic:
/// its schema says so, or elements miss their keys or repeat one another.
std::optional<std::vector<std::string>> list_elements(const json::Array& list, SchemaNode schema);

/// `f:KEY`.
std::string field_element(std::string_view key);
/// A path element as people read it: `.spec`, `[name="a"]`, `[="x"]`.
std::string shown_element(std::string_view element);

}  // namespace apiserver

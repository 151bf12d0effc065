#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "json/value.h"

namespace apiserver {

/// How the elements of a list belong together.
enum class ListType { Atomic, Set, Map };

/// A look at one OpenAPI v3 schema as structural schemas and `json::schema_of` write it. A view:
/// the schema must outlive it. A node without a schema knows nothing: its objects have free keys
/// and its lists are atomic.
class SchemaNode {
 public:
  SchemaNode() = default;
  explicit SchemaNode(const json::Object& schema) : schema_(&schema) {}
  /// The schema of a whole object: apiVersion, kind and metadata are declared even when the schema
  /// does not say so, as in custom resources.
  static SchemaNode resource(const json::Object& schema);

  bool known() const { return schema_ != nullptr && !schema_->empty(); }
  /// True when `key` is a declared field, not a free key of a map.
  bool has_property(std::string_view key) const;
  /// The schema of a member: declared, or of `additionalProperties`, or nothing.
  SchemaNode member(std::string_view key) const;
  SchemaNode items() const;

  ListType list_type() const;
  /// The keys of a list of type Map, sorted.
  std::vector<std::string_view> list_keys() const;
  /// Whole objects are never atomic: their parts belong to different writers.
  bool atomic_map() const { return !resource_ && text("x-kubernetes-map-type") == "atomic"; }

  /// True when strategic merge joins the elements of this list.
  bool merges_list() const;
  /// True when strategic merge replaces this object as a whole (atomic maps still merge).
  bool replaces_map() const;
  /// The key strategic merge finds elements by; "" for lists of scalars.
  std::string_view merge_key() const;

  bool preserves_unknown() const { return flag("x-kubernetes-preserve-unknown-fields"); }
  bool embedded_resource() const { return flag("x-kubernetes-embedded-resource"); }
  bool int_or_string() const { return flag("x-kubernetes-int-or-string"); }
  bool nullable() const { return flag("nullable"); }

  std::string_view type() const { return text("type"); }
  std::string_view text(std::string_view keyword) const;
  bool flag(std::string_view keyword) const;
  const json::Value* keyword(std::string_view name) const {
    return schema_ ? schema_->if_contains(name) : nullptr;
  }
  const json::Object* properties() const;

 private:
  bool is_resource() const { return resource_ || embedded_resource(); }

  const json::Object* schema_ = nullptr;
  bool resource_ = false;
};

}  // namespace apiserver

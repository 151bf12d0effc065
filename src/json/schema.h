#pragma once

#include "json/codec.h"

namespace json {

inline Object scalar_schema(std::string_view type, const char* format = nullptr) {
  Object schema{{"type", String(type)}};
  if (format) schema["format"] = String(format);
  return schema;
}

template <class T>
struct SchemaOf;

template <>
struct SchemaOf<bool> {
  static Object make() { return scalar_schema("boolean"); }
};
template <>
struct SchemaOf<std::string> {
  static Object make() { return scalar_schema("string"); }
};
template <>
struct SchemaOf<std::int32_t> {
  static Object make() { return scalar_schema("integer", "int32"); }
};
template <>
struct SchemaOf<std::int64_t> {
  static Object make() { return scalar_schema("integer", "int64"); }
};
template <>
struct SchemaOf<double> {
  static Object make() { return scalar_schema("number", "double"); }
};
/// Anything at all.
template <>
struct SchemaOf<Value> {
  static Object make() { return Object{{"x-kubernetes-preserve-unknown-fields", true}}; }
};
template <>
struct SchemaOf<Object> {
  static Object make() {
    return Object{{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}};
  }
};
template <class T>
struct SchemaOf<std::optional<T>> {
  static Object make() { return SchemaOf<T>::make(); }
};
template <class T>
struct SchemaOf<std::vector<T>> {
  static Object make() { return Object{{"type", "array"}, {"items", SchemaOf<T>::make()}}; }
};
template <class T>
struct SchemaOf<std::map<std::string, T>> {
  static Object make() {
    return Object{{"type", "object"}, {"additionalProperties", SchemaOf<T>::make()}};
  }
};
template <CustomCoded T>
struct SchemaOf<T> {
  static Object make() { return T::json_schema(); }
};

/// Adds what FieldRules say to the schema of a field.
void apply_rules(Object& schema, std::string_view doc, const FieldRules& rules);

/// Collects the properties of a described type.
class SchemaVisitor {
 public:
  void type(std::string_view doc) { doc_ = doc; }

  template <class T>
  void field(std::string_view key, T&, Presence presence, std::string_view doc,
             const FieldRules& rules = {}) {
    Object schema = SchemaOf<T>::make();
    apply_rules(schema, doc, rules);
    properties_.emplace(key, std::move(schema));
    if (presence == Presence::Required) required_.emplace_back(String(key));
  }
  Object finish();

 private:
  std::string doc_;
  Object properties_;
  Array required_;
};

template <class T>
  requires(Described<T> && !CustomCoded<T>)
struct SchemaOf<T> {
  static Object make() {
    SchemaVisitor visitor;
    T sample{};
    describe(visitor, sample);
    return visitor.finish();
  }
};

/// The OpenAPI v3 structural schema of a described type, in the dialect of
/// CustomResourceDefinitions (`x-kubernetes-list-type`, `-list-map-keys`, `-map-type`, ...; for
/// lists with a merge key also `x-kubernetes-patch-merge-key` and `-patch-strategy`).
template <class T>
Object schema_of() {
  return SchemaOf<T>::make();
}

}  // namespace json

#include "apiserver/schema/crd.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "apiserver/schema/pattern.h"
#include "apiserver/schema/schema_node.h"

namespace apiserver {
namespace {

constexpr std::array<std::string_view, 6> kTypes = {"object",  "array",  "string",
                                                    "integer", "number", "boolean"};
constexpr std::array<std::string_view, 7> kForbidden = {
    "$ref", "$schema", "id", "definitions", "dependencies", "patternProperties", "additionalItems"};
constexpr std::array<std::string_view, 8> kNumbers = {"minimum",   "maximum",      "multipleOf",
                                                      "minLength", "maxLength",    "minItems",
                                                      "maxItems",  "minProperties"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Where a schema stands in the tree.
enum class Place { Root, Field, Items, MapValue };

class Checker {
 public:
  std::vector<SchemaViolation> take() { return std::move(violations_); }

  void check(const json::Value& value, const std::string& path, Place place) {
    const json::Object* object = value.if_object();
    if (!object) return add("FieldValueTypeInvalid", path, "Invalid value: must be an object");
    const SchemaNode schema(*object);
    check_type(schema, path, place);
    check_keywords(schema, path);
    check_members(schema, path, place);
    check_list(schema, path);
    check_logic(schema, path);
    check_default(*object, path);
  }

 private:
  void add(std::string reason, std::string field, std::string message) {
    violations_.push_back({std::move(reason), std::move(field), std::move(message)});
  }
  void required(std::string field, std::string_view why) {
    add("FieldValueRequired", std::move(field), fmt::format("Required value: {}", why));
  }
  void forbidden(std::string field, std::string_view why) {
    add("FieldValueForbidden", std::move(field), fmt::format("Forbidden: {}", why));
  }
  void invalid(std::string field, std::string_view shown, std::string_view why) {
    add("FieldValueInvalid", std::move(field), fmt::format("Invalid value: {}: {}", shown, why));
  }

  void check_type(SchemaNode schema, const std::string& path, Place place) {
    const std::string_view type = schema.type();
    if (place == Place::Root && type != "object") {
      if (type.empty()) return required(path + ".type", "must not be empty at the root");
      return invalid(path + ".type", fmt::format("\"{}\"", type), "must be object at the root");
    }
    if (schema.int_or_string()) {
      if (!type.empty()) {
        forbidden(path + ".type", "must be empty when x-kubernetes-int-or-string is true");
      }
      return;
    }
    if (!type.empty() && !contains(kTypes, type)) {
      return add("FieldValueNotSupported", path + ".type",
                 fmt::format("Unsupported value: \"{}\": supported values: \"array\", \"boolean\", "
                             "\"integer\", \"number\", \"object\", \"string\"",
                             type));
    }
    if (!type.empty() || schema.preserves_unknown()) return;
    required(path + ".type", place == Place::Items ? "must not be empty for specified array items"
                             : place == Place::MapValue
                                 ? "must not be empty for specified map values"
                                 : "must not be empty for specified object fields");
  }

  void check_keywords(SchemaNode schema, const std::string& path) {
    for (const auto name : kForbidden) {
      if (schema.keyword(name)) forbidden(fmt::format("{}.{}", path, name), "must not be set");
    }
    for (const auto name : kNumbers) {
      const json::Value* value = schema.keyword(name);
      if (value && !value->is_number()) {
        invalid(fmt::format("{}.{}", path, name), json::dump(*value), "must be a number");
      }
    }
    if (schema.flag("uniqueItems")) {
      forbidden(path + ".uniqueItems",
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    }
    if (schema.embedded_resource() && schema.type() != "object") {
      invalid(path + ".type", fmt::format("\"{}\"", schema.type()),
              "must be object if x-kubernetes-embedded-resource is true");
    }
    if (const auto pattern = schema.text("pattern"); !pattern.empty()) {
      if (const auto status = check_pattern(pattern); !status) {
        invalid(path + ".pattern", json::dump(json::String(pattern)), status.error().message());
      }
    }
    check_string_array(schema, path, "required");
  }

  void check_string_array(SchemaNode schema, const std::string& path, std::string_view name) {
    const json::Value* value = schema.keyword(name);
    if (!value) return;
    const json::Array* array = value->if_array();
    if (array && std::all_of(array->begin(), array->end(),
                             [](const json::Value& v) { return v.is_string(); })) {
      return;
    }
    invalid(fmt::format("{}.{}", path, name), json::dump(*value), "must be a list of strings");
  }

  void check_members(SchemaNode schema, const std::string& path, Place place) {
    const json::Value* rest = schema.keyword("additionalProperties");
    const json::Value* properties = schema.keyword("properties");
    if (properties && !properties->is_object()) {
      return add("FieldValueTypeInvalid", path + ".properties", "Invalid value: must be an object");
    }
    if (rest && properties && !properties->get_object().empty()) {
      forbidden(path + ".additionalProperties",
                "additionalProperties and properties are mutual exclusive");
    } else if (rest && rest->is_bool() && !rest->get_bool()) {
      forbidden(path + ".additionalProperties", "additionalProperties cannot be set to false");
    } else if (rest && rest->is_object()) {
      check(*rest, path + ".additionalProperties", Place::MapValue);
    }
    if (properties) {
      for (const auto& member : properties->get_object()) {
        const std::string_view key(member.key().data(), member.key().size());
        const std::string at = fmt::format("{}.properties[{}]", path, key);
        check(member.value(), at, Place::Field);
        if (place == Place::Root && key == "metadata") check_metadata(member.value(), at);
      }
    }
    const json::Value* items = schema.keyword("items");
    if (items) {
      check(*items, path + ".items", Place::Items);
    } else if (schema.type() == "array") {
      required(path + ".items", "must be specified");
    }
  }

  void check_metadata(const json::Value& value, const std::string& path) {
    const json::Object* schema = value.if_object();
    const json::Object* properties = schema ? SchemaNode(*schema).properties() : nullptr;
    if (!properties) return;
    for (const auto& member : *properties) {
      const std::string_view key(member.key().data(), member.key().size());
      if (key == "name" || key == "generateName") continue;
      forbidden(path,
                "must not specify anything other than name and generateName, but metadata is "
                "implicitly specified");
      return;
    }
  }

  void check_list(SchemaNode schema, const std::string& path) {
    const std::string_view map_type = schema.text("x-kubernetes-map-type");
    if (!map_type.empty() && map_type != "granular" && map_type != "atomic") {
      add("FieldValueNotSupported", path + ".x-kubernetes-map-type",
          fmt::format("Unsupported value: \"{}\": supported values: \"atomic\", \"granular\"",
                      map_type));
    }
    const std::string_view type = schema.text("x-kubernetes-list-type");
    const json::Value* keys = schema.keyword("x-kubernetes-list-map-keys");
    if (type.empty() && !keys) return;
    if (schema.type() != "array") {
      invalid(path + ".type", fmt::format("\"{}\"", schema.type()),
              "must be array if x-kubernetes-list-type is specified");
    }
    if (type != "atomic" && type != "set" && type != "map") {
      add("FieldValueNotSupported", path + ".x-kubernetes-list-type",
          fmt::format("Unsupported value: \"{}\": supported values: \"atomic\", \"map\", \"set\"",
                      type));
    }
    if (type == "map") check_list_keys(schema, path);
  }

  void check_list_keys(SchemaNode schema, const std::string& path) {
    const auto keys = schema.list_keys();
    if (keys.empty()) {
      return required(path + ".x-kubernetes-list-map-keys",
                      "must not be empty if x-kubernetes-list-type is map");
    }
    const SchemaNode items = schema.items();
    if (items.type() != "object") {
      return invalid(path + ".items.type", fmt::format("\"{}\"", items.type()),
                     "must be object if parent array's x-kubernetes-list-type is map");
    }
    for (const auto key : keys) {
      if (items.has_property(key)) continue;
      invalid(path + ".x-kubernetes-list-map-keys", fmt::format("\"{}\"", key),
              "entries must all be names of item properties");
    }
  }

  /// Inside allOf, anyOf, oneOf and not only values may be restricted, never the structure.
  void check_logic(SchemaNode schema, const std::string& path) {
    for (const std::string_view name : {"allOf", "anyOf", "oneOf"}) {
      const json::Value* value = schema.keyword(name);
      const json::Array* parts = value ? value->if_array() : nullptr;
      if (!parts) continue;
      for (std::size_t i = 0; i < parts->size(); ++i) {
        check_restriction((*parts)[i], fmt::format("{}.{}[{}]", path, name, i),
                          schema.int_or_string());
      }
    }
    if (const json::Value* part = schema.keyword("not")) {
      check_restriction(*part, path + ".not", false);
    }
  }

  void check_restriction(const json::Value& value, const std::string& path, bool may_have_type) {
    const json::Object* object = value.if_object();
    if (!object) return add("FieldValueTypeInvalid", path, "Invalid value: must be an object");
    const SchemaNode schema(*object);
    for (const std::string_view name : {"type", "default", "nullable", "additionalProperties"}) {
      if (!schema.keyword(name) || (name == "type" && may_have_type)) continue;
      forbidden(fmt::format("{}.{}", path, name), "must be undefined to be structural");
    }
    check_keywords(schema, path);
    if (const json::Object* properties = schema.properties()) {
      for (const auto& member : *properties) {
        const std::string_view key(member.key().data(), member.key().size());
        check_restriction(member.value(), fmt::format("{}.properties[{}]", path, key), false);
      }
    }
    if (const json::Value* items = schema.keyword("items")) {
      check_restriction(*items, path + ".items", false);
    }
    check_logic(schema, path);
  }

  void check_default(const json::Object& schema, const std::string& path) {
    const json::Value* value = schema.if_contains("default");
    if (!value) return;
    for (SchemaViolation& violation : validate(schema, *value)) {
      const std::string below = violation.field == "<nil>" ? "" : "." + violation.field;
      add(std::move(violation.reason), path + ".default" + below, std::move(violation.message));
    }
  }

  std::vector<SchemaViolation> violations_;
};

}  // namespace

std::vector<SchemaViolation> check_structural(const json::Value& schema, std::string_view path) {
  Checker checker;
  checker.check(schema, std::string(path), Place::Root);
  return checker.take();
}

}  // namespace apiserver

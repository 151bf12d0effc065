#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "apiserver/schema/formats.h"
#include "apiserver/schema/pattern.h"
#include "apiserver/schema/validator.h"

namespace apiserver {
namespace {

constexpr std::size_t kMaxShownBytes = 256;

/// The name of the value's type in JSON schema.
std::string_view type_name(const json::Value& value) {
  if (value.is_int64() || value.is_uint64()) return "integer";
  return json::kind_name(value);
}

bool is_integral(const json::Value& value) {
  if (value.is_int64() || value.is_uint64()) return true;
  return value.is_double() && std::trunc(value.get_double()) == value.get_double();
}

bool has_type(std::string_view type, const json::Value& value) {
  if (type == "integer") return is_integral(value);
  if (type == "number") return value.is_number();
  return type == json::kind_name(value);
}

std::string shown_number(double number) { return fmt::format("{}", number); }

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::optional<double> number_of(SchemaNode schema, std::string_view keyword) {
  const json::Value* value = schema.keyword(keyword);
  if (!value || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

std::optional<std::size_t> count_of(SchemaNode schema, std::string_view keyword) {
  const auto number = number_of(schema, keyword);
  if (!number || *number < 0 || *number > 1e15) return std::nullopt;
  return static_cast<std::size_t>(*number);
}

}  // namespace

std::string shown_value(const json::Value& value) {
  std::string text = json::dump(value);
  if (text.size() > kMaxShownBytes) {
    std::size_t end = kMaxShownBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
    text.append("...");
  }
  return text;
}

std::vector<SchemaViolation> validate(const json::Object& schema, const json::Value& value) {
  Validator validator("");
  validator.check(SchemaNode(schema), value);
  return validator.take();
}

void Validator::add(std::string reason, std::string field, std::string message) {
  if (full()) return;
  violations_.push_back({std::move(reason), std::move(field), std::move(message)});
}

void Validator::add_invalid(const json::Value& value, std::string_view text) {
  add("FieldValueInvalid", where(),
      fmt::format("Invalid value: {}: {} in body {}", shown_value(value), path_, text));
}

void Validator::check(SchemaNode schema, const json::Value& value) {
  if (!schema.known() || full()) return;
  if (value.is_null() && schema.nullable()) return;
  const bool typed = check_type(schema, value);
  check_enum(schema, value);
  if (!typed) return;
  check_value(schema, value);
  check_composition(schema, value);
}

void Validator::check_value(SchemaNode schema, const json::Value& value) {
  if (const json::String* text = value.if_string()) {
    check_string(schema, *text);
  } else if (value.is_number()) {
    check_number(schema, value);
  } else if (const json::Array* array = value.if_array()) {
    check_array(schema, *array);
  } else if (const json::Object* object = value.if_object()) {
    check_object(schema, *object);
  }
}

bool Validator::check_type(SchemaNode schema, const json::Value& value) {
  std::string_view wanted = schema.type();
  if (schema.int_or_string()) {
    if (value.is_string() || is_integral(value)) return true;
    wanted = "integer,string";
  } else if (wanted.empty() || has_type(wanted, value)) {
    return true;
  }
  add("FieldValueTypeInvalid", where(),
      fmt::format("Invalid value: \"{0}\": {1} in body must be of type {2}: \"{0}\"",
                  type_name(value), path_, wanted));
  return false;
}

void Validator::check_enum(SchemaNode schema, const json::Value& value) {
  const json::Value* keyword = schema.keyword("enum");
  const json::Array* allowed = keyword ? keyword->if_array() : nullptr;
  if (!allowed) return;
  std::string names;
  for (const json::Value& candidate : *allowed) {
    if (json::equal(candidate, value)) return;
    if (!names.empty()) names.append(", ");
    names.append(candidate.is_string() ? json::dump(candidate)
                                       : "\"" + json::dump(candidate) + "\"");
  }
  add("FieldValueNotSupported", where(),
      fmt::format("Unsupported value: {}: supported values: {}", shown_value(value), names));
}

void Validator::check_string(SchemaNode schema, const json::String& value) {
  const std::string_view text = json::view(value);
  const std::size_t length = code_points(text);
  if (const auto most = count_of(schema, "maxLength"); most && length > *most) {
    add("FieldValueTooLong", where(),
        fmt::format("Too long: may not be more than {} bytes", *most));
  }
  if (const auto least = count_of(schema, "minLength"); least && length < *least) {
    add_invalid(value, fmt::format("should be at least {} chars long", *least));
  }
  if (const std::string_view pattern = schema.text("pattern"); !pattern.empty()) {
    const auto matches = matches_pattern(pattern, text);
    if (!matches.value_or(false)) {
      add_invalid(value, fmt::format("should match '{}'", pattern));
    }
  }
  const std::string_view format = schema.text("format");
  if (!format.empty() && !schema.int_or_string() && !matches_format(format, text)) {
    add_invalid(value, fmt::format("must be of type {}: {}", format, shown_value(value)));
  }
}

void Validator::check_number(SchemaNode schema, const json::Value& value) {
  const auto number = value.to_number<double>();
  if (const auto most = number_of(schema, "maximum")) {
    const bool exclusive = schema.flag("exclusiveMaximum");
    if (number > *most || (exclusive && number == *most)) {
      add_invalid(value, fmt::format("should be less than {}{}", exclusive ? "" : "or equal to ",
                                     shown_number(*most)));
    }
  }
  if (const auto least = number_of(schema, "minimum")) {
    const bool exclusive = schema.flag("exclusiveMinimum");
    if (number < *least || (exclusive && number == *least)) {
      add_invalid(value, fmt::format("should be greater than {}{}", exclusive ? "" : "or equal to ",
                                     shown_number(*least)));
    }
  }
  if (const auto factor = number_of(schema, "multipleOf"); factor && *factor > 0) {
    const double ratio = number / *factor;
    if (std::abs(ratio - std::round(ratio)) > 1e-9 * std::max(1.0, std::abs(ratio))) {
      add_invalid(value, fmt::format("should be a multiple of {}", shown_number(*factor)));
    }
  }
  check_integer_format(schema, value);
}

void Validator::check_integer_format(SchemaNode schema, const json::Value& value) {
  if (schema.type() != "integer") return;
  const auto number = value.to_number<double>();
  const bool fits32 = number >= std::numeric_limits<std::int32_t>::min() &&
                      number <= std::numeric_limits<std::int32_t>::max();
  const bool fits64 = value.is_int64() || std::abs(number) < 0x1p63;
  const std::string_view format = schema.text("format");
  if ((format == "int32" && !fits32) || !fits64) {
    add_invalid(value, fmt::format("must be of type {}: {}", format == "int32" ? format : "int64",
                                   shown_value(value)));
  }
}

void Validator::check_array(SchemaNode schema, const json::Array& value) {
  if (const auto most = count_of(schema, "maxItems"); most && value.size() > *most) {
    add("FieldValueTooMany", where(),
        fmt::format("Too many: {}: must have at most {} items", value.size(), *most));
    return;  // Elements beyond the bound are not worth a walk.
  }
  if (const auto least = count_of(schema, "minItems"); least && value.size() < *least) {
    add_invalid(value.size(), fmt::format("should have at least {} items", *least));
  }
  check_unique(schema, value);
  const SchemaNode items = schema.items();
  if (!items.known()) return;
  for (std::size_t i = 0; i < value.size(); ++i) check_element(i, items, value[i]);
}

void Validator::check_unique(SchemaNode schema, const json::Array& value) {
  const auto keys = schema.list_keys();
  const std::string_view declared = schema.text("x-kubernetes-list-type");
  const bool by_key = declared == "map" && !keys.empty();
  if (!by_key && declared != "set" && !schema.flag("uniqueItems")) return;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < value.size(); ++i) {
    json::Value identity = value[i];
    if (by_key) {
      const json::Object* element = value[i].if_object();
      if (!element) continue;  // A type error, reported with the element.
      json::Object parts;
      for (const auto key : keys) {
        const json::Value* part = element->if_contains(key);
        const json::Value* fallback = schema.items().member(key).keyword("default");
        if (part || fallback) parts.emplace(key, part ? *part : *fallback);
      }
      identity = std::move(parts);
    }
    if (seen.insert(json::dump_canonical(identity)).second) continue;
    if (declared.empty()) {
      add_invalid(value, "shouldn't contain duplicates");
      return;
    }
    add("FieldValueDuplicate", fmt::format("{}[{}]", path_, i),
        "Duplicate value: " + shown_value(identity));
  }
}

void Validator::check_object(SchemaNode schema, const json::Object& value) {
  if (const auto most = count_of(schema, "maxProperties"); most && value.size() > *most) {
    add("FieldValueTooMany", where(),
        fmt::format("Too many: {}: must have at most {} items", value.size(), *most));
    return;
  }
  if (const auto least = count_of(schema, "minProperties"); least && value.size() < *least) {
    add_invalid(value.size(), fmt::format("should have at least {} properties", *least));
  }
  if (schema.embedded_resource()) check_embedded(value);
  if (const json::Value* keyword = schema.keyword("required"); keyword && keyword->is_array()) {
    for (const json::Value& name : keyword->get_array()) {
      const json::String* key = name.if_string();
      if (!key || value.contains(*key)) continue;
      add("FieldValueRequired",
          path_.empty() ? json::to_string(*key) : path_ + "." + json::to_string(*key),
          "Required value");
    }
  }
  const json::Value* rest = schema.keyword("additionalProperties");
  const bool closed = rest && rest->is_bool() && !rest->get_bool();
  for (const auto& member : value) {
    const std::string_view key(member.key().data(), member.key().size());
    if (closed && !schema.has_property(key) && !schema.preserves_unknown()) {
      add("FieldValueForbidden",
          path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key),
          fmt::format("Forbidden: {}.{} in body is a forbidden property", path_, key));
      continue;
    }
    check_child(key, schema.member(key), member.value());
  }
}

void Validator::check_embedded(const json::Object& value) {
  for (const std::string_view key : {"apiVersion", "kind"}) {
    const json::Value* found = value.if_contains(key);
    const json::String* text = found ? found->if_string() : nullptr;
    if (text && !text->empty()) continue;
    add("FieldValueRequired", fmt::format("{}{}{}", path_, path_.empty() ? "" : ".", key),
        "Required value: must not be empty");
  }
}

void Validator::check_child(std::string_view key, SchemaNode schema, const json::Value& value) {
  if (!schema.known()) return;
  const std::size_t length = path_.size();
  if (!path_.empty()) path_.push_back('.');
  path_.append(key);
  check(schema, value);
  path_.resize(length);
}

void Validator::check_element(std::size_t index, SchemaNode schema, const json::Value& value) {
  const std::size_t length = path_.size();
  path_.append(fmt::format("[{}]", index));
  check(schema, value);
  path_.resize(length);
}

}  // namespace apiserver

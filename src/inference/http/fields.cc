#include "inference/http/fields.h"

#include <fmt/format.h>

#include <cmath>

namespace inference {

const json::Value* FieldReader::find(std::string_view key) const {
  const json::Value* value = object_.if_contains(key);
  return value && !value->is_null() ? value : nullptr;
}

std::string FieldReader::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void FieldReader::fail(std::string_view key, std::string type, std::string message) {
  errors_.push_back({path_of(key), std::move(type), std::move(message)});
}

std::optional<bool> FieldReader::boolean(std::string_view key) {
  const json::Value* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_bool()) return value->get_bool();
  fail(key, "bool_type",
       fmt::format("Input should be a valid boolean, found {}", json::kind_name(*value)));
  return std::nullopt;
}

std::optional<std::string> FieldReader::text(std::string_view key) {
  const json::Value* value = find(key);
  if (!value) return std::nullopt;
  if (const json::String* string = value->if_string()) return json::to_string(*string);
  fail(key, "string_type",
       fmt::format("Input should be a valid string, found {}", json::kind_name(*value)));
  return std::nullopt;
}

std::optional<double> FieldReader::number(std::string_view key, Bounds bounds) {
  const json::Value* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_number()) {
    fail(key, "float_type",
         fmt::format("Input should be a valid number, found {}", json::kind_name(*value)));
    return std::nullopt;
  }
  const double number = value->to_number<double>();
  if (std::isfinite(number) && number >= bounds.min && number <= bounds.max) return number;
  fail(key, "out_of_range",
       fmt::format("Input should be between {} and {}, found {}", bounds.min, bounds.max, number));
  return std::nullopt;
}

std::optional<std::int64_t> FieldReader::integer(std::string_view key, Bounds bounds) {
  const json::Value* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_number() ||
      (value->is_double() && value->get_double() != std::floor(value->get_double()))) {
    fail(key, "int_type",
         fmt::format("Input should be a valid integer, found {}",
                     value->is_number() ? "a fraction" : std::string(json::kind_name(*value))));
    return std::nullopt;
  }
  const auto whole = number(key, bounds);
  if (!whole) return std::nullopt;
  return static_cast<std::int64_t>(*whole);
}

const json::Object* FieldReader::object(std::string_view key) {
  const json::Value* value = find(key);
  if (!value) return nullptr;
  if (const json::Object* object = value->if_object()) return object;
  fail(key, "dict_type",
       fmt::format("Input should be a valid object, found {}", json::kind_name(*value)));
  return nullptr;
}

const json::Array* FieldReader::array(std::string_view key) {
  const json::Value* value = find(key);
  if (!value) return nullptr;
  if (const json::Array* array = value->if_array()) return array;
  fail(key, "list_type",
       fmt::format("Input should be a valid list, found {}", json::kind_name(*value)));
  return nullptr;
}

}  // namespace inference

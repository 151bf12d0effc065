#include "tuning/engine/json_fields.h"

#include <fmt/format.h>

#include <cmath>

namespace tuning {
namespace {

constexpr double kLargestSize = 1e15;

base::Error wrong_kind(std::string_view name, std::string_view wanted, const json::Value& value) {
  return {base::ErrorCode::Invalid,
          fmt::format("{}: expected {}, found {}", name, wanted, json::kind_name(value))};
}

}  // namespace

const json::Value* present(const json::Object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

base::Result<std::optional<double>> number_field(const json::Object& object,
                                                 std::string_view name) {
  const auto* value = present(object, name);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) return wrong_kind(name, "a number", *value);
  return std::optional<double>(value->to_number<double>());
}

base::Result<std::optional<std::size_t>> size_field(const json::Object& object,
                                                    std::string_view name) {
  const auto number = TRY(number_field(object, name));
  if (!number) return std::optional<std::size_t>();
  if (*number < 0 || *number > kLargestSize || std::floor(*number) != *number) {
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("{}: {} is no whole number that makes sense", name, *number));
  }
  return std::optional<std::size_t>(static_cast<std::size_t>(*number));
}

base::Result<std::optional<std::string>> text_field(const json::Object& object,
                                                    std::string_view name) {
  const auto* value = present(object, name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong_kind(name, "a string", *value);
  return std::optional<std::string>(json::to_string(value->get_string()));
}

base::Result<std::optional<bool>> flag_field(const json::Object& object, std::string_view name) {
  const auto* value = present(object, name);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_bool()) return wrong_kind(name, "true or false", *value);
  return std::optional<bool>(value->get_bool());
}

}  // namespace tuning

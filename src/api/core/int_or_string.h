#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "json/codec.h"

namespace api {

/// A port by number or by name (`targetPort: 5000`, `port: http`).
struct IntOrString {
  std::variant<std::int32_t, std::string> value = std::int32_t{0};

  IntOrString() = default;
  IntOrString(std::int32_t number) : value(number) {}
  IntOrString(std::string name) : value(std::move(name)) {}
  IntOrString(const char* name) : value(std::string(name)) {}

  bool is_int() const { return std::holds_alternative<std::int32_t>(value); }
  /// The number; 0 when it holds a name.
  std::int32_t number() const { return is_int() ? std::get<std::int32_t>(value) : 0; }
  /// The name; "" when it holds a number.
  std::string name() const { return is_int() ? std::string() : std::get<std::string>(value); }
  /// The number or the name as text.
  std::string text() const { return is_int() ? std::to_string(number()) : name(); }

  static base::Result<IntOrString> from_json(const json::Value& in);
  json::Value to_json() const;
  static json::Object json_schema();
  friend bool is_empty(const IntOrString& v) {
    return v.is_int() ? v.number() == 0 : v.name().empty();
  }
  friend bool operator==(const IntOrString&, const IntOrString&) = default;
};

}  // namespace api

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/schema/schema_node.h"
#include "apiserver/schema/structural.h"
#include "json/value.h"

namespace apiserver {

/// Violations reported at most for one document.
inline constexpr std::size_t kMaxViolations = 100;

/// Walks one document along its schema and collects violations.
class Validator {
 public:
  explicit Validator(std::string path) : path_(std::move(path)) {}

  void check(SchemaNode schema, const json::Value& value);
  std::vector<SchemaViolation> take() { return std::move(violations_); }

 private:
  void check_value(SchemaNode schema, const json::Value& value);
  bool check_type(SchemaNode schema, const json::Value& value);
  void check_enum(SchemaNode schema, const json::Value& value);
  void check_string(SchemaNode schema, const json::String& value);
  void check_number(SchemaNode schema, const json::Value& value);
  void check_integer_format(SchemaNode schema, const json::Value& value);
  void check_array(SchemaNode schema, const json::Array& value);
  void check_unique(SchemaNode schema, const json::Array& value);
  void check_object(SchemaNode schema, const json::Object& value);
  void check_embedded(const json::Object& value);
  void check_composition(SchemaNode schema, const json::Value& value);
  void check_any(std::string_view keyword, const json::Array& choices, const json::Value& value);
  void check_all(const json::Array& parts, const json::Value& value);

  bool full() const { return violations_.size() >= kMaxViolations; }
  std::string where() const { return path_.empty() ? "<nil>" : path_; }
  void add(std::string reason, std::string field, std::string message);
  /// `Invalid value: VALUE: PATH in body TEXT`.
  void add_invalid(const json::Value& value, std::string_view text);
  void check_child(std::string_view key, SchemaNode schema, const json::Value& value);
  void check_element(std::size_t index, SchemaNode schema, const json::Value& value);

  std::string path_;
  std::vector<SchemaViolation> violations_;
};

/// A value as error messages show it.
std::string shown_value(const json::Value& value);

}  // namespace apiserver

#include <fmt/format.h>

#include <limits>

#include "apiserver/schema/validator.h"

/// allOf, anyOf, oneOf and not.
namespace apiserver {
namespace {

std::vector<SchemaViolation> violations_of(const json::Value& schema, const json::Value& value,
                                           const std::string& path) {
  const json::Object* rules = schema.if_object();
  if (!rules) return {};
  Validator validator(path);
  validator.check(SchemaNode(*rules), value);
  return validator.take();
}

}  // namespace

void Validator::check_composition(SchemaNode schema, const json::Value& value) {
  const auto list = [&](std::string_view keyword) -> const json::Array* {
    const json::Value* found = schema.keyword(keyword);
    return found ? found->if_array() : nullptr;
  };
  if (const json::Array* parts = list("allOf")) check_all(*parts, value);
  if (const json::Array* choices = list("anyOf")) check_any("anyOf", *choices, value);
  if (const json::Array* choices = list("oneOf")) check_any("oneOf", *choices, value);
  if (const json::Value* forbidden = schema.keyword("not"); forbidden && forbidden->is_object()) {
    if (violations_of(*forbidden, value, path_).empty()) {
      add("FieldValueInvalid", where(),
          fmt::format("Invalid value: \"\": \"{}\" must not validate the schema (not)", path_));
    }
  }
}

void Validator::check_all(const json::Array& parts, const json::Value& value) {
  bool failed = false;
  for (const json::Value& part : parts) {
    for (SchemaViolation& violation : violations_of(part, value, path_)) {
      failed = true;
      add(std::move(violation.reason), std::move(violation.field), std::move(violation.message));
    }
  }
  if (!failed) return;
  add("FieldValueInvalid", where(),
      fmt::format("Invalid value: \"\": \"{}\" must validate all the schemas (allOf)", path_));
}

void Validator::check_any(std::string_view keyword, const json::Array& choices,
                          const json::Value& value) {
  std::size_t valid = 0;
  std::vector<SchemaViolation> nearest;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  for (const json::Value& choice : choices) {
    auto violations = violations_of(choice, value, path_);
    if (violations.empty()) {
      ++valid;
    } else if (violations.size() < fewest) {
      fewest = violations.size();
      nearest = std::move(violations);
    }
  }
  if (valid == 1 || (valid > 1 && keyword == "anyOf")) return;
  const std::string what =
      keyword == "anyOf" ? "must validate at least one schema (anyOf)"
      : valid == 0       ? "must validate one and only one schema (oneOf). Found none valid"
                         : fmt::format(
                         "must validate one and only one schema (oneOf). Found {} valid "
                               "alternatives",
                         valid);
  add("FieldValueInvalid", where(), fmt::format("Invalid value: \"\": \"{}\" {}", path_, what));
  if (valid > 0) return;
  for (SchemaViolation& violation : nearest) {
    add(std::move(violation.reason), std::move(violation.field), std::move(violation.message));
  }
}

}  // namespace apiserver

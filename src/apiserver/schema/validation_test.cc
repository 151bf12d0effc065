#include <gtest/gtest.h>

#include "apiserver/schema/pattern.h"
#include "apiserver/schema/structural.h"

namespace apiserver {
namespace {

json::Value parsed(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value.value_or(json::Value());
}

/// Violations of a document `{"spec": {"x": VALUE}}` whose field x has SCHEMA.
std::vector<SchemaViolation> field_violations(std::string_view schema, std::string_view value) {
  const json::Object spec{{"type", "object"}, {"properties", json::Object{{"x", parsed(schema)}}}};
  const json::Object root{{"type", "object"}, {"properties", json::Object{{"spec", spec}}}};
  const json::Value document = json::Object{{"spec", json::Object{{"x", parsed(value)}}}};
  return validate(root, document);
}

struct Case {
  const char* schema;
  const char* value;
  const char* reason;  ///< Null when the value is valid.
  const char* message;
  const char* field = "spec.x";
};

const Case kCases[] = {
    {R"({"type":"integer"})", R"("s")", "FieldValueTypeInvalid",
     R"(Invalid value: "string": spec.x in body must be of type integer: "string")"},
    {R"({"type":"integer"})", R"(1.5)", "FieldValueTypeInvalid",
     R"(Invalid value: "number": spec.x in body must be of type integer: "number")"},
    {R"({"type":"integer"})", R"(2.0)", nullptr, nullptr},
    {R"({"type":"number"})", R"(3)", nullptr, nullptr},
    {R"({"type":"string"})", R"(null)", "FieldValueTypeInvalid",
     R"(Invalid value: "null": spec.x in body must be of type string: "null")"},
    {R"({"type":"string","nullable":true})", R"(null)", nullptr, nullptr},
    {R"({"type":"object"})", R"([])", "FieldValueTypeInvalid",
     R"(Invalid value: "array": spec.x in body must be of type object: "array")"},
    {R"({"type":"string","enum":["a","b"]})", R"("c")", "FieldValueNotSupported",
     R"(Unsupported value: "c": supported values: "a", "b")"},
    {R"({"type":"string","enum":["a","b"]})", R"("a")", nullptr, nullptr},
    {R"({"type":"integer","minimum":1})", R"(0)", "FieldValueInvalid",
     "Invalid value: 0: spec.x in body should be greater than or equal to 1"},
    {R"({"type":"integer","minimum":1,"exclusiveMinimum":true})", R"(1)", "FieldValueInvalid",
     "Invalid value: 1: spec.x in body should be greater than 1"},
    {R"({"type":"integer","maximum":9})", R"(10)", "FieldValueInvalid",
     "Invalid value: 10: spec.x in body should be less than or equal to 9"},
    {R"({"type":"integer","maximum":9,"exclusiveMaximum":true})", R"(9)", "FieldValueInvalid",
     "Invalid value: 9: spec.x in body should be less than 9"},
    {R"({"type":"integer","multipleOf":5})", R"(7)", "FieldValueInvalid",
     "Invalid value: 7: spec.x in body should be a multiple of 5"},
    {R"({"type":"number","multipleOf":0.1})", R"(0.3)", nullptr, nullptr},
    {R"({"type":"integer","format":"int32"})", R"(2147483648)", "FieldValueInvalid",
     "Invalid value: 2147483648: spec.x in body must be of type int32: 2147483648"},
    {R"({"type":"string","maxLength":3})", R"("abcd")", "FieldValueTooLong",
     "Too long: may not be more than 3 bytes"},
    {R"({"type":"string","maxLength":3})", R"("äöü")", nullptr, nullptr},
    {R"({"type":"string","minLength":1})", R"("")", "FieldValueInvalid",
     R"(Invalid value: "": spec.x in body should be at least 1 chars long)"},
    {R"({"type":"string","pattern":"^[a-z]+$"})", R"("A")", "FieldValueInvalid",
     R"(Invalid value: "A": spec.x in body should match '^[a-z]+$')"},
    {R"({"type":"string","pattern":"b"})", R"("abc")", nullptr, nullptr},
    {R"({"type":"string","format":"date-time"})", R"("2024-01-01T00:00:00Z")", nullptr, nullptr},
    {R"({"type":"string","format":"date-time"})", R"("yesterday")", "FieldValueInvalid",
     R"(Invalid value: "yesterday": spec.x in body must be of type date-time: "yesterday")"},
    {R"({"type":"string","format":"unheard-of"})", R"("x")", nullptr, nullptr},
    {R"({"type":"array","items":{"type":"string"}})", R"(["a",1])", "FieldValueTypeInvalid",
     R"(Invalid value: "integer": spec.x[1] in body must be of type string: "integer")",
     "spec.x[1]"},
    {R"({"type":"array","maxItems":1,"items":{"type":"string"}})", R"(["a","b"])",
     "FieldValueTooMany", "Too many: 2: must have at most 1 items"},
    {R"({"type":"array","minItems":2})", R"(["a"])", "FieldValueInvalid",
     "Invalid value: 1: spec.x in body should have at least 2 items"},
    {R"({"type":"array","uniqueItems":true})", R"([1,1])", "FieldValueInvalid",
     "Invalid value: [1,1]: spec.x in body shouldn't contain duplicates"},
    {R"({"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}})",
     R"(["a","b","a"])", "FieldValueDuplicate", R"(Duplicate value: "a")", "spec.x[2]"},
    {R"({"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],"items":{"type":"object"}})",
     R"([{"name":"a","v":1},{"name":"a","v":2}])", "FieldValueDuplicate",
     R"(Duplicate value: {"name":"a"})", "spec.x[1]"},
    {R"({"type":"object","required":["a"]})", R"({})", "FieldValueRequired", "Required value",
     "spec.x.a"},
    {R"({"type":"object","additionalProperties":{"type":"string"}})", R"({"k":1})",
     "FieldValueTypeInvalid",
     R"(Invalid value: "integer": spec.x.k in body must be of type string: "integer")", "spec.x.k"},
    {R"({"type":"object","additionalProperties":false})", R"({"k":1})", "FieldValueForbidden",
     "Forbidden: spec.x.k in body is a forbidden property", "spec.x.k"},
    {R"({"type":"object","maxProperties":1})", R"({"a":1,"b":2})", "FieldValueTooMany",
     "Too many: 2: must have at most 1 items"},
    {R"({"type":"object","minProperties":1})", R"({})", "FieldValueInvalid",
     "Invalid value: 0: spec.x in body should have at least 1 properties"},
    {R"({"x-kubernetes-int-or-string":true})", R"(5)", nullptr, nullptr},
    {R"({"x-kubernetes-int-or-string":true})", R"("50%")", nullptr, nullptr},
    {R"({"x-kubernetes-int-or-string":true})", R"(true)", "FieldValueTypeInvalid",
     R"(Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean")"},
    {R"({"type":"object","x-kubernetes-embedded-resource":true})", R"({"apiVersion":"v1"})",
     "FieldValueRequired", "Required value: must not be empty", "spec.x.kind"},
    {R"({"type":"object","not":{"required":["a"]}})", R"({"a":1})", "FieldValueInvalid",
     R"(Invalid value: "": "spec.x" must not validate the schema (not))"},
    {R"({"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}]})", R"({"a":1,"b":1})",
     "FieldValueInvalid",
     R"(Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid alternatives)"},
    {R"({"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}]})", R"({"a":1})", nullptr,
     nullptr},
    {R"({"anyOf":[{"type":"integer"},{"type":"string"}]})", R"("x")", nullptr, nullptr},
    {R"({"type":"string","allOf":[{"minLength":1},{"maxLength":2}]})", R"("ab")", nullptr, nullptr},
};

TEST(Validate, SaysWhatKubernetesSays) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::string(c.schema) + " " + c.value);
    const auto violations = field_violations(c.schema, c.value);
    if (!c.reason) {
      EXPECT_TRUE(violations.empty()) << violations.front().message;
      continue;
    }
    ASSERT_EQ(violations.size(), 1U);
    EXPECT_EQ(violations[0].reason, c.reason);
    EXPECT_EQ(violations[0].field, c.field);
    EXPECT_EQ(violations[0].message, c.message);
  }
}

TEST(Validate, AnyOfAddsTheNearestMistakes) {
  const auto violations = field_violations(
      R"({"type":"object","anyOf":[{"required":["a"]},{"required":["b","c"]}]})", "{}");
  ASSERT_EQ(violations.size(), 2U);
  EXPECT_EQ(violations[0].message,
            R"(Invalid value: "": "spec.x" must validate at least one schema (anyOf))");
  EXPECT_EQ(violations[1].field, "spec.x.a");
}

TEST(Validate, ReportsAllMistakesUpToALimit) {
  json::Array many;
  for (int i = 0; i < 1000; ++i) many.emplace_back(i);
  const json::Object schema{{"type", "array"}, {"items", json::Object{{"type", "string"}}}};
  EXPECT_EQ(validate(schema, many).size(), 100U);
}

TEST(Validate, NamesTheDocumentItself) {
  const auto violations = validate(json::Object{{"type", "object"}}, json::Value("text"));
  ASSERT_EQ(violations.size(), 1U);
  EXPECT_EQ(violations[0].field, "<nil>");
}

TEST(Pattern, TakesLinearTime) {
  const std::string text(100'000, 'a');
  EXPECT_FALSE(matches_pattern("^(a+)+$", text + "!").value());
  EXPECT_FALSE(matches_pattern("(", "x").has_value());
  EXPECT_FALSE(check_pattern("[").has_value());
}

}  // namespace
}  // namespace apiserver

#include "apiserver/schema/structural.h"

#include <gtest/gtest.h>

#include "apiserver/schema/crd.h"

namespace apiserver {
namespace {

json::Value parsed(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value.value_or(json::Value());
}
json::Object schema_from(std::string_view text) { return parsed(text).as_object(); }

struct DocumentCase {
  const char* name;
  const char* schema;
  const char* in;
  const char* out;
  std::vector<std::string> unknown;
};

TEST(Prune, DropsWhatTheSchemaDoesNotKnow) {
  const DocumentCase cases[] = {
      {"declared stays, unknown goes",
       R"({"type":"object","properties":{"spec":{"type":"object","properties":{"a":{"type":"string"}}}}})",
       R"({"apiVersion":"v1","kind":"K","metadata":{"name":"n"},"spec":{"a":"x","b":1},"extra":true})",
       R"({"apiVersion":"v1","kind":"K","metadata":{"name":"n"},"spec":{"a":"x"}})",
       {"spec.b", "extra"}},
      {"list elements",
       R"({"type":"object","properties":{"l":{"type":"array","items":{"type":"object","properties":{"a":{"type":"string"}}}}}})",
       R"({"l":[{"a":"1"},{"a":"2","b":{}}]})",
       R"({"l":[{"a":"1"},{"a":"2"}]})",
       {"l[1].b"}},
      {"maps keep their keys",
       R"({"type":"object","properties":{"m":{"type":"object","additionalProperties":{"type":"object","properties":{"a":{"type":"string"}}}}}})",
       R"({"m":{"x":{"a":"1","z":1},"y":{}}})",
       R"({"m":{"x":{"a":"1"},"y":{}}})",
       {"m.x.z"}},
      {"preserve keeps, and prunes below declared fields",
       R"({"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{"s":{"type":"object","properties":{}}}})",
       R"({"free":{"deep":1},"s":{"gone":1}})",
       R"({"free":{"deep":1},"s":{}})",
       {"s.gone"}},
      {"embedded resources keep their type and metadata",
       R"({"type":"object","properties":{"t":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{}}}})",
       R"({"t":{"apiVersion":"v1","kind":"P","metadata":{"labels":{"a":"b"}},"spec":{}}})",
       R"({"t":{"apiVersion":"v1","kind":"P","metadata":{"labels":{"a":"b"}}}})",
       {"t.spec"}},
      {"unknown metadata",
       R"({"type":"object","properties":{}})",
       R"({"metadata":{"name":"a","bogus":1}})",
       R"({"metadata":{"name":"a"}})",
       {"metadata.bogus"}},
      {"no schema, no opinion", R"({})", R"({"a":{"b":1}})", R"({"a":{"b":1}})", {}},
  };
  for (const DocumentCase& c : cases) {
    SCOPED_TRACE(c.name);
    json::Value value = parsed(c.in);
    const json::Object schema = schema_from(c.schema);
    EXPECT_EQ(unknown_paths(schema, value), c.unknown);
    EXPECT_EQ(prune(schema, value), c.unknown);
    EXPECT_EQ(json::dump(value), json::dump(parsed(c.out)));
  }
}

TEST(Defaults, FillWhatIsAbsent) {
  const DocumentCase cases[] = {
      {"absent",
       R"({"type":"object","properties":{"a":{"type":"integer","default":3}}})",
       R"({})",
       R"({"a":3})",
       {}},
      {"present stays",
       R"({"type":"object","properties":{"a":{"type":"integer","default":3}}})",
       R"({"a":0})",
       R"({"a":0})",
       {}},
      {"null counts as absent",
       R"({"type":"object","properties":{"a":{"type":"integer","default":3}}})",
       R"({"a":null})",
       R"({"a":3})",
       {}},
      {"null without default goes",
       R"({"type":"object","properties":{"a":{"type":"object"}}})",
       R"({"a":null,"b":null})",
       R"({"b":null})",
       {}},
      {"nullable null stays",
       R"({"type":"object","properties":{"a":{"type":"integer","nullable":true,"default":3}}})",
       R"({"a":null})",
       R"({"a":null})",
       {}},
      {"a default may have defaults below",
       R"({"type":"object","properties":{"o":{"type":"object","default":{},"properties":{"a":{"type":"string","default":"x"}}}}})",
       R"({})",
       R"({"o":{"a":"x"}})",
       {}},
      {"no parent, no default",
       R"({"type":"object","properties":{"o":{"type":"object","properties":{"a":{"type":"string","default":"x"}}}}})",
       R"({})",
       R"({})",
       {}},
      {"list and map elements",
       R"({"type":"object","properties":{"l":{"type":"array","items":{"type":"object","properties":{"p":{"type":"string","default":"TCP"}}}},"m":{"type":"object","additionalProperties":{"type":"object","properties":{"q":{"type":"boolean","default":true}}}}}})",
       R"({"l":[{},{"p":"UDP"}],"m":{"k":{}}})",
       R"({"l":[{"p":"TCP"},{"p":"UDP"}],"m":{"k":{"q":true}}})",
       {}},
  };
  for (const DocumentCase& c : cases) {
    SCOPED_TRACE(c.name);
    json::Value value = parsed(c.in);
    apply_defaults(schema_from(c.schema), value);
    EXPECT_TRUE(json::equal(value, parsed(c.out))) << json::dump(value);
    json::Value again = value;
    apply_defaults(schema_from(c.schema), again);
    EXPECT_EQ(again, value);
  }
}

TEST(Structural, AcceptsASchemaOfEveryKind) {
  const json::Value schema = parsed(R"({
    "type":"object",
    "properties":{
      "metadata":{"type":"object","properties":{"name":{"type":"string","maxLength":10}}},
      "spec":{"type":"object","required":["count"],"properties":{
        "count":{"type":"integer","minimum":1,"default":1},
        "port":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]},
        "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
        "any":{"x-kubernetes-preserve-unknown-fields":true},
        "list":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],
                "items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}},
        "map":{"type":"object","additionalProperties":{"type":"string","pattern":"^[a-z]+$"}}}}}})");
  for (const auto& violation : check_structural(schema, "s")) {
    ADD_FAILURE() << violation.field << ": " << violation.message;
  }
}

TEST(Structural, NamesEveryMistake) {
  struct Case {
    const char* schema;
    const char* field;
    const char* message;
  };
  const Case cases[] = {
      {R"({"properties":{}})", "s.type", "Required value: must not be empty at the root"},
      {R"({"type":"array","items":{"type":"string"}})", "s.type",
       "Invalid value: \"array\": must be object at the root"},
      {R"({"type":"object","properties":{"a":{}}})", "s.properties[a].type",
       "Required value: must not be empty for specified object fields"},
      {R"({"type":"object","properties":{"a":{"type":"array"}}})", "s.properties[a].items",
       "Required value: must be specified"},
      {R"({"type":"object","properties":{"a":{"type":"array","items":{}}}})",
       "s.properties[a].items.type", "Required value: must not be empty for specified array items"},
      {R"({"type":"object","properties":{"a":{"$ref":"#/x","type":"string"}}})",
       "s.properties[a].$ref", "Forbidden: must not be set"},
      {R"({"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{"type":"string"}})",
       "s.additionalProperties",
       "Forbidden: additionalProperties and properties are mutual exclusive"},
      {R"({"type":"object","additionalProperties":false})", "s.additionalProperties",
       "Forbidden: additionalProperties cannot be set to false"},
      {R"({"type":"object","properties":{"a":{"type":"string","default":5}}})",
       "s.properties[a].default",
       "Invalid value: \"integer\":  in body must be of type string: \"integer\""},
      {R"({"type":"object","properties":{"a":{"type":"array","x-kubernetes-list-type":"map","items":{"type":"object"}}}})",
       "s.properties[a].x-kubernetes-list-map-keys",
       "Required value: must not be empty if x-kubernetes-list-type is map"},
      {R"({"type":"object","anyOf":[{"type":"object"}]})", "s.anyOf[0].type",
       "Forbidden: must be undefined to be structural"},
      {R"({"type":"object","properties":{"metadata":{"type":"object","properties":{"labels":{"type":"object"}}}}})",
       "s.properties[metadata]",
       "Forbidden: must not specify anything other than name and generateName, but metadata is "
       "implicitly specified"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.schema);
    const auto violations = check_structural(parsed(c.schema), "s");
    ASSERT_EQ(violations.size(), 1U);
    EXPECT_EQ(violations[0].field, c.field);
    EXPECT_EQ(violations[0].message, c.message);
  }
  const auto bad_pattern = check_structural(
      parsed(R"({"type":"object","properties":{"a":{"type":"string","pattern":"("}}})"), "s");
  ASSERT_EQ(bad_pattern.size(), 1U);
  EXPECT_EQ(bad_pattern[0].field, "s.properties[a].pattern");
}

}  // namespace
}  // namespace apiserver

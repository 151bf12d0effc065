#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "json/codec.h"
#include "json/schema.h"
#include "json/value.h"
#include "json/yaml.h"

namespace json {
namespace {

struct Item {
  std::string name;
  std::optional<std::int32_t> weight;
};
template <class V>
void describe(V& v, Item& item) {
  v.field("name", item.name, Presence::Required, "Its name.");
  v.field("weight", item.weight, Presence::Optional, "Grams.", {.minimum = 0});
}

struct Box {
  std::int64_t count = 0;
  std::string mode;
  std::vector<Item> items;
  std::map<std::string, std::string> labels;
  Item main;
};
template <class V>
void describe(V& v, Box& box) {
  v.type("A box.");
  v.field("count", box.count, Presence::Optional, "How many.", {.default_json = "1"});
  v.field("mode", box.mode, Presence::Optional, "", {.one_of = {"open", "closed"}});
  v.field("items", box.items, Presence::Optional, "Inside.", {.merge_key = "name"});
  v.field("labels", box.labels, Presence::Optional, "");
  v.field("main", box.main, Presence::Optional, "");
}

TEST(Parse, NamesLineAndColumn) {
  const auto error = parse("{\n  \"a\": x}").error();
  EXPECT_THAT(error.message(), testing::HasSubstr("line 2, column 8"));
  EXPECT_FALSE(parse("{} x"));
  EXPECT_FALSE(parse(""));
  EXPECT_FALSE(parse("\"\xC3\x28\""));
}

TEST(Parse, BoundsDepthAndSize) {
  EXPECT_FALSE(parse(std::string(100, '[') + std::string(100, ']')));
  EXPECT_FALSE(parse("[1,2,3]", {.max_bytes = 3}));
}

TEST(Dump, CanonicalIgnoresMemberOrder) {
  EXPECT_EQ(dump_canonical(*parse(R"({"b":[{"d":1,"c":2}],"a":"x"})")),
            R"({"a":"x","b":[{"c":2,"d":1}]})");
  EXPECT_EQ(hash(*parse(R"({"a":1,"b":2})")), hash(*parse(R"({"b":2,"a":1})")));
}

TEST(Equal, TreatsNumbersByValue) {
  EXPECT_TRUE(equal(*parse(R"({"a":1,"b":[1.0]})"), *parse(R"({"b":[1],"a":1.0})")));
  EXPECT_FALSE(equal(*parse("[1]"), *parse("[1,2]")));
}

TEST(Find, FollowsDottedPaths) {
  const Value value = *parse(R"({"a":{"b":{"c":"x","n":3}}})");
  EXPECT_EQ(find_string(value, "a.b.c"), "x");
  EXPECT_EQ(find_int(value, "a.b.n"), 3);
  EXPECT_EQ(find(value, "a.x.c"), nullptr);
}

TEST(Codec, RoundTripOmitsTheEmpty) {
  const Value value = *parse(R"({"count":2,"items":[{"name":"a","weight":0}],"labels":{"k":"v"}})");
  const auto box = decode<Box>(value);
  ASSERT_TRUE(box) << box.error().message();
  EXPECT_EQ(box->items[0].weight, 0);
  // `main` has a required member, so it is written.
  EXPECT_TRUE(equal(
      encode(*box),
      *parse(
          R"({"count":2,"items":[{"name":"a","weight":0}],"labels":{"k":"v"},"main":{"name":""}})")));
}

TEST(Codec, TolerantDecodingNamesThePath) {
  const auto box = decode<Box>(*parse(R"({"items":[{"name":3}],"unknown":1})"));
  ASSERT_FALSE(box);
  EXPECT_EQ(box.error().message(), ".items[0].name: expected string, found number");
}

TEST(Codec, StrictDecodingReportsEverythingAtOnce) {
  const auto result = decode_strict<Box>(
      *parse(R"({"count":"x","mode":"ajar","itms":[],"items":[{}],"labels":{"a.b/c":1}})"));
  EXPECT_THAT(result.errors, testing::UnorderedElementsAre(
                                 FieldError{".count", "expected integer, found string"},
                                 FieldError{".mode", "'ajar' is not one of open, closed"},
                                 FieldError{".itms", "unknown field"},
                                 FieldError{".items[0].name", "required field is missing"},
                                 FieldError{".labels[a.b/c]", "expected string, found number"}));
}

TEST(Codec, IntegersDoNotWrap) {
  EXPECT_FALSE(decode<Item>(*parse(R"({"name":"a","weight":3000000000})")));
  EXPECT_FALSE(decode<Item>(*parse(R"({"name":"a","weight":1.5})")));
}

TEST(Schema, CarriesTypesRulesAndText) {
  const Value schema = schema_of<Box>();
  EXPECT_EQ(find_string(schema, "description"), "A box.");
  EXPECT_EQ(find_int(schema, "properties.count.default"), 1);
  EXPECT_EQ(find_string(schema, "properties.items.x-kubernetes-list-type"), "map");
  EXPECT_EQ(find_string(schema, "properties.items.items.properties.weight.format"), "int32");
}

TEST(Yaml, ReadsDocumentsWithLines) {
  const auto documents = parse_yaml("a: 1\nb:\n  - c: \"2\"\n    d: yes\n---\n---\ne: ~\n");
  ASSERT_TRUE(documents) << documents.error().message();
  ASSERT_EQ(documents->size(), 2U);
  EXPECT_TRUE(equal((*documents)[0].value, *parse(R"({"a":1,"b":[{"c":"2","d":"yes"}]})")));
  EXPECT_EQ((*documents)[0].line_of(".b[0].d"), 4U);
  EXPECT_EQ((*documents)[0].line_of(".b[0].missing"), 3U);
}

TEST(Yaml, NamesTheMistake) {
  EXPECT_THAT(parse_yaml("a: [1\n").error().message(), testing::HasSubstr("invalid YAML at line"));
  EXPECT_THAT(parse_yaml(std::string_view("a: b\nc: ,x[\0\0: 2\n", 16)).error().message(),
              testing::HasSubstr("line 2: control character 0x00"));
  EXPECT_THAT(parse_yaml(",re0\"\nada: a, i/a:0/a:1}\n").error().message(),
              testing::HasSubstr("unexpected text"));
  EXPECT_THAT(parse_yaml("a: 1\na: 2\n").error().message(), testing::HasSubstr("appears twice"));
}

TEST(Yaml, SurvivesARoundTrip) {
  const Value value =
      *parse(R"({"s":"true","n":1,"t":"a\nb\n","e":{},"l":[],"y":"no","f":1.5,"z":null,"q":"12"})");
  EXPECT_TRUE(equal((*parse_yaml(dump_yaml(value)))[0].value, value)) << dump_yaml(value);
}

}  // namespace
}  // namespace json

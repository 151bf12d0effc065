#include "apiserver/patch/json_patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apiserver/patch/merge_patch.h"

namespace apiserver {
namespace {

json::Value parsed(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value.value_or(json::Value());
}

struct PatchCase {
  const char* name;
  const char* target;
  const char* patch;
  const char* result;  ///< Null when the patch fails.
  const char* error = "";
};

const PatchCase kJsonPatches[] = {
    {"add a member", R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux"}])",
     R"({"foo":"bar","baz":"qux"})"},
    {"add replaces a member", R"({"a":1})", R"([{"op":"add","path":"/a","value":2}])",
     R"({"a":2})"},
    {"add an element", R"({"foo":["bar","baz"]})",
     R"([{"op":"add","path":"/foo/1","value":"qux"}])", R"({"foo":["bar","qux","baz"]})"},
    {"add at the end by index", R"([1])", R"([{"op":"add","path":"/1","value":2}])", R"([1,2])"},
    {"append", R"({"foo":["bar"]})", R"([{"op":"add","path":"/foo/-","value":["abc"]}])",
     R"({"foo":["bar",["abc"]]})"},
    {"add a nested object", R"({"foo":"bar"})",
     R"([{"op":"add","path":"/child","value":{"grandchild":{}}}])",
     R"({"foo":"bar","child":{"grandchild":{}}})"},
    {"add to a missing parent", R"({"foo":"bar"})",
     R"([{"op":"add","path":"/baz/bat","value":"qux"}])", nullptr,
     "operation 0 (add /baz/bat): there is no member 'baz'"},
    {"add beyond the end", R"([1])", R"([{"op":"add","path":"/2","value":2}])", nullptr,
     "operation 0 (add /2): index 2 is beyond the 1 elements"},
    {"add below a scalar", R"({"a":1})", R"([{"op":"add","path":"/a/b","value":2}])", nullptr,
     "operation 0 (add /a/b): 'b' leads into a number"},
    {"add the whole document", R"({"a":1})", R"([{"op":"add","path":"","value":[]}])", R"([])"},
    {"add without a value", R"({})", R"([{"op":"add","path":"/a"}])", nullptr,
     "operation 0 (add /a): the operation needs a 'value'"},
    {"add null", R"({})", R"([{"op":"add","path":"/a","value":null}])", R"({"a":null})"},
    {"remove a member", R"({"baz":"qux","foo":"bar"})", R"([{"op":"remove","path":"/baz"}])",
     R"({"foo":"bar"})"},
    {"remove an element", R"({"foo":["bar","qux","baz"]})", R"([{"op":"remove","path":"/foo/1"}])",
     R"({"foo":["bar","baz"]})"},
    {"remove what is not there", R"({})", R"([{"op":"remove","path":"/a"}])", nullptr,
     "operation 0 (remove /a): there is no member 'a'"},
    {"remove - of an array", R"([1])", R"([{"op":"remove","path":"/-"}])", nullptr,
     "operation 0 (remove /-): '-' is not an index"},
    {"replace", R"({"baz":"qux","foo":"bar"})", R"([{"op":"replace","path":"/baz","value":"boo"}])",
     R"({"baz":"boo","foo":"bar"})"},
    {"replace a member that is not there", R"({})", R"([{"op":"replace","path":"/a","value":1}])",
     R"({"a":1})"},
    {"replace an element that is not there", R"([])", R"([{"op":"replace","path":"/0","value":1}])",
     nullptr, "operation 0 (replace /0): index 0 is beyond the 0 elements"},
    {"move a member", R"({"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}})",
     R"([{"op":"move","from":"/foo/waldo","path":"/qux/thud"}])",
     R"({"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}})"},
    {"move an element", R"({"foo":["all","grass","cows","eat"]})",
     R"([{"op":"move","from":"/foo/1","path":"/foo/3"}])",
     R"({"foo":["all","cows","eat","grass"]})"},
    {"move to itself", R"({"a":1})", R"([{"op":"move","from":"/a","path":"/a"}])", R"({"a":1})"},
    {"move into itself", R"({"a":{"b":1}})", R"([{"op":"move","from":"/a","path":"/a/b"}])",
     nullptr, "operation 0 (move /a/b): a value cannot move into itself"},
    {"copy", R"({"a":{"b":[1]}})", R"([{"op":"copy","from":"/a/b","path":"/c"}])",
     R"({"a":{"b":[1]},"c":[1]})"},
    {"test succeeds", R"({"baz":"qux","foo":["a",2,"c"]})",
     R"([{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}])",
     R"({"baz":"qux","foo":["a",2,"c"]})"},
    {"test compares numbers by value and objects without order", R"({"a":1.0,"b":{"x":1,"y":2}})",
     R"([{"op":"test","path":"/a","value":1},{"op":"test","path":"/b","value":{"y":2,"x":1}}])",
     R"({"a":1.0,"b":{"x":1,"y":2}})"},
    {"test fails", R"({"baz":"qux"})", R"([{"op":"test","path":"/baz","value":"bar"}])", nullptr,
     "operation 0 (test /baz): the test failed: the value differs"},
    {"a later failure undoes all", R"({"a":1})",
     R"([{"op":"remove","path":"/a"},{"op":"test","path":"/a","value":1}])", nullptr,
     "operation 1 (test /a): there is no member 'a'"},
    {"escapes", R"({"/":9,"~1":10})",
     R"([{"op":"test","path":"/~01","value":10},{"op":"replace","path":"/~1","value":8}])",
     R"({"/":8,"~1":10})"},
    {"broken escape", R"({})", R"([{"op":"add","path":"/~2","value":1}])", nullptr,
     "operation 0 (add /~2): path: ~ must be followed by 0 or 1"},
    {"empty key", R"({"":1})", R"([{"op":"remove","path":"/"}])", R"({})"},
    {"leading zero", R"([1,2])", R"([{"op":"remove","path":"/01"}])", nullptr,
     "operation 0 (remove /01): '01' is not an index"},
    {"pointer without slash", R"({})", R"([{"op":"add","path":"a","value":1}])", nullptr,
     "operation 0 (add a): path: a pointer must begin with /"},
    {"unknown op", R"({})", R"([{"op":"spam","path":"/a"}])", nullptr,
     "operation 0 (spam /a): unknown op 'spam': use add, remove, replace, move, copy or test"},
    {"no path", R"({})", R"([{"op":"remove"}])", nullptr,
     "operation 0 (remove ): the operation needs a 'path'"},
    {"not an array", R"({})", R"({})", nullptr, "a JSON patch must be an array of operations"},
    {"not an operation", R"({})", R"([1])", nullptr,
     "operation 0 ( ): an operation must be an object"},
    {"nothing to do", R"({"a":1})", R"([])", R"({"a":1})"},
};

TEST(JsonPatch, FollowsRfc6902) {
  for (const PatchCase& c : kJsonPatches) {
    SCOPED_TRACE(c.name);
    const auto result = apply_json_patch(parsed(c.target), parsed(c.patch));
    if (c.result) {
      ASSERT_TRUE(result.has_value()) << result.error().message();
      EXPECT_EQ(json::dump(*result), json::dump(parsed(c.result)));
    } else {
      ASSERT_FALSE(result.has_value()) << json::dump(*result);
      EXPECT_EQ(result.error().code(), base::ErrorCode::Invalid);
      EXPECT_EQ(result.error().message(), c.error);
    }
  }
}

TEST(JsonPatch, BoundsWork) {
  const json::Value nothing = parsed(R"({"op":"test","path":"","value":{}})");
  json::Array patch;
  for (std::size_t i = 0; i <= kMaxJsonPatchOperations; ++i) patch.push_back(nothing);
  EXPECT_FALSE(apply_json_patch(json::Object(), patch).has_value());
  patch.pop_back();
  EXPECT_TRUE(apply_json_patch(json::Object(), patch).has_value());

  // A document that doubles with every copy.
  const json::Value doubling = parsed(R"({"op":"copy","from":"","path":"/-"})");
  json::Array doublings;
  for (int i = 0; i < 40; ++i) doublings.push_back(doubling);
  const auto bomb = apply_json_patch(json::Array{"text"}, doublings);
  ASSERT_FALSE(bomb.has_value());
  EXPECT_THAT(bomb.error().message(), testing::HasSubstr("the copies add up to more than"));

  json::Array deep;
  for (int i = 0; i < 100; ++i) {
    deep.push_back(parsed(R"({"op":"copy","from":"","path":"/a"})"));
  }
  const auto nested = apply_json_patch(json::Object(), deep);
  ASSERT_FALSE(nested.has_value());
  EXPECT_EQ(nested.error().message(), "the patched document is nested deeper than 64 levels");
}

// The table of RFC 7386, appendix A.
const PatchCase kMergePatches[] = {
    {"replace", R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
    {"add", R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
    {"remove", R"({"a":"b"})", R"({"a":null})", R"({})"},
    {"remove one", R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
    {"array by string", R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
    {"string by array", R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
    {"nested", R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
    {"array by array", R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
    {"arrays", R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
    {"object by array", R"({"a":"b"})", R"(["c"])", R"(["c"])"},
    {"document by null", R"({"a":"foo"})", R"(null)", R"(null)"},
    {"document by string", R"({"a":"foo"})", R"("bar")", R"("bar")"},
    {"null stays", R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
    {"array by object", R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
    {"nulls in new objects", R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
};

TEST(MergePatch, FollowsRfc7386) {
  for (const PatchCase& c : kMergePatches) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(json::dump(apply_merge_patch(parsed(c.target), parsed(c.patch))),
              json::dump(parsed(c.result)));
  }
}

}  // namespace
}  // namespace apiserver

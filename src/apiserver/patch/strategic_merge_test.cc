#include "apiserver/patch/strategic_merge.h"

#include <gtest/gtest.h>

namespace apiserver {
namespace {

json::Value parsed(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value.value_or(json::Value());
}

/// As Pods and Deployments have it: containers by name, ports by containerPort, finalizers as a
/// merging list of strings, args replaced, strategy with retained keys.
const char* const kSchema = R"({"type":"object","properties":{
  "spec":{"type":"object","properties":{
    "containers":{"type":"array","x-kubernetes-patch-strategy":"merge",
      "x-kubernetes-patch-merge-key":"name","items":{"type":"object","properties":{
        "name":{"type":"string"},"image":{"type":"string"},
        "args":{"type":"array","items":{"type":"string"}},
        "ports":{"type":"array","x-kubernetes-list-type":"map",
          "x-kubernetes-list-map-keys":["containerPort","protocol"],
          "x-kubernetes-patch-strategy":"merge","x-kubernetes-patch-merge-key":"containerPort",
          "items":{"type":"object"}}}}},
    "tolerations":{"type":"array","x-kubernetes-list-type":"atomic","items":{"type":"object"}},
    "strategy":{"type":"object","x-kubernetes-patch-strategy":"retainKeys"},
    "selector":{"type":"object","x-kubernetes-map-type":"atomic"},
    "source":{"type":"object","x-kubernetes-patch-strategy":"replace"},
    "numbers":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"integer"}}}},
  "metadata":{"type":"object","properties":{
    "labels":{"type":"object","additionalProperties":{"type":"string"}},
    "finalizers":{"type":"array","x-kubernetes-patch-strategy":"merge","items":{"type":"string"}}}}}})";

struct Case {
  const char* name;
  const char* target;
  const char* patch;
  const char* result;  ///< Null when the patch fails.
  const char* error = "";
};

const Case kCases[] = {
    {"maps merge, null removes", R"({"metadata":{"labels":{"a":"1","b":"2"}}})",
     R"({"metadata":{"labels":{"a":null,"c":"3"}}})",
     R"({"metadata":{"labels":{"b":"2","c":"3"}}})"},
    {"null in a new map is dropped", R"({})", R"({"metadata":{"labels":{"a":null,"b":"1"}}})",
     R"({"metadata":{"labels":{"b":"1"}}})"},
    {"list elements merge by key",
     R"({"spec":{"containers":[{"name":"a","image":"1"},{"name":"b"}]}})",
     R"({"spec":{"containers":[{"name":"a","args":["x"]}]}})",
     R"({"spec":{"containers":[{"name":"a","image":"1","args":["x"]},{"name":"b"}]}})"},
    // The documented example: a patch that adds a container.
    {"a new element comes first",
     R"({"spec":{"containers":[{"name":"patch-demo-ctr","image":"nginx"}]}})",
     R"({"spec":{"containers":[{"name":"patch-demo-ctr-2","image":"redis"}]}})",
     R"({"spec":{"containers":[{"name":"patch-demo-ctr-2","image":"redis"},{"name":"patch-demo-ctr","image":"nginx"}]}})"},
    {"atomic lists are replaced", R"({"spec":{"tolerations":[{"key":"a"}]}})",
     R"({"spec":{"tolerations":[{"key":"b"}]}})", R"({"spec":{"tolerations":[{"key":"b"}]}})"},
    {"lists of scalars without strategy are replaced",
     R"({"spec":{"containers":[{"name":"a","args":["1","2"]}]}})",
     R"({"spec":{"containers":[{"name":"a","args":["3"]}]}})",
     R"({"spec":{"containers":[{"name":"a","args":["3"]}]}})"},
    {"element deleted", R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
     R"({"spec":{"containers":[{"$patch":"delete","name":"a"}]}})",
     R"({"spec":{"containers":[{"name":"b"}]}})"},
    {"deleting what is not there", R"({"spec":{}})",
     R"({"spec":{"containers":[{"$patch":"delete","name":"a"},{"name":"b"}]}})",
     R"({"spec":{"containers":[{"name":"b"}]}})"},
    {"list replaced by directive", R"({"spec":{"containers":[{"name":"a"},{"name":"b"}]}})",
     R"({"spec":{"containers":[{"name":"c"},{"$patch":"replace"}]}})",
     R"({"spec":{"containers":[{"name":"c"}]}})"},
    {"map replaced by directive", R"({"metadata":{"labels":{"a":"1"},"name":"n"}})",
     R"({"metadata":{"$patch":"replace","labels":{"b":"2"}}})",
     R"({"metadata":{"labels":{"b":"2"}}})"},
    {"map deleted by directive", R"({"metadata":{"labels":{"a":"1"}}})",
     R"({"metadata":{"labels":{"$patch":"delete"}}})", R"({"metadata":{"labels":{}}})"},
    {"atomic maps merge", R"({"spec":{"selector":{"a":"1"}}})",
     R"({"spec":{"selector":{"b":"2"}}})", R"({"spec":{"selector":{"a":"1","b":"2"}}})"},
    {"maps with strategy replace", R"({"spec":{"source":{"a":"1"}}})",
     R"({"spec":{"source":{"b":"2"}}})", R"({"spec":{"source":{"b":"2"}}})"},
    {"retain keys",
     R"({"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}})",
     R"({"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}})",
     R"({"spec":{"strategy":{"type":"Recreate"}}})"},
    {"retain keys must name what the patch sets", R"({"spec":{}})",
     R"({"spec":{"strategy":{"$retainKeys":["type"],"other":1}}})", nullptr,
     "spec.strategy: 'other' is in the patch but not in $retainKeys"},
    {"merging strings", R"({"metadata":{"finalizers":["a","b"]}})",
     R"({"metadata":{"finalizers":["c","a"]}})", R"({"metadata":{"finalizers":["c","a","b"]}})"},
    {"a set merges", R"({"spec":{"numbers":[1,2]}})", R"({"spec":{"numbers":[2,3]}})",
     R"({"spec":{"numbers":[1,2,3]}})"},
    {"delete from a list of scalars", R"({"metadata":{"finalizers":["a","b","c"]}})",
     R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["b","x"]}})",
     R"({"metadata":{"finalizers":["a","c"]}})"},
    {"order of scalars", R"({"metadata":{"finalizers":["a","b"]}})",
     R"({"metadata":{"$setElementOrder/finalizers":["c","b","a"],"finalizers":["c"]}})",
     R"({"metadata":{"finalizers":["c","b","a"]}})"},
    {"order of elements", R"({"spec":{"containers":[{"name":"a"},{"name":"x"},{"name":"b"}]}})",
     R"({"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"containers":[{"name":"a","image":"1"}]}})",
     R"({"spec":{"containers":[{"name":"x"},{"name":"b"},{"name":"a","image":"1"}]}})"},
    {"what kubectl apply sends to delete and add",
     R"({"spec":{"containers":[{"name":"a","image":"1"},{"name":"b","image":"2"}]}})",
     R"({"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"c"}],"containers":[{"image":"3","name":"c"},{"$patch":"delete","name":"a"}]}})",
     R"({"spec":{"containers":[{"name":"b","image":"2"},{"image":"3","name":"c"}]}})"},
    {"an empty order asks nothing", R"({})",
     R"({"metadata":{"$setElementOrder/finalizers":[],"finalizers":["a"]}})",
     R"({"metadata":{"finalizers":["a"]}})"},
    {"order that misses an element", R"({"spec":{"containers":[{"name":"c"}]}})",
     R"({"spec":{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"a"}]}})",
     nullptr, "spec.containers: the order in the patch does not match $setElementOrder: \"a\""},
    {"ports keep their second key",
     R"({"spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"protocol":"TCP"}]}]}})",
     R"({"spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"http"}]}]}})",
     R"({"spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"protocol":"TCP","name":"http"}]}]}})"},
    {"no merge key", R"({"spec":{"containers":[{"name":"a"}]}})",
     R"({"spec":{"containers":[{"image":"1"}]}})", nullptr,
     "spec.containers: map does not contain declared merge key: name"},
    {"unknown directive", R"({})", R"({"spec":{"$patch":"explode"}})", nullptr,
     "spec: unknown $patch directive \"explode\": use merge, replace or delete"},
    {"merge directive", R"({"spec":{"a":1}})", R"({"spec":{"$patch":"merge","b":2}})",
     R"({"spec":{"a":1,"b":2}})"},
    {"kind changes", R"({"spec":{"containers":"text"}})",
     R"({"spec":{"containers":[{"name":"a"}]}})", R"({"spec":{"containers":[{"name":"a"}]}})"},
    {"without a schema lists are replaced", R"({"status":{"l":[{"a":1}]}})",
     R"({"status":{"l":[{"b":2}]}})", R"({"status":{"l":[{"b":2}]}})"},
};

TEST(StrategicMerge, FollowsKubernetes) {
  const json::Value schema = parsed(kSchema);
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const auto result =
        apply_strategic_merge(parsed(c.target), parsed(c.patch), schema.as_object());
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

TEST(StrategicMerge, WithoutSchemaIsAMergePatch) {
  const auto result = apply_strategic_merge(parsed(R"({"a":{"b":[1],"c":2}})"),
                                            parsed(R"({"a":{"b":[2],"c":null}})"), {});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(json::dump(*result), R"({"a":{"b":[2]}})");
  EXPECT_FALSE(apply_strategic_merge(json::Object(), parsed("[]"), {}).has_value());
}

}  // namespace
}  // namespace apiserver

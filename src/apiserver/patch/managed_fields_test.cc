#include "apiserver/patch/managed_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace apiserver {
namespace {

using testing::ElementsAre;

json::Value parsed(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value.value_or(json::Value());
}

const json::Object& schema() {
  static const json::Object kSchema = parsed(R"({"type":"object","properties":{
    "metadata":{"type":"object","properties":{
      "labels":{"type":"object","additionalProperties":{"type":"string"}},
      "finalizers":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}}}},
    "spec":{"type":"object","properties":{
      "replicas":{"type":"integer"},
      "selector":{"type":"object","x-kubernetes-map-type":"atomic"},
      "args":{"type":"array","items":{"type":"string"}},
      "ports":{"type":"array","x-kubernetes-list-type":"map",
        "x-kubernetes-list-map-keys":["port","protocol"],"items":{"type":"object","properties":{
          "port":{"type":"integer"},"protocol":{"type":"string","default":"TCP"},
          "name":{"type":"string"}}}}}}}})")
                                          .as_object();
  return kSchema;
}

std::string set_of(std::string_view document) {
  return json::dump(FieldSet::from_value(parsed(document), SchemaNode(schema())).to_json());
}

TEST(FieldSet, IsWrittenAsFieldsV1) {
  struct Case {
    const char* document;
    const char* fields;
  };
  const Case cases[] = {
      {R"({"spec":{"replicas":1}})", R"({"f:spec":{"f:replicas":{}}})"},
      {R"({"metadata":{"labels":{"a":"1","b.c/d":"2"}}})",
       R"({"f:metadata":{"f:labels":{"f:a":{},"f:b.c/d":{}}}})"},
      {R"({"metadata":{"finalizers":["x"]}})", R"({"f:metadata":{"f:finalizers":{"v:\"x\"":{}}}})"},
      {R"({"spec":{"selector":{"a":"1"}}})", R"({"f:spec":{"f:selector":{}}})"},
      {R"({"spec":{"args":["a"]}})", R"({"f:spec":{"f:args":{}}})"},
      {R"({"spec":{"ports":[{"port":80,"name":"http"}]}})",
       R"({"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}}}})"},
      // Without a schema maps are granular and lists atomic.
      {R"({"free":{"a":{"b":[1]},"c":{}}})",
       R"({"f:free":{".":{},"f:a":{".":{},"f:b":{}},"f:c":{}}})"},
      {R"({})", R"({})"},
      // Elements that cannot be told apart make the list atomic.
      {R"({"spec":{"ports":[{"port":80},{"port":80}]}})", R"({"f:spec":{"f:ports":{}}})"},
      {R"({"spec":{"replicas":null}})", R"({"f:spec":{"f:replicas":{}}})"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.document);
    EXPECT_EQ(set_of(c.document), c.fields);
    const auto again = FieldSet::from_json(parsed(c.fields));
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(*again, FieldSet::from_value(parsed(c.document), SchemaNode(schema())));
  }
  EXPECT_FALSE(FieldSet::from_json(parsed(R"({"x:y":{}})")).has_value());
  EXPECT_FALSE(FieldSet::from_json(parsed(R"({"k:{":{}})")).has_value());
  EXPECT_FALSE(FieldSet::from_json(parsed(R"([1])")).has_value());
}

FieldSet from(std::string_view fields) { return FieldSet::from_json(parsed(fields)).value(); }

TEST(FieldSet, HasTheOperationsOfSets) {
  const FieldSet a = from(R"({"f:x":{".":{},"f:y":{}},"f:z":{}})");
  const FieldSet b = from(R"({"f:x":{"f:y":{},"f:w":{}}})");
  EXPECT_EQ(a.union_with(b), from(R"({"f:x":{".":{},"f:y":{},"f:w":{}},"f:z":{}})"));
  EXPECT_EQ(a.intersection(b), from(R"({"f:x":{"f:y":{}}})"));
  EXPECT_EQ(a.difference(b), from(R"({"f:x":{},"f:z":{}})"));
  EXPECT_EQ(b.difference(a), from(R"({"f:x":{"f:w":{}}})"));
  EXPECT_TRUE(a.difference(a).empty());
}

TEST(FieldSet, PathsAreReadable) {
  const FieldSet set = from(
      R"({"f:spec":{"f:c":{"k:{\"name\":\"a\",\"port\":1}":{"f:image":{}},"v:\"x\"":{},"i:0":{}}}})");
  EXPECT_THAT(set.paths(),
              ElementsAre(".spec.c[0]", R"(.spec.c[name="a",port=1].image)", R"(.spec.c[="x"])"));
}

TEST(CompareFields, FindsWhatChanged) {
  struct Case {
    const char* before;
    const char* after;
    std::vector<std::string> added, modified, removed;
  };
  const Case cases[] = {
      {R"({"spec":{"replicas":1}})", R"({"spec":{"replicas":1}})", {}, {}, {}},
      {R"({"spec":{"replicas":1}})", R"({"spec":{"replicas":2}})", {}, {".spec.replicas"}, {}},
      {R"({"metadata":{}})",
       R"({"metadata":{"labels":{"a":"1"}}})",
       {".metadata.labels", ".metadata.labels.a"},
       {},
       {}},
      {R"({"metadata":{"labels":{"a":"1"}}})",
       R"({"metadata":{}})",
       {},
       {},
       {".metadata.labels", ".metadata.labels.a"}},
      {R"({"metadata":{"finalizers":["a","b"]}})",
       R"({"metadata":{"finalizers":["b","c"]}})",
       {R"(.metadata.finalizers[="c"])"},
       {},
       {R"(.metadata.finalizers[="a"])"}},
      {R"({"spec":{"args":["a"]}})", R"({"spec":{"args":["b"]}})", {}, {".spec.args"}, {}},
      {R"({"spec":{"ports":[{"port":80}]}})",
       R"({"spec":{"ports":[{"port":80,"name":"n"}]}})",
       {R"(.spec.ports[port=80,protocol="TCP"].name)"},
       {},
       {}},
      {R"({"free":{"a":1}})", R"({"free":[1]})", {}, {".free"}, {".free.a"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.before) + " -> " + c.after);
    const json::Value before = parsed(c.before);
    const json::Value after = parsed(c.after);
    const FieldChanges changes = compare_fields(&before, &after, SchemaNode(schema()));
    EXPECT_EQ(changes.added.paths(), c.added);
    EXPECT_EQ(changes.modified.paths(), c.modified);
    EXPECT_EQ(changes.removed.paths(), c.removed);
  }
}

FieldManager writer(std::string name, std::string time, std::string subresource = {}) {
  return {.manager = std::move(name),
          .api_version = "v1",
          .subresource = std::move(subresource),
          .time = std::move(time)};
}

/// `MANAGER/OPERATION TIME FIELDS` of every entry.
std::vector<std::string> shown_entries(const json::Value& object) {
  std::vector<std::string> shown;
  for (const ManagedEntry& entry : read_managed_fields(object)) {
    shown.push_back(entry.manager +
                    (entry.operation == ManagedOperation::Apply ? "/Apply " : "/Update ") +
                    entry.time + " " + json::dump(entry.fields.to_json()));
  }
  return shown;
}

TEST(UpdateManagedFields, FollowsTheChanges) {
  json::Value object = update_managed_fields(
      std::nullopt,
      parsed(
          R"({"apiVersion":"v1","kind":"K","metadata":{"name":"n","uid":"u","labels":{"a":"1"}},"spec":{"replicas":1}})"),
      writer("kubectl-create", "t1"), schema());
  EXPECT_THAT(
      shown_entries(object),
      ElementsAre(
          R"(kubectl-create/Update t1 {"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{".":{},"f:replicas":{}}})"));

  // Another manager changes one field and adds one.
  json::Value changed = object;
  changed.at("spec").as_object()["replicas"] = 2;
  changed.at("metadata").at("labels").as_object()["b"] = "2";
  changed = update_managed_fields(object, changed, writer("editor", "t2"), schema());
  EXPECT_THAT(
      shown_entries(changed),
      ElementsAre(
          R"(kubectl-create/Update t1 {"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{}})",
          R"(editor/Update t2 {"f:metadata":{"f:labels":{"f:b":{}}},"f:spec":{"f:replicas":{}}})"));

  // Nothing changes: no entry and no time does.
  EXPECT_EQ(update_managed_fields(changed, changed, writer("third", "t3"), schema()), changed);

  // Removed fields belong to nobody, and a writer that only removes owns nothing.
  json::Value removed = changed;
  removed.at("metadata").at("labels").as_object().erase("a");
  removed = update_managed_fields(changed, removed, writer("third", "t3"), schema());
  EXPECT_THAT(
      shown_entries(removed),
      ElementsAre(
          R"(kubectl-create/Update t1 {"f:metadata":{"f:labels":{}},"f:spec":{}})",
          R"(editor/Update t2 {"f:metadata":{"f:labels":{"f:b":{}}},"f:spec":{"f:replicas":{}}})"));

  // Bookkeeping is not owned.
  json::Value kept = removed;
  kept.at("metadata").as_object()["resourceVersion"] = "7";
  kept.at("metadata").as_object()["generation"] = 2;
  EXPECT_EQ(shown_entries(update_managed_fields(removed, kept, writer("x", "t4"), schema())),
            shown_entries(removed));
}

TEST(UpdateManagedFields, KeepsSubresourcesApart) {
  const json::Value object =
      update_managed_fields(std::nullopt, parsed(R"({"metadata":{},"spec":{"replicas":1}})"),
                            writer("m", "t1"), schema());
  json::Value changed = object;
  changed.as_object()["status"] = parsed(R"({"ready":1})");
  changed = update_managed_fields(object, changed, writer("m", "t2", "status"), schema());
  const auto entries = read_managed_fields(changed);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].subresource, "");
  EXPECT_EQ(entries[1].subresource, "status");
  EXPECT_EQ(
      json::dump(changed.at("metadata").at("managedFields").at(1)),
      R"({"manager":"m","operation":"Update","apiVersion":"v1","time":"t2","fieldsType":"FieldsV1","fieldsV1":{"f:status":{".":{},"f:ready":{}}},"subresource":"status"})");
}

TEST(UpdateManagedFields, DoesNotOwnResetFields) {
  FieldManager main = writer("m", "t1");
  main.reset_fields = {"status"};
  EXPECT_THAT(shown_entries(update_managed_fields(
                  std::nullopt,
                  parsed(R"({"metadata":{},"spec":{"replicas":1},"status":{"phase":"Pending"}})"),
                  main, schema())),
              ElementsAre(R"(m/Update t1 {"f:spec":{".":{},"f:replicas":{}}})"));
}

TEST(UpdateManagedFields, CanBeResetAndSetByHand) {
  const json::Value object =
      update_managed_fields(std::nullopt, parsed(R"({"metadata":{},"spec":{"replicas":1}})"),
                            writer("m", "t1"), schema());
  json::Value reset = object;
  reset.at("metadata").as_object()["managedFields"] = parsed("[{}]");
  reset = update_managed_fields(object, reset, writer("m", "t2"), schema());
  EXPECT_FALSE(json::find(reset, "metadata.managedFields"));
  // Untracked objects stay so until they are applied.
  json::Value later = reset;
  later.at("spec").as_object()["replicas"] = 5;
  EXPECT_FALSE(json::find(update_managed_fields(reset, later, writer("m", "t3"), schema()),
                          "metadata.managedFields"));
  // A client that does not know managedFields does not lose them.
  json::Value unaware = without_managed_fields(object);
  EXPECT_EQ(update_managed_fields(object, unaware, writer("x", "t4"), schema()), object);
  json::Value by_hand = object;
  by_hand.at("metadata").at("managedFields").at(0).as_object()["manager"] = "other";
  EXPECT_EQ(read_managed_fields(update_managed_fields(object, by_hand, writer("x", "t4"), schema()))
                .at(0)
                .manager,
            "other");
}

TEST(UpdateManagedFields, JoinsTheOldestOfManyManagers) {
  json::Value object = update_managed_fields(std::nullopt, parsed(R"({"metadata":{},"free":{}})"),
                                             writer("m00", "t00"), schema());
  for (int i = 1; i < 15; ++i) {
    json::Value next = object;
    const std::string number = (i < 10 ? "0" : "") + std::to_string(i);
    next.at("free").as_object()["k" + number] = i;
    object = update_managed_fields(object, next, writer("m" + number, "t" + number), schema());
  }
  const auto entries = read_managed_fields(object);
  ASSERT_EQ(entries.size(), kMaxUpdateManagers);
  EXPECT_EQ(entries.front().manager, "ancient-changes");
  EXPECT_TRUE(entries.front().fields.find("f:free")->find("f:k01"));
  EXPECT_EQ(entries.back().manager, "m14");
}

TEST(EqualButTimes, IgnoresOnlyTimes) {
  const auto make = [](const char* time, int replicas) {
    return update_managed_fields(
        std::nullopt,
        json::Object{{"metadata", json::Object()}, {"spec", json::Object{{"replicas", replicas}}}},
        writer("m", time), schema());
  };
  EXPECT_TRUE(equal_but_times(make("t1", 1), make("t2", 1)));
  EXPECT_FALSE(equal_but_times(make("t1", 1), make("t1", 2)));
}

}  // namespace
}  // namespace apiserver

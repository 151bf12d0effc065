#include "apiserver/patch/server_side_apply.h"

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
      "replicas":{"type":"integer"},"image":{"type":"string"},
      "selector":{"type":"object","x-kubernetes-map-type":"atomic"},
      "args":{"type":"array","items":{"type":"string"}},
      "policy":{"type":"object","properties":{"mode":{"type":"string"},"limit":{"type":"integer"}}},
      "containers":{"type":"array","x-kubernetes-list-type":"map",
        "x-kubernetes-list-map-keys":["name"],"items":{"type":"object","properties":{
          "name":{"type":"string"},"image":{"type":"string"},"pull":{"type":"string"},
          "env":{"type":"array","x-kubernetes-list-type":"map",
            "x-kubernetes-list-map-keys":["name"],"items":{"type":"object","properties":{
              "name":{"type":"string"},"value":{"type":"string"}}}}}}}}}}})")
                                          .as_object();
  return kSchema;
}

/// A document with name `n` and the given spec.
json::Value document(std::string_view spec) {
  return parsed(std::string(R"({"apiVersion":"v1","kind":"K","metadata":{"name":"n"},"spec":)") +
                std::string(spec) + "}");
}

base::Result<ApplyOutcome> apply(const std::optional<json::Value>& live, const json::Value& applied,
                                 std::string manager, std::string time, bool force = false) {
  return server_side_apply(
      live, applied, schema(),
      {.manager = {.manager = std::move(manager), .api_version = "v1", .time = std::move(time)},
       .force = force});
}

/// Applies and expects success.
json::Value applied(const std::optional<json::Value>& live, std::string_view spec,
                    std::string manager, bool force = false) {
  static int clock = 0;
  auto outcome =
      apply(live, document(spec), std::move(manager), "t" + std::to_string(++clock), force);
  EXPECT_TRUE(outcome.has_value()) << outcome.error().message();
  EXPECT_TRUE(outcome->conflicts.empty()) << conflict_message(outcome->conflicts);
  return outcome->object;
}

json::Value updated(const json::Value& before, json::Value after, std::string manager) {
  return update_managed_fields(before, std::move(after),
                               {.manager = std::move(manager), .api_version = "v1", .time = "u"},
                               schema());
}

std::string spec_of(const json::Value& object) {
  const json::Value* spec = json::find(object, "spec");
  return spec ? json::dump(*spec) : "none";
}

/// The fields of a manager's entry below spec; "" when it has no entry.
std::string fields_of(const json::Value& object, std::string_view manager) {
  for (const ManagedEntry& entry : read_managed_fields(object)) {
    if (entry.manager == manager) return json::dump(entry.fields.to_json());
  }
  return "";
}

TEST(ServerSideApply, CreatesWithOwnership) {
  const json::Value object = applied({}, R"({"replicas":1})", "a");
  EXPECT_EQ(json::dump(without_managed_fields(object)), json::dump(document(R"({"replicas":1})")));
  const json::Value& entry = object.at("metadata").at("managedFields").at(0);
  EXPECT_EQ(json::find_string(entry, "operation"), "Apply");
  EXPECT_EQ(json::find_string(entry, "fieldsType"), "FieldsV1");
  EXPECT_EQ(json::dump(entry.at("fieldsV1")), R"({"f:spec":{"f:replicas":{}}})");
}

TEST(ServerSideApply, ChangesNothingTheSecondTime) {
  const json::Value object = applied({}, R"({"replicas":1,"containers":[{"name":"a"}]})", "a");
  json::Value again = applied(object, R"({"containers":[{"name":"a"}],"replicas":1})", "a");
  EXPECT_EQ(again, object);
  // Also with fields of others and defaults in between.
  json::Value live = object;
  live.at("spec").as_object()["image"] = "default";
  EXPECT_EQ(applied(live, R"({"replicas":1,"containers":[{"name":"a"}]})", "a"), live);
}

TEST(ServerSideApply, RemovesWhatIsNoLongerApplied) {
  struct Case {
    const char* name;
    const char* first;
    const char* second;
    const char* result;
  };
  const Case cases[] = {
      {"field", R"({"replicas":1,"image":"x"})", R"({"image":"x"})", R"({"image":"x"})"},
      {"element", R"({"containers":[{"name":"a"},{"name":"b","image":"1"}]})",
       R"({"containers":[{"name":"a"}]})", R"({"containers":[{"name":"a"}]})"},
      {"field of an element", R"({"containers":[{"name":"a","image":"1"}]})",
       R"({"containers":[{"name":"a"}]})", R"({"containers":[{"name":"a"}]})"},
      {"nested element", R"({"containers":[{"name":"a","env":[{"name":"x"},{"name":"y"}]}]})",
       R"({"containers":[{"name":"a","env":[{"name":"y"}]}]})",
       R"({"containers":[{"name":"a","env":[{"name":"y"}]}]})"},
      {"last element takes its list", R"({"replicas":1,"containers":[{"name":"a"}]})",
       R"({"replicas":1})", R"({"replicas":1})"},
      {"whole object", R"({"replicas":1,"policy":{"mode":"m"}})", R"({"replicas":1})",
       R"({"replicas":1})"},
      {"atomic list", R"({"args":["a"],"replicas":1})", R"({"replicas":1})", R"({"replicas":1})"},
      {"atomic map", R"({"selector":{"a":"1"},"replicas":1})", R"({"replicas":1})",
       R"({"replicas":1})"},
      {"null removes", R"({"replicas":1,"image":"x"})", R"({"replicas":null,"image":"x"})",
       R"({"image":"x"})"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(spec_of(applied(applied({}, c.first, "a"), c.second, "a")), c.result);
  }
}

TEST(ServerSideApply, RemovalTakesDefaultsAlong) {
  json::Value live = applied(
      {}, R"({"replicas":1,"policy":{"mode":"m"},"containers":[{"name":"a"},{"name":"b"}]})", "a");
  live.at("spec").at("policy").as_object()["limit"] = 5;  // Nobody owns it.
  live.at("spec").at("containers").at(1).as_object()["pull"] = "Always";
  EXPECT_EQ(spec_of(applied(live, R"({"replicas":1,"containers":[{"name":"a"}]})", "a")),
            R"({"replicas":1,"containers":[{"name":"a"}]})");
}

TEST(ServerSideApply, KeepsWhatOthersOwn) {
  // Both apply `replicas`; when one lets go the other keeps it.
  json::Value live = applied({}, R"({"replicas":1,"image":"x"})", "a");
  live = applied(live, R"({"replicas":1})", "b");
  live = applied(live, R"({"image":"x"})", "a");
  EXPECT_EQ(spec_of(live), R"({"replicas":1,"image":"x"})");
  EXPECT_EQ(fields_of(live, "a"), R"({"f:spec":{"f:image":{}}})");
  EXPECT_EQ(fields_of(live, "b"), R"({"f:spec":{"f:replicas":{}}})");
  live = applied(live, "{}", "b");
  EXPECT_EQ(spec_of(live), R"({"image":"x"})");
  EXPECT_EQ(fields_of(live, "b"), R"({"f:spec":{}})");
}

TEST(ServerSideApply, AnElementGoesWithItsOwner) {
  json::Value live = applied({}, R"({"replicas":1,"containers":[{"name":"a","image":"1"}]})", "a");
  json::Value changed = live;
  changed.at("spec").at("containers").at(0).as_object()["pull"] = "Always";
  live = updated(live, changed, "b");
  // b owns a field of the element, but not the element.
  const json::Value gone = applied(live, R"({"replicas":1})", "a");
  EXPECT_EQ(spec_of(gone), R"({"replicas":1})");
  EXPECT_EQ(fields_of(gone, "b"), "");
  // c owns the element too: it stays, with its key and what others set.
  live = applied(live, R"({"containers":[{"name":"a"}]})", "c");
  EXPECT_EQ(spec_of(applied(live, R"({"replicas":1})", "a")),
            R"({"replicas":1,"containers":[{"name":"a","pull":"Always"}]})");
}

TEST(ServerSideApply, MergesListsInOrder) {
  struct Case {
    const char* name;
    const char* live;
    const char* applied;
    const char* result;
  };
  const Case cases[] = {
      {"new after live", R"(["a","b"])", R"(["c"])", R"(["a","b","c"])"},
      {"live order where applied agrees", R"(["a","x","b"])", R"(["a","b"])", R"(["a","x","b"])"},
      {"applied order wins", R"(["a","x","b"])", R"(["b","a"])", R"(["x","b","a"])"},
      {"live neighbours stay together", R"(["v","u","w"])", R"(["u","x","v"])",
       R"(["u","w","x","v"])"},
      {"new between", R"(["a","b"])", R"(["a","n","b"])", R"(["a","n","b"])"},
      {"nothing applied", R"(["a"])", R"([])", R"(["a"])"},
  };
  const auto with_finalizers = [](std::string_view list) {
    return parsed(std::string(R"({"metadata":{"name":"n","finalizers":)") + std::string(list) +
                  "}}");
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto outcome = apply(with_finalizers(c.live), with_finalizers(c.applied), "a", "t");
    ASSERT_TRUE(outcome.has_value());
    EXPECT_EQ(json::dump(*json::find(outcome->object, "metadata.finalizers")), c.result);
  }
}

TEST(ServerSideApply, ReportsConflicts) {
  json::Value live = applied({}, R"({"replicas":1,"image":"x"})", "a");
  json::Value changed = live;
  changed.at("spec").as_object()["replicas"] = 3;
  live = updated(live, changed, "kubectl-edit");

  const auto one = apply(live, document(R"({"replicas":2})"), "b", "t");
  ASSERT_TRUE(one.has_value());
  EXPECT_TRUE(one->object.is_null());
  EXPECT_EQ(
      conflict_message(one->conflicts),
      "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .spec.replicas");
  ASSERT_EQ(one->conflicts.size(), 1U);
  EXPECT_EQ(one->conflicts[0].message(), "conflict with \"kubectl-edit\" using v1");
  EXPECT_EQ(one->conflicts[0].field, ".spec.replicas");

  const auto two = apply(live, document(R"({"replicas":2,"image":"y"})"), "b", "t");
  ASSERT_TRUE(two.has_value());
  EXPECT_EQ(conflict_message(two->conflicts),
            "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.image\n"
            "conflicts with \"kubectl-edit\" using v1:\n- .spec.replicas");

  // The same value is no conflict: both own it then.
  live = applied(live, R"({"replicas":3})", "b");
  EXPECT_EQ(fields_of(live, "b"), R"({"f:spec":{"f:replicas":{}}})");
  EXPECT_EQ(fields_of(live, "kubectl-edit"), R"({"f:spec":{"f:replicas":{}}})");
}

TEST(ServerSideApply, ConflictsInElementsAndAtomicValues) {
  const json::Value live = applied(
      {}, R"({"containers":[{"name":"a","image":"1"}],"args":["x"],"selector":{"k":"v"}})", "a");
  const auto outcome = apply(
      live,
      document(
          R"({"containers":[{"name":"a","image":"2"}],"args":["x","y"],"selector":{"k":"w"}})"),
      "b", "t");
  ASSERT_TRUE(outcome.has_value());
  std::vector<std::string> fields;
  for (const ApplyConflict& conflict : outcome->conflicts) fields.push_back(conflict.field);
  EXPECT_THAT(fields,
              ElementsAre(".spec.args", R"(.spec.containers[name="a"].image)", ".spec.selector"));
  // Another element is nobody's business.
  EXPECT_EQ(
      spec_of(applied(live, R"({"containers":[{"name":"b"}]})", "b")),
      R"({"containers":[{"name":"a","image":"1"},{"name":"b"}],"args":["x"],"selector":{"k":"v"}})");
}

TEST(ServerSideApply, ForceTakesOver) {
  json::Value live = applied({}, R"({"replicas":1,"image":"x"})", "a");
  live = applied(live, R"({"replicas":2})", "b", true);
  EXPECT_EQ(spec_of(live), R"({"replicas":2,"image":"x"})");
  EXPECT_EQ(fields_of(live, "a"), R"({"f:spec":{"f:image":{}}})");
  EXPECT_EQ(fields_of(live, "b"), R"({"f:spec":{"f:replicas":{}}})");
}

TEST(ServerSideApply, OwnsUntrackedObjectsBeforeTheFirstApply) {
  const json::Value live = document(R"({"replicas":1,"image":"x"})");
  const auto refused = apply(live, document(R"({"replicas":2})"), "a", "t");
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(conflict_message(refused->conflicts),
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: "
            ".spec.replicas");
  const json::Value object = applied(live, R"({"replicas":1})", "a");
  EXPECT_EQ(fields_of(object, "before-first-apply"),
            R"({"f:spec":{".":{},"f:image":{},"f:replicas":{}}})");
  EXPECT_EQ(fields_of(object, "a"), R"({"f:spec":{"f:replicas":{}}})");
}

TEST(ServerSideApply, LeavesServerFieldsAlone) {
  json::Value live = applied({}, R"({"replicas":1})", "a");
  json::Object& metadata = live.at("metadata").as_object();
  metadata["uid"] = "u";
  metadata["resourceVersion"] = "5";
  metadata["creationTimestamp"] = "2024-01-01T00:00:00Z";
  // Applying what was read does not own what the server wrote.
  json::Value wanted = without_managed_fields(live);
  wanted.at("metadata").as_object()["resourceVersion"] = "4";
  const auto outcome = apply(live, wanted, "a", "later");
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->object, live);
  // An apply that gives up everything keeps the identity.
  const auto bare = apply(live, parsed(R"({"apiVersion":"v1","kind":"K","metadata":{"name":"n"}})"),
                          "a", "later");
  ASSERT_TRUE(bare.has_value());
  EXPECT_EQ(
      json::dump(bare->object),
      R"({"apiVersion":"v1","kind":"K","metadata":{"name":"n","uid":"u","resourceVersion":"5","creationTimestamp":"2024-01-01T00:00:00Z"}})");
}

TEST(ServerSideApply, RefusesListsItCannotMerge) {
  const auto no_key = apply({}, document(R"({"containers":[{"image":"x"}]})"), "a", "t");
  ASSERT_FALSE(no_key.has_value());
  EXPECT_EQ(no_key.error().message(),
            ".spec.containers: element 0: associative list with keys has an element that omits all "
            "key fields [\"name\"] (and doesn't have default values for any key fields)");
  const auto twice = apply({}, document(R"({"containers":[{"name":"x"},{"name":"x"}]})"), "a", "t");
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().message(), ".spec.containers: duplicate entries for key [name=\"x\"]");
}

TEST(ServerSideApply, NullIsAValueWhereTheSchemaAllowsIt) {
  json::Object nullable = schema();
  nullable["properties"].at("spec").at("properties").at("image").as_object()["nullable"] = true;
  const auto outcome = server_side_apply(
      document(R"({"image":"x","replicas":1})"), document(R"({"image":null,"replicas":null})"),
      nullable, {.manager = {.manager = "a", .api_version = "v1", .time = "t"}, .force = true});
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(spec_of(outcome->object), R"({"image":null})");
}

TEST(ServerSideApply, RefusesUndeclaredFieldsOfAClosedSchema) {
  const json::Value wanted = document(R"({"bogus":1,"containers":[{"name":"a","huh":1}]})");
  ApplyOptions options{.manager = {.manager = "a", .api_version = "v1", .time = "t"}};
  EXPECT_TRUE(server_side_apply({}, wanted, schema(), options).has_value());
  options.closed_schema = true;
  const auto outcome = server_side_apply({}, wanted, schema(), options);
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(
      outcome.error().message(),
      ".spec.bogus: field not declared in schema; .spec.containers[0].huh: field not declared "
      "in schema");
}

TEST(ServerSideApply, LeavesResetFieldsAlone) {
  json::Value live = document(R"({"replicas":1})");
  live.as_object()["status"] = json::Object{{"ready", 1}};
  json::Value wanted = document(R"({"replicas":1})");
  wanted.as_object()["status"] = json::Object{{"ready", 2}};
  const auto outcome = server_side_apply(
      live, wanted, schema(),
      {.manager = {.manager = "a", .api_version = "v1", .time = "t", .reset_fields = {"status"}}});
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(json::find_int(outcome->object, "status.ready"), 1);
  EXPECT_EQ(fields_of(outcome->object, "a"), R"({"f:spec":{"f:replicas":{}}})");
  EXPECT_EQ(fields_of(outcome->object, "before-first-apply"),
            R"({"f:spec":{".":{},"f:replicas":{}}})");
}

TEST(ServerSideApply, SubresourcesAreOwnersOfTheirOwn) {
  const json::Value live = applied({}, R"({"replicas":1})", "a");
  const auto outcome = server_side_apply(
      live,
      parsed(R"({"apiVersion":"v1","kind":"K","metadata":{"name":"n"},"status":{"ready":1}})"),
      schema(),
      {.manager = {.manager = "a", .api_version = "v1", .subresource = "status", .time = "t"}});
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(read_managed_fields(outcome->object).size(), 2U);
  EXPECT_EQ(spec_of(outcome->object), R"({"replicas":1})");
}

}  // namespace
}  // namespace apiserver

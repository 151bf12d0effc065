#include "apiserver/objects/engine.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "apiserver/builtin/builtin.h"
#include "apiserver/builtin/crd.h"
#include "apiserver/builtin/event_expiry.h"
#include "apiserver/objects/metadata.h"

namespace apiserver {
namespace {

json::Value parse(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value) << text;
  return value ? *std::move(value) : json::Value();
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/apiserver-engine-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    store_ = *Store::open({.path = folder_ / "db"});
    auto addresses =
        std::make_shared<ClusterIpAllocator>(*ClusterIpAllocator::create("127.64.0.0/10"));
    for (auto& definition : builtin_definitions({addresses, clock_}))
      registry_.put(std::move(definition));
    registry_.put(crd_definition(*store_, registry_, clock_));
    engine_ =
        std::make_unique<ObjectEngine>(ObjectEngine::Deps{*store_, registry_, admission_, clock_});
    create("", "namespaces", R"({"metadata":{"name":"default"}})");
  }
  void TearDown() override {
    engine_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  Target target(std::string_view group, std::string_view plural, std::string name = {},
                std::string subresource = {}) {
    Target out;
    out.definition = registry_.catalog()->find(group, plural);
    EXPECT_TRUE(out.definition) << plural;
    out.version = &out.definition->versions.front();
    if (out.definition->namespaced) out.ns = "default";
    out.name = std::move(name);
    out.subresource = std::move(subresource);
    return out;
  }
  ApiResult<WriteOutcome> try_create(std::string_view group, std::string_view plural,
                                     std::string_view body, const WriteOptions& options = {}) {
    return engine_->create(target(group, plural), parse(body), options);
  }
  json::Value create(std::string_view group, std::string_view plural, std::string_view body) {
    auto outcome = try_create(group, plural, body);
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome ? outcome->object->value : json::Value();
  }
  json::Value now(const Target& which) {
    auto object = engine_->get(which);
    return object ? (*object)->value : json::Value();
  }
  ApiResult<WriteOutcome> set(const Target& which, std::string path, json::Value value) {
    return engine_->edit(which, {}, [&](const json::Value& current) {
      json::Value next = current;
      json::Object* at = &next.get_object();
      std::string_view rest = path;
      for (auto dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
        at = &child(*at, rest.substr(0, dot));
        rest.remove_prefix(dot + 1);
      }
      (*at)[rest] = value;
      return ApiResult<json::Value>(std::move(next));
    });
  }
  void add_widgets() {
    create("apiextensions.k8s.io", "customresourcedefinitions", R"({
      "metadata":{"name":"widgets.demo.io"},
      "spec":{"group":"demo.io","scope":"Namespaced","names":{"plural":"widgets","kind":"Widget"},
        "versions":[
          {"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{
            "openAPIV3Schema":{"type":"object","properties":{
              "spec":{"type":"object","properties":{"count":{"type":"integer","minimum":0},
                "color":{"type":"string","default":"red"}}},
              "status":{"type":"object","properties":{"seen":{"type":"integer"}}}}}}},
          {"name":"v1alpha1","served":true,"storage":false,"schema":{
            "openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}})");
  }

  base::ManualClock clock_{*base::parse_rfc3339("2026-01-01T00:00:00Z")};
  std::filesystem::path folder_;
  std::unique_ptr<Store> store_;
  Registry registry_;
  std::vector<AdmissionRegistration> admission_;
  std::unique_ptr<ObjectEngine> engine_;
};

TEST_F(EngineTest, GivesNewObjectsTheirIdentity) {
  const auto map =
      create("", "configmaps", R"({"metadata":{"generateName":"x-"},"data":{"a":"b"}})");
  EXPECT_TRUE(json::find_string(map, "metadata.name").starts_with("x-"));
  EXPECT_EQ(json::find_string(map, "metadata.namespace"), "default");
  EXPECT_EQ(json::find_string(map, "metadata.uid").size(), 36U);
  EXPECT_EQ(json::find_string(map, "metadata.creationTimestamp"), "2026-01-01T00:00:00Z");
  EXPECT_EQ(json::find_string(map, "kind"), "ConfigMap");
}

TEST_F(EngineTest, RefusesBadObjectsWithAllCauses) {
  const auto bad = try_create("", "configmaps",
                              R"({"metadata":{"name":"A_b","labels":{"-x":"y"}},"data":{"a":1}})");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, 422);
  EXPECT_EQ(try_create("", "configmaps", R"([])").error().code, 400);
  EXPECT_EQ(try_create("", "configmaps", R"({"metadata":{}})").error().code, 422);
  EXPECT_EQ(try_create("", "configmaps", R"({"kind":"Pod","metadata":{"name":"a"}})").error().code,
            400);
  EXPECT_EQ(
      try_create("", "configmaps", R"({"metadata":{"name":"a","namespace":"b"}})").error().code,
      400);
  EXPECT_EQ(try_create("", "configmaps", R"({"metadata":{"name":"a","resourceVersion":"1"}})")
                .error()
                .code,
            400);
  Target elsewhere = target("", "configmaps");
  elsewhere.ns = "nowhere";
  EXPECT_EQ(engine_->create(elsewhere, parse(R"({"metadata":{"name":"a"}})"), {}).error().code,
            404);
}

TEST_F(EngineTest, JudgesAnObjectBeforeItsName) {
  const auto map =
      create("", "configmaps",
             R"({"metadata":{"name":"a","labels":{},"annotations":{},"finalizers":[]}})");
  EXPECT_FALSE(json::find(map, "metadata.labels"));
  EXPECT_FALSE(json::find(map, "metadata.finalizers"));
  EXPECT_EQ(try_create("", "configmaps", R"({"metadata":{"name":"a"}})").error().code, 409);
  EXPECT_EQ(
      try_create("", "configmaps", R"({"metadata":{"name":"a"}})", {.dry_run = true}).error().code,
      409);
  EXPECT_EQ(
      try_create("", "configmaps", R"({"metadata":{"name":"a","labels":{"-":"x"}}})").error().code,
      422);
}

TEST_F(EngineTest, WritesNothingOnDryRunAndNoChange) {
  create("", "configmaps", R"({"metadata":{"name":"a"},"data":{"k":"1"}})");
  const auto before = store_->revision();
  ASSERT_TRUE(try_create("", "configmaps", R"({"metadata":{"name":"b"}})", {.dry_run = true}));
  ASSERT_TRUE(set(target("", "configmaps", "a"), "data.k", "1"));
  EXPECT_EQ(store_->revision(), before);
  ASSERT_TRUE(set(target("", "configmaps", "a"), "data.k", "2"));
  EXPECT_EQ(store_->revision(), before + 1);
}

TEST_F(EngineTest, ChecksTheResourceVersionOfUpdates) {
  auto map = create("", "configmaps", R"({"metadata":{"name":"a"},"data":{"k":"1"}})");
  const Target which = target("", "configmaps", "a");
  auto newer = map;
  newer.get_object()["data"] = json::Object{{"k", "2"}};
  ASSERT_TRUE(engine_->update(which, newer, {}));
  newer.get_object()["data"] = json::Object{{"k", "3"}};
  EXPECT_EQ(engine_->update(which, newer, {}).error().reason, "Conflict");
  child(newer.get_object(), "metadata").erase("resourceVersion");
  EXPECT_TRUE(engine_->update(which, newer, {}));
  child(newer.get_object(), "metadata")["uid"] = "other";
  EXPECT_EQ(engine_->update(which, newer, {}).error().reason, "Conflict");
}

TEST_F(EngineTest, SplitsSpecAndStatusOfCustomResources) {
  add_widgets();
  auto widget = create("demo.io", "widgets",
                       R"({"metadata":{"name":"w"},"spec":{"count":1},"status":{"seen":9}})");
  EXPECT_EQ(json::find(widget, "status"), nullptr);
  EXPECT_EQ(json::find_int(widget, "metadata.generation"), 1);
  ASSERT_TRUE(set(target("demo.io", "widgets", "w", "status"), "status.seen", 3));
  ASSERT_TRUE(set(target("demo.io", "widgets", "w", "status"), "spec.count", 7));
  widget = now(target("demo.io", "widgets", "w"));
  EXPECT_EQ(json::find_int(widget, "status.seen"), 3);
  EXPECT_EQ(json::find_int(widget, "spec.count"), 1);
  EXPECT_EQ(json::find_int(widget, "metadata.generation"), 1);
  ASSERT_TRUE(set(target("demo.io", "widgets", "w"), "status.seen", 4));
  ASSERT_TRUE(set(target("demo.io", "widgets", "w"), "spec.count", 2));
  widget = now(target("demo.io", "widgets", "w"));
  EXPECT_EQ(json::find_int(widget, "status.seen"), 3);
  EXPECT_EQ(json::find_int(widget, "metadata.generation"), 2);
  // Custom resources insist on a resourceVersion in PUT.
  child(widget.get_object(), "metadata").erase("resourceVersion");
  EXPECT_EQ(engine_->update(target("demo.io", "widgets", "w"), widget, {}).error().code, 422);
}

TEST_F(EngineTest, ServesEveryVersionOfAStoredObject) {
  add_widgets();
  Target alpha = target("demo.io", "widgets");
  alpha.version = alpha.definition->version("v1alpha1");
  ASSERT_TRUE(alpha.version);
  auto made = engine_->create(
      alpha, parse(R"({"apiVersion":"demo.io/v1alpha1","metadata":{"name":"w"},"spec":{"x":1}})"),
      {});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(json::find_string(made->object->value, "apiVersion"), "demo.io/v1");
  const auto shown = ObjectEngine::in_version(*alpha.definition, *alpha.version, *made->object);
  EXPECT_EQ(json::find_string(shown, "apiVersion"), "demo.io/v1alpha1");
  EXPECT_EQ(engine_
                ->create(target("demo.io", "widgets"),
                         parse(R"({"apiVersion":"demo.io/v1alpha1","metadata":{"name":"v"}})"), {})
                .error()
                .code,
            400);
}

TEST_F(EngineTest, KeepsDeletedObjectsUntilFinalizersAreGone) {
  create("", "configmaps", R"({"metadata":{"name":"a","finalizers":["kaito.sh/x"]}})");
  const Target which = target("", "configmaps", "a");
  auto outcome = engine_->remove(which, {});
  ASSERT_TRUE(outcome);
  EXPECT_FALSE(outcome->removed);
  EXPECT_TRUE(is_deleting(now(which)));
  const auto revision = store_->revision();
  ASSERT_TRUE(engine_->remove(which, {}));
  EXPECT_EQ(store_->revision(), revision);
  EXPECT_EQ(set(which, "metadata.finalizers", json::Array{"kaito.sh/x", "kaito.sh/y"}).error().code,
            422);
  ASSERT_TRUE(set(which, "metadata.finalizers", json::Array{}));
  EXPECT_EQ(engine_->get(which).error().code, 404);
}

TEST_F(EngineTest, PropagationSetsTheFinalizersOfTheGarbageCollector) {
  for (const auto& [propagation, finalizer] :
       {std::pair(Propagation::Foreground, "foregroundDeletion"),
        std::pair(Propagation::Orphan, "orphan")}) {
    create("", "configmaps", R"({"metadata":{"name":"a"}})");
    const Target which = target("", "configmaps", "a");
    ASSERT_TRUE(engine_->remove(which, {.propagation = propagation}));
    const auto map = now(which);
    ASSERT_TRUE(json::find_array(map, "metadata.finalizers"));
    EXPECT_EQ(json::find_array(map, "metadata.finalizers")->at(0), json::Value(finalizer));
    ASSERT_TRUE(set(which, "metadata.finalizers", json::Array{}));
    EXPECT_FALSE(engine_->get(which));
  }
}

TEST_F(EngineTest, ChecksPreconditionsOfDeletes) {
  const auto map = create("", "configmaps", R"({"metadata":{"name":"a"}})");
  const Target which = target("", "configmaps", "a");
  EXPECT_EQ(engine_->remove(which, {.uid = "other"}).error().reason, "Conflict");
  EXPECT_EQ(engine_->remove(which, {.resource_version = "1"}).error().reason, "Conflict");
  EXPECT_TRUE(engine_->remove(
      which, {.uid = std::string(json::find_string(map, "metadata.uid")), .dry_run = true}));
  EXPECT_TRUE(engine_->get(which));
  EXPECT_TRUE(engine_->remove(which, {.uid = std::string(json::find_string(map, "metadata.uid"))}));
  EXPECT_FALSE(engine_->get(which));
}

TEST_F(EngineTest, GivesRunningPodsTheirGrace) {
  const char* pod = R"({"metadata":{"name":"p"},"spec":{"terminationGracePeriodSeconds":7,
    "nodeName":"n","containers":[{"name":"c","image":"i"}]}})";
  create("", "pods", pod);
  const Target which = target("", "pods", "p");
  ASSERT_TRUE(engine_->remove(which, {}));
  EXPECT_EQ(json::find_string(now(which), "metadata.deletionTimestamp"), "2026-01-01T00:00:07Z");
  EXPECT_EQ(json::find_int(now(which), "metadata.deletionGracePeriodSeconds"), 7);
  ASSERT_TRUE(engine_->remove(which, {.grace_seconds = 2}));
  EXPECT_EQ(json::find_int(now(which), "metadata.deletionGracePeriodSeconds"), 2);
  ASSERT_TRUE(engine_->remove(which, {.grace_seconds = 0}));
  EXPECT_FALSE(engine_->get(which));
  // Nothing runs yet: gone at once.
  create("", "pods",
         R"({"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  ASSERT_TRUE(engine_->remove(which, {}));
  EXPECT_FALSE(engine_->get(which));
}

TEST_F(EngineTest, FillsPodDefaultsAndProtectsTheSpec) {
  const auto pod = create("", "pods", R"({"metadata":{"name":"p"},"spec":{"custom":{"kept":1},
    "containers":[{"name":"c","image":"i:1","readinessProbe":{"httpGet":{"port":80}},"args":[],
    "resources":{"limits":{"cpu":2,"memory":"1Gi"},"requests":{"memory":"1Mi"}}}]}})");
  EXPECT_EQ(json::find_string(pod, "spec.restartPolicy"), "Always");
  EXPECT_EQ(json::find_int(pod, "spec.terminationGracePeriodSeconds"), 30);
  EXPECT_EQ(json::find_int(pod, "spec.custom.kept"), 1);
  EXPECT_EQ(json::find_string(pod, "status.phase"), "Pending");
  const auto& container = json::find_array(pod, "spec.containers")->at(0);
  EXPECT_EQ(json::find_string(container, "imagePullPolicy"), "IfNotPresent");
  EXPECT_EQ(json::find_int(container, "readinessProbe.periodSeconds"), 10);
  EXPECT_FALSE(json::find(container, "args"));
  EXPECT_EQ(json::dump_canonical(*json::find(container, "resources.requests")),
            R"({"cpu":"2","memory":"1Mi"})");
  EXPECT_EQ(json::find_string(container, "readinessProbe.httpGet.path"), "/");
  const Target which = target("", "pods", "p");
  EXPECT_EQ(set(which, "spec.restartPolicy", "Never").error().code, 422);
  EXPECT_TRUE(set(which, "metadata.labels", json::Object{{"a", "b"}}));
  EXPECT_TRUE(set(target("", "pods", "p", "status"), "status.phase", "Running"));
}

TEST_F(EngineTest, TellsAboutUnknownFieldsOfBuiltInTypesButKeepsThem) {
  const char* body =
      R"({"metadata":{"name":"p"},"spec":{"bogus":1,"containers":[{"name":"c","image":"i"}]}})";
  const auto made = try_create("", "pods", body);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->warnings, std::vector<std::string>{"unknown field \"spec.bogus\""});
  EXPECT_EQ(json::find_int(made->object->value, "spec.bogus"), 1);
  const auto strict = try_create("", "pods", body, {.field_validation = FieldValidation::Strict});
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code, 400);
  const auto typed = try_create(
      "", "pods", R"({"metadata":{"name":"t"},"spec":{"containers":[{"name":"c","image":1}]}})");
  ASSERT_FALSE(typed);
  EXPECT_EQ(typed.error().code, 422);
}

TEST_F(EngineTest, GivesServicesStableAddresses) {
  const char* body = R"({"metadata":{"name":"web"},"spec":{"ports":[{"port":80}]}})";
  const auto first = create("", "services", body);
  const std::string address(json::find_string(first, "spec.clusterIP"));
  EXPECT_TRUE(address.starts_with("127."));
  EXPECT_EQ(json::find_array(first, "spec.clusterIPs")->at(0), json::Value(address));
  EXPECT_EQ(*json::find(json::find_array(first, "spec.ports")->at(0), "targetPort"),
            json::Value(80));
  const Target which = target("", "services", "web");
  EXPECT_EQ(set(which, "spec.clusterIP", "127.64.0.9").error().code, 422);
  EXPECT_TRUE(set(which, "spec.clusterIP", nullptr)) << "leaving it out keeps it";
  EXPECT_EQ(try_create("", "services",
                       R"({"metadata":{"name":"b"},"spec":{"clusterIP":")" + address +
                           R"(","ports":[{"port":1}]}})")
                .error()
                .code,
            422);
  ASSERT_TRUE(engine_->remove(which, {}));
  EXPECT_EQ(json::find_string(create("", "services", body), "spec.clusterIP"), address);
  const auto headless =
      create("", "services",
             R"({"metadata":{"name":"h"},"spec":{"clusterIP":"None","ports":[{"port":1}]}})");
  EXPECT_EQ(json::find_string(headless, "spec.clusterIP"), "None");
}

TEST_F(EngineTest, NamespacesWaitForTheirController) {
  create("", "namespaces", R"({"metadata":{"name":"x"}})");
  ASSERT_TRUE(engine_->remove(target("", "namespaces", "x"), {}));
  EXPECT_EQ(json::find_string(now(target("", "namespaces", "x")), "status.phase"), "Terminating");
  Target inside = target("", "configmaps");
  inside.ns = "x";
  EXPECT_EQ(engine_->create(inside, parse(R"({"metadata":{"name":"a"}})"), {}).error().code, 403);
  ASSERT_TRUE(set(target("", "namespaces", "x", "finalize"), "spec.finalizers", json::Array{}));
  EXPECT_FALSE(engine_->get(target("", "namespaces", "x")));
  EXPECT_EQ(engine_->remove(target("", "namespaces", "default"), {}).error().code, 403);
}

TEST_F(EngineTest, DeletingADefinitionDeletesItsObjects) {
  add_widgets();
  const auto crd =
      now(target("apiextensions.k8s.io", "customresourcedefinitions", "widgets.demo.io"));
  EXPECT_EQ(json::find_string(crd, "status.acceptedNames.singular"), "widget");
  create("demo.io", "widgets", R"({"metadata":{"name":"a"}})");
  create("demo.io", "widgets", R"({"metadata":{"name":"b","finalizers":["demo.io/hold"]}})");
  const Target held = target("demo.io", "widgets", "b");
  ASSERT_TRUE(engine_->remove(
      target("apiextensions.k8s.io", "customresourcedefinitions", "widgets.demo.io"), {}));
  EXPECT_EQ(store_->count("demo.io/widgets"), 1U);
  EXPECT_EQ(try_create("demo.io", "widgets", R"({"metadata":{"name":"c"}})").error().code, 405);
  ASSERT_TRUE(set(held, "metadata.finalizers", json::Array{}));
  EXPECT_EQ(store_->count(kCrdStorageKey), 0U);
  EXPECT_FALSE(registry_.catalog()->find("demo.io", "widgets"));
}

TEST_F(EngineTest, RefusesBrokenDefinitions) {
  const auto refused = [&](std::string_view body) {
    return try_create("apiextensions.k8s.io", "customresourcedefinitions", body).error().code;
  };
  EXPECT_EQ(refused(R"({"metadata":{"name":"wrong"},"spec":{"group":"a.b","scope":"Cluster",
    "names":{"plural":"xs","kind":"X"},"versions":[{"name":"v1","served":true,"storage":true,
    "schema":{"openAPIV3Schema":{"type":"object"}}}]}})"),
            422);
  EXPECT_EQ(refused(R"({"metadata":{"name":"xs.a.b"},"spec":{"group":"a.b","scope":"Cluster",
    "names":{"plural":"xs","kind":"X"},"versions":[]}})"),
            422);
  EXPECT_EQ(refused(R"({"metadata":{"name":"xs.a.b"},"spec":{"group":"a.b","scope":"Cluster",
    "names":{"plural":"xs","kind":"X"},"versions":[{"name":"v1","served":true,"storage":true}]}})"),
            422);
}

TEST_F(EngineTest, AsksAdmissionAboutEveryWrite) {
  std::vector<Operation> seen;
  admission_.push_back({"", "configmaps", AdmissionPhase::Mutate, [](const AdmissionRequest& r) {
                          AdmissionResult result;
                          result.object = *r.object;
                          child(result.object->get_object(), "data")["added"] = "yes";
                          result.warnings = {"look out"};
                          return result;
                        }});
  admission_.push_back({"", "configmaps", AdmissionPhase::Validate, [&](const AdmissionRequest& r) {
                          seen.push_back(r.operation);
                          AdmissionResult result;
                          if (r.name == "no") {
                            result.allowed = false;
                            result.code = 422;
                            result.causes = {invalid_field("data.x", "bad"),
                                             required_field("data.y")};
                          }
                          return result;
                        }});
  auto made = try_create("", "configmaps", R"({"metadata":{"name":"a"}})");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->warnings, std::vector<std::string>{"look out"});
  EXPECT_EQ(json::find_string(made->object->value, "data.added"), "yes");
  const auto refused = try_create("", "configmaps", R"({"metadata":{"name":"no"}})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, 422);
  EXPECT_EQ(refused.error().message,
            "ConfigMap \"no\" is invalid: [data.x: Invalid value: bad, data.y: Required value]");
  ASSERT_TRUE(set(target("", "configmaps", "a"), "data.k", "v"));
  ASSERT_TRUE(engine_->remove(target("", "configmaps", "a"), {}));
  EXPECT_EQ(seen, (std::vector{Operation::Create, Operation::Create, Operation::Update,
                               Operation::Delete}));
}

TEST_F(EngineTest, EventsGoAnHourAfterTheyWereLastSeen) {
  create(
      "", "events",
      R"({"metadata":{"name":"old"},"involvedObject":{},"lastTimestamp":"2026-01-01T00:00:00Z"})");
  create(
      "", "events",
      R"({"metadata":{"name":"new"},"involvedObject":{},"lastTimestamp":"2026-01-01T00:30:00Z"})");
  clock_.advance(std::chrono::minutes(59));
  EXPECT_EQ(expire_events(*store_, clock_.now()), 0U);
  clock_.advance(std::chrono::minutes(2));
  EXPECT_EQ(expire_events(*store_, clock_.now()), 1U);
  EXPECT_TRUE(engine_->get(target("", "events", "new")));
}

TEST_F(EngineTest, ConcurrentEditsAllLand) {
  create("", "configmaps", R"({"metadata":{"name":"a"},"data":{}})");
  const Target which = target("", "configmaps", "a");
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i)
        EXPECT_TRUE(set(which, "data.k" + std::to_string(t * 10 + i), "v"));
    });
  }
  threads.clear();
  EXPECT_EQ(json::find_object(now(which), "data")->size(), 40U);
}

}  // namespace
}  // namespace apiserver

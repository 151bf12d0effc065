#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "api/apps.h"
#include "api/core/config.h"
#include "api/core/event.h"
#include "api/core/namespace.h"
#include "api/core/node.h"
#include "base/random.h"
#include "kube/cache/informer.h"
#include "kube/rest/client.h"
#include "kube/runtime/events.h"
#include "server_under_test.h"

namespace {

using api::ConfigMap;
using base::ErrorCode;
using base::Status;
using kube::PatchType;
using testing::HasSubstr;
using testing::SizeIs;
using namespace std::chrono_literals;

base::Context context() { return base::Context().with_timeout(30s); }

class Kube : public testing::Test {
 protected:
  void SetUp() override {
    client = kube::Client::create(conformance::server_under_test()).value();
    api::Namespace wanted;
    wanted.metadata.name = ns;
    const auto made = kube::create(context(), *client, wanted);
    ASSERT_TRUE(made) << made.error().message();
  }
  void TearDown() override {
    if (client) (void)kube::remove<api::Namespace>(context(), *client, {"", ns});
  }

  ConfigMap config_map(std::string name, std::map<std::string, std::string> data = {}) const {
    ConfigMap map;
    map.metadata.ns = ns;
    map.metadata.name = std::move(name);
    map.metadata.labels["suite"] = ns;
    map.data = std::move(data);
    return map;
  }
  ConfigMap created(std::string name, std::map<std::string, std::string> data = {}) const {
    auto made = kube::create(context(), *client, config_map(std::move(name), std::move(data)));
    EXPECT_TRUE(made) << made.error().message();
    return made.value_or(ConfigMap{});
  }
  api::ObjectKey key(std::string name) const { return {ns, std::move(name)}; }
  base::Result<json::Value> patch(std::string name, PatchType type, std::string_view body,
                                  kube::WriteOptions options = {}) const {
    return client->patch(context(), ConfigMap::kType, key(std::move(name)), type,
                         json::parse(body).value(), options);
  }
  template <class Done>
  static bool eventually(Done done) {
    for (const auto limit = std::chrono::steady_clock::now() + 20s; !done();) {
      if (std::chrono::steady_clock::now() > limit) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }

  const std::string ns = "conformance-" + base::random_name_suffix(6);
  std::unique_ptr<kube::Client> client;
};

TEST_F(Kube, CreatesGetsListsAndDeletes) {
  const ConfigMap made = created("a", {{"k", "v"}});
  EXPECT_FALSE(made.metadata.uid.empty());
  EXPECT_FALSE(made.metadata.resource_version.empty());
  EXPECT_FALSE(made.metadata.creation_timestamp.empty());
  const auto read = kube::get<ConfigMap>(context(), *client, key("a"));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->data.at("k"), "v");
  EXPECT_EQ(kube::create(context(), *client, config_map("a")).error().code(),
            ErrorCode::AlreadyExists);
  ASSERT_TRUE(kube::remove<ConfigMap>(context(), *client, key("a")));
  const auto gone = kube::get<ConfigMap>(context(), *client, key("a"));
  EXPECT_EQ(gone.error().code(), ErrorCode::NotFound);
  EXPECT_EQ(gone.error().http_status(), 404);
  EXPECT_EQ(gone.error().message(), "configmaps \"a\" not found");
  EXPECT_EQ(kube::remove<ConfigMap>(context(), *client, key("a")).error().code(),
            ErrorCode::NotFound);
}

TEST_F(Kube, MakesNamesFromAPrefix) {
  ConfigMap map = config_map("");
  map.metadata.generate_name = "pre-";
  const auto made = kube::create(context(), *client, map);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_THAT(made->metadata.name, testing::MatchesRegex("pre-[a-z0-9]{5}"));
}

TEST_F(Kube, RefusesInvalidObjectsWithTheirField) {
  const auto bad = kube::create(context(), *client, config_map("Not_A_Name"));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code(), ErrorCode::Invalid);
  EXPECT_EQ(bad.error().http_status(), 422);
  EXPECT_THAT(bad.error().message(), HasSubstr("metadata.name"));
}

TEST_F(Kube, JudgesTheVersionOfAnUpdateBeforeItsContent) {
  created("a");
  json::Value document = client->get(context(), ConfigMap::kType, key("a")).value();
  ASSERT_TRUE(patch("a", PatchType::Merge, R"({"data":{"k":"2"}})"));
  document.as_object()["metadata"].as_object()["labels"] = json::Object{{"l", "-bad-"}};
  const auto stale = client->update(context(), ConfigMap::kType, key("a"), document);
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().http_status(), 409) << stale.error().message();
  const std::string version(json::find_string(document, "metadata.resourceVersion"));
  const auto patched =
      patch("a", PatchType::Merge,
            fmt::format(R"({{"metadata":{{"resourceVersion":"{}","labels":{{"l":"-bad-"}}}}}})",
                        version));
  ASSERT_FALSE(patched);
  EXPECT_EQ(patched.error().http_status(), 409) << patched.error().message();
  // A new object is judged before its name is looked up.
  document.as_object()["metadata"].as_object().erase("resourceVersion");
  const auto again = client->create(context(), ConfigMap::kType, document);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().http_status(), 422) << again.error().message();
}

TEST_F(Kube, FillsAndEmptiesBuiltInTypesAlike) {
  const auto set = client->create(context(), api::StatefulSet::kType,
                                  json::parse(fmt::format(R"({{
    "apiVersion": "apps/v1", "kind": "StatefulSet",
    "metadata": {{"name": "s", "namespace": "{}", "labels": {{}}, "annotations": {{}}}},
    "spec": {{"serviceName": "s", "selector": {{"matchLabels": {{"a": "b"}}}}, "template": {{
      "metadata": {{"labels": {{"a": "b"}}, "annotations": {{}}, "creationTimestamp": null}},
      "spec": {{"nodeSelector": {{}}, "tolerations": [], "volumes": [{{"name": "v", "emptyDir": {{}}}}],
        "securityContext": {{}}, "containers": [{{"name": "c", "image": "x:1", "args": [], "env": [],
        "resources": {{"limits": {{"cpu": "1", "memory": "1Gi"}}, "requests": {{"memory": "1Mi"}}}}
      }}]}}}}}}}})",
                                                          ns))
                                      .value());
  ASSERT_TRUE(set) << set.error().message();
  EXPECT_FALSE(json::find(*set, "metadata.labels"));
  EXPECT_FALSE(json::find(*set, "metadata.annotations"));
  // Limits become requests in pods, not in their templates.
  EXPECT_EQ(json::dump_canonical(*json::find(*set, "spec.template")),
            json::dump_canonical(json::parse(R"({"metadata": {"labels": {"a": "b"}}, "spec": {
    "containers": [{"image": "x:1", "imagePullPolicy": "IfNotPresent", "name": "c",
      "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"memory": "1Mi"}},
      "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
    "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
    "securityContext": {}, "terminationGracePeriodSeconds": 30,
    "volumes": [{"emptyDir": {}, "name": "v"}]}})")
                                     .value()));
  ConfigMap map = config_map("empty");
  map.metadata.labels = {};
  json::Value document = json::encode(map);
  document.as_object()["data"] = json::Object{};
  const auto made = client->create(context(), ConfigMap::kType, document);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_FALSE(json::find(*made, "data"));
}

TEST_F(Kube, GuardsUpdatesByVersion) {
  const ConfigMap made = created("a", {{"k", "1"}});
  json::Value document = client->get(context(), ConfigMap::kType, key("a")).value();
  document.as_object()["data"] = json::Object{{"k", "2"}};
  ASSERT_TRUE(client->update(context(), ConfigMap::kType, key("a"), document));
  const auto stale = client->update(context(), ConfigMap::kType, key("a"), document);
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code(), ErrorCode::Conflict);
}

TEST_F(Kube, PatchesInAllFourWays) {
  created("a", {{"x", "1"}, {"y", "1"}});
  auto result = patch("a", PatchType::Merge, R"({"data":{"x":null,"z":"3"}})");
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(json::dump_canonical(*json::find(*result, "data")), R"({"y":"1","z":"3"})");
  result = patch("a", PatchType::Json, R"([{"op":"test","path":"/data/y","value":"1"},
                                           {"op":"replace","path":"/data/y","value":"2"}])");
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(json::find_string(*result, "data.y"), "2");
  EXPECT_FALSE(patch("a", PatchType::Json, R"([{"op":"test","path":"/data/y","value":"9"}])"));
  result = patch("a", PatchType::StrategicMerge, R"({"metadata":{"labels":{"l":"m"}}})");
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(json::find_string(*result, "metadata.labels.l"), "m");
}

TEST_F(Kube, AppliesWithOwnersOfFields) {
  const auto apply = [&](std::string_view manager, std::string_view data, bool force) {
    kube::WriteOptions options;
    options.field_manager = manager;
    options.force = force;
    return patch(
        "a", PatchType::Apply,
        fmt::format(
            R"({{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{}}})",
            data),
        options);
  };
  ASSERT_TRUE(apply("one", R"({"x":"1","y":"1"})", false)) << "apply creates";
  const auto other = apply("two", R"({"x":"2"})", false);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), ErrorCode::Conflict);
  EXPECT_THAT(other.error().message(), HasSubstr("one"));
  ASSERT_TRUE(apply("two", R"({"x":"2"})", true));
  const auto dropped = apply("one", R"({"x":"2"})", false);
  ASSERT_TRUE(dropped) << dropped.error().message();
  EXPECT_EQ(json::dump_canonical(*json::find(*dropped, "data")), R"({"x":"2"})")
      << "a field its only owner no longer names goes away";
  const auto version = [&] {
    return std::string(json::find_string(client->get(context(), ConfigMap::kType, key("a")).value(),
                                         "metadata.resourceVersion"));
  };
  const std::string before = version();
  ASSERT_TRUE(apply("one", R"({"x":"2"})", false));
  EXPECT_EQ(version(), before) << "applying the same changes nothing";
}

TEST_F(Kube, DeletesOnlyWhatThePreconditionsName) {
  const ConfigMap made = created("a");
  kube::DeleteOptions options;
  options.uid = "00000000-0000-4000-8000-000000000000";
  EXPECT_EQ(kube::remove<ConfigMap>(context(), *client, key("a"), options).error().code(),
            ErrorCode::Conflict);
  options.uid = made.metadata.uid;
  EXPECT_TRUE(kube::remove<ConfigMap>(context(), *client, key("a"), options));
}

TEST_F(Kube, KeepsAnObjectUntilItsFinalizersAreGone) {
  ConfigMap map = config_map("a");
  map.metadata.finalizers = {"test.io/hold"};
  ASSERT_TRUE(kube::create(context(), *client, map));
  ASSERT_TRUE(kube::remove<ConfigMap>(context(), *client, key("a")));
  const auto held = kube::get<ConfigMap>(context(), *client, key("a"));
  ASSERT_TRUE(held);
  EXPECT_TRUE(held->metadata.deleting());
  ASSERT_TRUE(patch("a", PatchType::Merge, R"({"metadata":{"finalizers":null}})"));
  EXPECT_EQ(kube::get<ConfigMap>(context(), *client, key("a")).error().code(), ErrorCode::NotFound);
}

TEST_F(Kube, ListsInPagesAndBySelector) {
  for (int i = 0; i < 5; ++i) created(fmt::format("m{}", i));
  kube::ListOptions options;
  options.ns = ns;
  options.label_selector = "suite=" + ns;
  options.limit = 2;
  std::vector<std::string> names;
  std::size_t pages = 0;
  do {
    const auto page = client->list(context(), ConfigMap::kType, options);
    ASSERT_TRUE(page) << page.error().message();
    EXPECT_LE(page->items.size(), 2U);
    EXPECT_FALSE(page->resource_version.empty());
    for (const auto& item : page->items)
      names.emplace_back(json::find_string(item, "metadata.name"));
    options.continue_token = page->continue_token;
    ++pages;
  } while (!options.continue_token.empty());
  EXPECT_THAT(names, testing::ElementsAre("m0", "m1", "m2", "m3", "m4"));
  EXPECT_EQ(pages, 3U);

  kube::ListOptions by_field;
  by_field.ns = ns;
  by_field.field_selector = "metadata.name=m3";
  EXPECT_THAT(kube::list<ConfigMap>(context(), *client, by_field).value(), SizeIs(1));
  kube::ListOptions none;
  none.ns = ns;
  none.label_selector = "suite!=" + ns + ",suite";
  EXPECT_THAT(kube::list<ConfigMap>(context(), *client, none).value(), SizeIs(0));
}

TEST_F(Kube, WatchesFromAVersion) {
  created("before");
  kube::ListOptions list_options;
  list_options.ns = ns;
  const auto listed = client->list(context(), ConfigMap::kType, list_options).value();
  created("a", {{"k", "1"}});
  ASSERT_TRUE(patch("a", PatchType::Merge, R"({"data":{"k":"2"}})"));
  ASSERT_TRUE(kube::remove<ConfigMap>(context(), *client, key("a")));

  std::vector<std::string> seen;
  kube::WatchOptions options;
  options.ns = ns;
  options.label_selector = "suite=" + ns;
  options.resource_version = listed.resource_version;
  options.timeout = 5s;
  const Status status =
      client->watch(context(), ConfigMap::kType, options, [&](kube::WatchEvent event) -> Status {
        seen.push_back(fmt::format("{} {}", static_cast<int>(event.type),
                                   json::find_string(event.object, "data.k")));
        if (seen.size() == 3) return base::Error(ErrorCode::Cancelled, "enough");
        return {};
      });
  EXPECT_EQ(status.error().message(), "enough");
  EXPECT_THAT(seen, testing::ElementsAre("0 1", "1 2", "2 2"));
}

TEST_F(Kube, EndsAWatchAfterItsTime) {
  kube::WatchOptions options;
  options.ns = ns;
  options.timeout = 1s;
  const auto start = std::chrono::steady_clock::now();
  const Status status = client->watch(context(), ConfigMap::kType, options,
                                      [](kube::WatchEvent) -> Status { return {}; });
  EXPECT_TRUE(status) << status.error().message();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST_F(Kube, AnObjectThatLeavesTheSelectionIsDeletedForItsWatcher) {
  kube::Informer<ConfigMap>::Options options;
  options.ns = ns;
  options.label_selector = "suite=" + ns;
  kube::Informer<ConfigMap> informer(*client, options);
  informer.start(base::Context());
  ASSERT_TRUE(informer.wait_synced(context()));
  created("a");
  EXPECT_TRUE(eventually([&] { return informer.get(key("a")) != nullptr; }));
  ASSERT_TRUE(patch("a", PatchType::Merge, R"({"metadata":{"labels":{"suite":null}}})"));
  EXPECT_TRUE(eventually([&] { return informer.get(key("a")) == nullptr; }));
}

TEST_F(Kube, AnInformerSurvivesARestartOfTheServer) {
  created("a");
  created("b");
  kube::Informer<ConfigMap>::Options options;
  options.ns = ns;
  options.label_selector = "suite=" + ns;
  kube::Informer<ConfigMap> informer(*client, options);
  informer.start(base::Context());
  ASSERT_TRUE(informer.wait_synced(context()));
  if (!conformance::restart_server()) GTEST_SKIP() << "KAITO_TEST_RESTART_COMMAND is not set";
  // The first request may still meet a server that starts.
  ASSERT_TRUE(
      eventually([&] { return kube::create(context(), *client, config_map("c")).has_value(); }));
  ASSERT_TRUE(kube::remove<ConfigMap>(context(), *client, key("b")));
  EXPECT_TRUE(eventually(
      [&] { return informer.get(key("a")) && !informer.get(key("b")) && informer.get(key("c")); }));
}

TEST_F(Kube, WritesStatusThroughItsSubresourceOnly) {
  api::Node node;
  node.metadata.name = ns;
  node.spec.provider_id = "test://" + ns;
  ASSERT_TRUE(kube::create(context(), *client, node));
  const auto status = json::parse(R"({"capacity":{"cpu":"2","memory":"4Gi","test.io/gpu":"1"},
      "allocatable":{"cpu":"2"},
      "conditions":[{"type":"Ready","status":"True","reason":"Test","message":"m",
                     "lastHeartbeatTime":"2026-11-24T18:00:00Z","lastTransitionTime":"2026-11-24T18:00:00Z"}]})");
  const auto patched = kube::patch_status<api::Node>(context(), *client, {"", ns}, *status);
  ASSERT_TRUE(patched) << patched.error().message();
  EXPECT_EQ(patched->status.capacity.at("test.io/gpu").text, "1");
  const auto ignored = client->patch(
      context(), api::Node::kType, {"", ns}, PatchType::Merge,
      json::parse(R"({"metadata":{"labels":{"a":"b"}},"status":{"phase":"no"}})").value());
  ASSERT_TRUE(ignored) << ignored.error().message();
  EXPECT_EQ(json::find_string(*ignored, "metadata.labels.a"), "b");
  EXPECT_TRUE(kube::remove<api::Node>(context(), *client, {"", ns}));
}

TEST_F(Kube, RecordsAndCountsEvents) {
  const ConfigMap made = created("a");
  {
    const auto events = kube::EventRecorder::create(base::Context(), *client, "conformance");
    for (int i = 0; i < 3; ++i) {
      events->record(kube::ObjectReference::of(made), kube::EventType::Warning, "Tested",
                     "it was tested");
    }
  }
  kube::ListOptions options;
  options.ns = ns;
  options.field_selector = "involvedObject.name=a,involvedObject.uid=" + made.metadata.uid;
  const auto events = kube::list<api::Event>(context(), *client, options);
  ASSERT_TRUE(events) << events.error().message();
  ASSERT_THAT(*events, SizeIs(1));
  EXPECT_EQ(events->front().count, 3);
  EXPECT_EQ(events->front().reason, "Tested");
  EXPECT_EQ(events->front().type, "Warning");
}

TEST_F(Kube, AnswersUnknownPathsAndRawOnes) {
  std::string version;
  ASSERT_TRUE(client->get_raw(context(), "/version", [&](std::string_view bytes) -> Status {
    version.append(bytes);
    return {};
  }));
  EXPECT_THAT(version, HasSubstr("gitVersion"));
  constexpr api::ResourceType kNothing{"nothing.io", "v1", "nothings", "Nothing", true};
  EXPECT_EQ(client->list(context(), kNothing, {}).error().code(), ErrorCode::NotFound);
}

}  // namespace

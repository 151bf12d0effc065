#include "apiserver/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/random.h"
#include "json/value.h"
#include "net/http_client.h"

/// The server as its clients see it: over HTTP.
namespace apiserver {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";
constexpr const char* kTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

class FakeLogs final : public PodLogs {
 public:
  base::Status stream(const base::Context& ctx, const PodLogRequest& request,
                      const Sink& sink) override {
    if (request.previous)
      return base::Error(base::ErrorCode::NotFound, "previous terminated container not found");
    TRY(sink("one " + request.container + "\n"));
    while (request.follow) {
      TRY(sink(""));
      TRY(ctx.sleep(10ms));
      followed = true;
    }
    return {};
  }
  std::atomic<bool> followed{false};
};

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/apiserver-http-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    start();
    client_ = *net::HttpClient::create({});
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  void start(std::size_t history = 10'000) {
    server_.reset();
    Server::Options options{.data_dir = folder_};
    options.tokens = {{"secret", "admin"}};
    options.pod_logs = &logs_;
    options.watch_history_events = history;
    options.admission = {{"", "secrets", AdmissionPhase::Validate, [](const AdmissionRequest& r) {
                            AdmissionResult result;
                            result.warnings = {"seen"};
                            result.allowed = r.name != "no";
                            result.code = r.operation == Operation::Create ? 422 : 403;
                            result.message = "not here";
                            if (!result.allowed)
                              result.causes = {invalid_field("data.a", "bad"),
                                               required_field("data.b")};
                            return result;
                          }}};
    auto server = Server::create(std::move(options));
    ASSERT_TRUE(server) << server.error().message();
    server_ = *std::move(server);
  }

  struct Reply {
    int status = 0;
    std::string text;
    net::HttpHeaders headers;
    json::Value body;
    std::string_view reason() const { return json::find_string(body, "reason"); }
  };
  Reply call(std::string method, std::string path, std::string body = {},
             std::string type = "application/json", std::string accept = {}) {
    net::HttpClientRequest request;
    request.method = std::move(method);
    request.url = server_->url() + path;
    request.body = std::move(body);
    request.headers.add("Authorization", "Bearer " + token_);
    request.headers.add("Content-Type", std::move(type));
    if (!accept.empty()) request.headers.add("Accept", std::move(accept));
    auto response = client_->send(base::Context().with_timeout(10s), request);
    EXPECT_TRUE(response) << response.error().message();
    if (!response) return {};
    Reply reply{response->status, response->body, response->headers, nullptr};
    if (auto value = json::parse(response->body)) reply.body = *std::move(value);
    return reply;
  }
  Reply get(std::string path, std::string accept = {}) {
    return call("GET", std::move(path), {}, "application/json", std::move(accept));
  }
  Reply post(std::string path, std::string body) {
    return call("POST", std::move(path), std::move(body));
  }
  /// Lines of a watch until `count` came or it ended.
  std::vector<json::Value> watch(std::string path, std::size_t count,
                                 const std::function<void()>& meanwhile = {},
                                 std::string accept = {}) {
    std::vector<json::Value> events;
    std::string rest;
    std::jthread writer;
    net::HttpClientRequest request;
    request.url = server_->url() + path;
    request.headers.add("Authorization", "Bearer " + token_);
    if (!accept.empty()) request.headers.add("Accept", accept);
    net::HttpResponseSink sink;
    sink.on_head = [&](const net::HttpResponse& head) -> base::Status {
      EXPECT_EQ(head.status, 200);
      if (meanwhile) writer = std::jthread(meanwhile);
      return {};
    };
    sink.on_body = [&](std::string_view bytes) -> base::Status {
      rest += bytes;
      for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
        auto value = json::parse(rest.substr(0, end));
        EXPECT_TRUE(value) << rest;
        if (value) events.push_back(*value);
        rest.erase(0, end + 1);
      }
      if (events.size() < count) return {};
      return base::Error(base::ErrorCode::Cancelled, "enough");
    };
    (void)client_->stream(base::Context().with_timeout(10s), request, sink);
    return events;
  }
  void map(std::string name, std::string labels = "{}") {
    const auto reply = post(kMaps, R"({"metadata":{"name":")" + name + R"(","labels":)" + labels +
                                       R"(},"data":{"k":"v"}})");
    ASSERT_EQ(reply.status, 201) << reply.text;
  }

  std::filesystem::path folder_;
  FakeLogs logs_;
  std::string token_ = "secret";
  std::unique_ptr<Server> server_;
  std::unique_ptr<net::HttpClient> client_;
};

TEST_F(ServerTest, AsksForCredentials) {
  token_ = "wrong";
  EXPECT_EQ(get("/api").status, 401);
  EXPECT_EQ(get(kMaps).reason(), "Unauthorized");
  for (const char* open : {"/healthz", "/livez", "/readyz", "/version"})
    EXPECT_EQ(get(open).status, 200) << open;
}

TEST_F(ServerTest, AnswersWrongRequestsWithStatus) {
  EXPECT_EQ(get("/nothing").status, 404);
  EXPECT_EQ(get("/apis/no.such/v1").status, 404);
  EXPECT_EQ(get("/api/v1/namespaces/default/nosuch").status, 404);
  EXPECT_EQ(get(std::string(kMaps) + "/x").reason(), "NotFound");
  EXPECT_EQ(call("PUT", kMaps, "{}").status, 405);
  EXPECT_EQ(call("PATCH", kMaps, "{}", "application/merge-patch+json").status, 405);
  EXPECT_EQ(get(kMaps, "application/vnd.kubernetes.protobuf").status, 406);
  EXPECT_EQ(call("POST", kMaps, "{}", "text/plain").status, 415);
  EXPECT_EQ(post(kMaps, "{\"a\":").status, 400);
  EXPECT_EQ(post(kMaps, "{\"a\":\"\xff\"}").status, 400);
  EXPECT_EQ(post(kMaps, std::string(200, '[')).status, 400);
  EXPECT_EQ(post(kMaps, "{\"a\":\"" + std::string(4 << 20, 'x') + "\"}").status, 413);
  EXPECT_EQ(post("/api/v1/configmaps", "{}").status, 405);
  EXPECT_EQ(get(std::string(kMaps) + "?labelSelector=a+in").status, 400);
  EXPECT_EQ(get(std::string(kMaps) + "?resourceVersion=x").status, 400);
  EXPECT_EQ(get(std::string(kMaps) + "?resourceVersion=99999").status, 504);
  EXPECT_EQ(call("PATCH", std::string(kMaps) + "/x", "{}", "application/json").status, 415);
}

TEST_F(ServerTest, TellsWhatAdmissionSays) {
  const std::string secrets = "/api/v1/namespaces/default/secrets";
  const auto refused = post(secrets, R"({"metadata":{"name":"no"}})");
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(refused.reason(), "Invalid");
  EXPECT_EQ(json::find_array(refused.body, "details.causes")->size(), 2U);
  const auto made = post(secrets, R"({"metadata":{"name":"yes"},"stringData":{"a":"b"}})");
  EXPECT_EQ(made.status, 201) << made.text;
  EXPECT_EQ(made.headers.get_or("Warning", ""), "299 - \"seen\"");
  EXPECT_EQ(json::find_string(made.body, "data.a"), "Yg==");
}

TEST_F(ServerTest, ListsDiscoveryInBothForms) {
  EXPECT_THAT(get("/apis").text, HasSubstr("\"apps\""));
  EXPECT_THAT(get("/apis/apps/v1").text, HasSubstr("statefulsets/scale"));
  const auto aggregated =
      get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_EQ(json::find_string(aggregated.body, "kind"), "APIGroupDiscoveryList");
  EXPECT_THAT(std::string(aggregated.headers.get_or("Content-Type", "")),
              HasSubstr("as=APIGroupDiscoveryList"));
  EXPECT_EQ(get("/openapi/v3").status, 200);
  EXPECT_EQ(get("/openapi/v3/api/v1").status, 200);
  EXPECT_EQ(get("/openapi/v3/apis/no.such/v1").status, 404);
  EXPECT_EQ(get("/openapi/v2").status, 200);
}

TEST_F(ServerTest, ReadsYamlAndWritesIt) {
  const auto made =
      call("POST", kMaps, "metadata:\n  name: yam\ndata:\n  k: \"1\"\n", "application/yaml");
  EXPECT_EQ(made.status, 201) << made.text;
  EXPECT_THAT(get(std::string(kMaps) + "/yam", "application/yaml").text, HasSubstr("name: yam"));
  EXPECT_EQ(call("POST", kMaps, "a: [", "application/yaml").status, 400);
}

TEST_F(ServerTest, PagesThroughOneState) {
  for (const char* name : {"a", "b", "c", "d", "e"}) map(name);
  std::vector<std::string> names;
  std::string next;
  std::string version;
  do {
    const auto page = get(std::string(kMaps) + "?limit=2&continue=" + next);
    ASSERT_EQ(page.status, 200) << page.text;
    for (const auto& item : *json::find_array(page.body, "items"))
      names.emplace_back(json::find_string(item, "metadata.name"));
    next = json::find_string(page.body, "metadata.continue");
    if (version.empty()) {
      version = json::find_string(page.body, "metadata.resourceVersion");
      EXPECT_EQ(json::find_int(page.body, "metadata.remainingItemCount"), 3);
      map("bb");  // Not in the state that the list began with.
    }
    EXPECT_EQ(json::find_string(page.body, "metadata.resourceVersion"), version);
  } while (!next.empty());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(get(std::string(kMaps) + "?limit=2&continue=nonsense").status, 400);
}

TEST_F(ServerTest, SelectsByLabelsAndFields) {
  map("a", R"({"app":"x"})");
  map("b", R"({"app":"y"})");
  const auto names = [&](std::string query) {
    std::string out;
    const auto reply = get(kMaps + query);
    for (const auto& item : *json::find_array(reply.body, "items"))
      out += json::find_string(item, "metadata.name");
    return out;
  };
  EXPECT_EQ(names("?labelSelector=app%3Dx"), "a");
  EXPECT_EQ(names("?labelSelector=app+in+(x,y)"), "ab");
  EXPECT_EQ(names("?fieldSelector=metadata.name%3Db"), "b");
  EXPECT_EQ(names("?fieldSelector=metadata.name!%3Db"), "a");
  EXPECT_EQ(call("DELETE", std::string(kMaps) + "?labelSelector=app%3Dx").status, 200);
  EXPECT_EQ(names(""), "b");
}

TEST_F(ServerTest, ShowsTablesAndMetadata) {
  map("a");
  const auto table = get(kMaps, kTable);
  EXPECT_EQ(json::find_string(table.body, "kind"), "Table");
  EXPECT_EQ(json::find_array(table.body, "columnDefinitions")->size(), 3U);
  const auto& row = json::find_array(table.body, "rows")->at(0);
  EXPECT_EQ(json::find_array(row, "cells")->at(1), json::Value(1));
  const auto partial =
      get(kMaps, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
  EXPECT_EQ(json::find_string(partial.body, "kind"), "PartialObjectMetadataList");
  EXPECT_FALSE(json::find(json::find_array(partial.body, "items")->at(0), "data"));
}

TEST_F(ServerTest, WatchesFromARevision) {
  map("a");
  const std::string version(json::find_string(get(kMaps).body, "metadata.resourceVersion"));
  const auto events = watch(std::string(kMaps) + "?watch=1&resourceVersion=" + version, 3, [&] {
    map("b");
    call("PATCH", std::string(kMaps) + "/b", R"({"data":{"k":"2"}})",
         "application/merge-patch+json");
    call("DELETE", std::string(kMaps) + "/b");
  });
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(json::find_string(events[0], "type"), "ADDED");
  EXPECT_EQ(json::find_string(events[1], "type"), "MODIFIED");
  EXPECT_EQ(json::find_string(events[1], "object.data.k"), "2");
  EXPECT_EQ(json::find_string(events[2], "type"), "DELETED");
}

TEST_F(ServerTest, WatchWithSelectorSeesObjectsComeAndGo) {
  const auto label = [&](std::string value) {
    call("PATCH", std::string(kMaps) + "/a",
         R"({"metadata":{"labels":{"app":")" + value + R"("}}})", "application/merge-patch+json");
  };
  map("a");
  const auto events = watch(std::string(kMaps) + "?watch=true&labelSelector=app%3Dx", 3, [&] {
    label("x");
    label("y");
    label("x");
  });
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(json::find_string(events[0], "type"), "ADDED");
  EXPECT_EQ(json::find_string(events[1], "type"), "DELETED");
  EXPECT_EQ(json::find_string(events[1], "object.metadata.labels.app"), "x");
  EXPECT_EQ(json::find_string(events[2], "type"), "ADDED");
}

TEST_F(ServerTest, StreamsListsWithAnEndMark) {
  map("a");
  const auto events = watch(std::string(kMaps) +
                                "?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&"
                                "resourceVersionMatch=NotOlderThan&timeoutSeconds=5",
                            2);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(json::find_string(events[0], "type"), "ADDED");
  EXPECT_EQ(json::find_string(events[1], "type"), "BOOKMARK");
  const auto* notes = json::find_object(events[1], "object.metadata.annotations");
  ASSERT_TRUE(notes);
  EXPECT_TRUE(notes->contains("k8s.io/initial-events-end"));
}

TEST_F(ServerTest, TellsWatchesThatAreTooOld) {
  start(3);
  for (const char* name : {"a", "b", "c", "d", "e"}) map(name);
  const auto events = watch(std::string(kMaps) + "?watch=1&resourceVersion=2", 1);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(json::find_string(events[0], "type"), "ERROR");
  EXPECT_EQ(json::find_int(events[0], "object.code"), 410);
}

TEST_F(ServerTest, EndsWatchesAfterTheirTime) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(watch(std::string(kMaps) + "?watch=1&timeoutSeconds=1", 9).empty());
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST_F(ServerTest, WatchesAsTables) {
  map("a");
  const auto events = watch(std::string(kMaps) + "?watch=1", 2, [&] { map("b"); }, kTable);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(json::find_array(events[0], "object.columnDefinitions")->size(), 3U);
  EXPECT_EQ(json::find_array(events[1], "object.columnDefinitions"), nullptr);
  EXPECT_EQ(json::find_array(events[1], "object.rows")->size(), 1U);
}

TEST_F(ServerTest, KeepsObjectsOverARestart) {
  map("a");
  const auto before = get(std::string(kMaps) + "/a");
  start();
  EXPECT_EQ(get(std::string(kMaps) + "/a").text, before.text);
}

TEST_F(ServerTest, RefusesAFolderInUse) {
  // Within one process SQLite's locks would not conflict, so a child tries.
  const pid_t child = fork();
  if (child == 0) {
    auto second = Server::create({.data_dir = folder_});
    _exit(!second && second.error().code() == base::ErrorCode::AlreadyExists ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(ServerTest, ScalesAndBindsThroughSubresources) {
  const std::string sets = "/apis/apps/v1/namespaces/default/statefulsets";
  const auto made = post(sets, R"({"metadata":{"name":"s"},"spec":{"selector":{"matchLabels":
      {"a":"b"}},"serviceName":"s","template":{"metadata":{"labels":{"a":"b"}},"spec":
      {"containers":[{"name":"c","image":"i"}]}}}})");
  ASSERT_EQ(made.status, 201) << made.text;
  EXPECT_EQ(json::find_int(get(sets + "/s/scale").body, "spec.replicas"), 1);
  EXPECT_EQ(json::find_string(get(sets + "/s/scale").body, "status.selector"), "a=b");
  EXPECT_EQ(
      call("PATCH", sets + "/s/scale", R"({"spec":{"replicas":3}})", "application/merge-patch+json")
          .status,
      200);
  EXPECT_EQ(json::find_int(get(sets + "/s").body, "spec.replicas"), 3);
  EXPECT_EQ(get(sets + "/s/nosuch").status, 404);

  const std::string pods = "/api/v1/namespaces/default/pods";
  ASSERT_EQ(post(pods, R"({"metadata":{"name":"p"},"spec":{"containers":[
      {"name":"c","image":"i"}]}})")
                .status,
            201);
  EXPECT_EQ(post(pods + "/p/binding", R"({"target":{"name":"n1"}})").status, 201);
  EXPECT_EQ(post(pods + "/p/binding", R"({"target":{"name":"n2"}})").status, 409);
  EXPECT_EQ(json::find_string(get(pods + "/p").body, "spec.nodeName"), "n1");
}

TEST_F(ServerTest, HandsOutLogs) {
  const std::string pods = "/api/v1/namespaces/default/pods";
  ASSERT_EQ(post(pods, R"({"metadata":{"name":"p"},"spec":{"containers":[
      {"name":"c","image":"i"},{"name":"d","image":"i"}]}})")
                .status,
            201);
  EXPECT_EQ(get(pods + "/p/log?container=c").text, "one c\n");
  EXPECT_EQ(get(pods + "/p/log").status, 400);
  EXPECT_EQ(get(pods + "/p/log?container=x").status, 400);
  EXPECT_EQ(get(pods + "/p/log?container=c&tailLines=x").status, 400);
  EXPECT_EQ(get(pods + "/none/log").status, 404);
}

TEST_F(ServerTest, StopsFollowingWhenTheClientLeaves) {
  const std::string pods = "/api/v1/namespaces/default/pods";
  ASSERT_EQ(post(pods, R"({"metadata":{"name":"p"},"spec":{"containers":[
      {"name":"c","image":"i"}]}})")
                .status,
            201);
  net::HttpClientRequest request;
  request.url = server_->url() + pods + "/p/log?follow=true";
  request.headers.add("Authorization", "Bearer secret");
  std::string got;
  net::HttpResponseSink sink;
  sink.on_body = [&](std::string_view bytes) -> base::Status {
    got += bytes;
    return base::Error(base::ErrorCode::Cancelled, "enough");
  };
  (void)client_->stream(base::Context().with_timeout(5s), request, sink);
  EXPECT_EQ(got, "one c\n");
}

TEST_F(ServerTest, ReadsTheProtobufOfKubectl) {
  const auto field = [](int number, std::string bytes) {
    return std::string(1, static_cast<char>(number << 3 | 2)) +
           std::string(1, static_cast<char>(bytes.size())) + bytes;
  };
  const auto body = [&](std::string kind, std::string object) {
    return std::string("k8s\0", 4) + field(1, field(1, "v1") + field(2, kind)) + field(2, object);
  };
  const auto send = [&](const std::string& bytes) {
    return call("POST", kMaps, bytes, "application/vnd.kubernetes.protobuf");
  };
  const auto made = send(body("ConfigMap", field(1, field(1, "p") + field(3, "")) +
                                               field(2, field(1, "k") + field(2, "v"))));
  EXPECT_EQ(made.status, 201) << made.text;
  EXPECT_EQ(json::find_string(made.body, "data.k"), "v");
  EXPECT_EQ(send(body("Pod", "")).status, 415);
  EXPECT_EQ(send(body("ConfigMap", field(9, "x"))).status, 415);
  EXPECT_EQ(send(body("ConfigMap", "\x0a\x7f")).status, 400);
  EXPECT_EQ(send("rubbish").status, 400);
}

TEST_F(ServerTest, ServesCustomResourcesAtOnce) {
  const auto crd = post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", R"({
    "metadata":{"name":"widgets.demo.io"},"spec":{"group":"demo.io","scope":"Namespaced",
    "names":{"plural":"widgets","kind":"Widget","shortNames":["wd"]},"versions":[{"name":"v1",
    "served":true,"storage":true,"subresources":{"status":{}},"additionalPrinterColumns":[
    {"name":"Count","type":"integer","jsonPath":".spec.count"}],"schema":{"openAPIV3Schema":
    {"type":"object","properties":{"spec":{"type":"object","required":["count"],"properties":{
    "count":{"type":"integer","minimum":1},"color":{"type":"string","default":"red"}}}}}}}]}})");
  ASSERT_EQ(crd.status, 201) << crd.text;
  const std::string widgets = "/apis/demo.io/v1/namespaces/default/widgets";
  const auto made = post(widgets, R"({"apiVersion":"demo.io/v1","kind":"Widget",
      "metadata":{"name":"w"},"spec":{"count":2,"bogus":1}})");
  ASSERT_EQ(made.status, 201) << made.text;
  EXPECT_EQ(json::find_string(made.body, "spec.color"), "red");
  EXPECT_FALSE(json::find(made.body, "spec.bogus"));
  EXPECT_THAT(std::string(made.headers.get_or("Warning", "")), HasSubstr("spec.bogus"));
  const auto strict = post(widgets + "?fieldValidation=Strict",
                           R"({"metadata":{"name":"s"},"spec":{"count":2,"bogus":1}})");
  EXPECT_EQ(strict.status, 400);
  EXPECT_THAT(strict.text, HasSubstr("strict decoding error"));
  const auto bad = post(widgets, R"({"metadata":{"name":"s"},"spec":{"count":0,"color":3}})");
  EXPECT_EQ(bad.status, 422) << bad.text;
  EXPECT_EQ(json::find_array(bad.body, "details.causes")->size(), 2U) << bad.text;
  EXPECT_EQ(call("PATCH", widgets + "/w", "{}", "application/strategic-merge-patch+json").status,
            415);
  EXPECT_EQ(json::find_array(get(widgets, kTable).body, "columnDefinitions")->size(), 2U);
}

TEST_F(ServerTest, EndsWatchesOfTypesThatHaveGone) {
  const std::string crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  ASSERT_EQ(post(crds, R"({"metadata":{"name":"things.demo.io"},"spec":{"group":"demo.io",
      "scope":"Cluster","names":{"plural":"things","kind":"Thing"},"versions":[{"name":"v1",
      "served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}})")
                .status,
            201);
  ASSERT_EQ(post("/apis/demo.io/v1/things", R"({"metadata":{"name":"t"}})").status, 201);
  const auto start = std::chrono::steady_clock::now();
  const auto events = watch("/apis/demo.io/v1/things?watch=1", 9,
                            [&] { call("DELETE", crds + "/things.demo.io"); });
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(json::find_string(events[1], "type"), "DELETED");
  EXPECT_LT(std::chrono::steady_clock::now() - start, 8s);
  EXPECT_EQ(get("/apis/demo.io/v1/things").status, 404);
}

TEST_F(ServerTest, AppliesWithFieldOwners) {
  const auto apply = [&](std::string manager, std::string data, std::string more = {}) {
    return call(
        "PATCH", std::string(kMaps) + "/a?fieldManager=" + manager + more,
        R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":)" + data + "}",
        "application/apply-patch+yaml");
  };
  EXPECT_EQ(apply("one", R"({"k":"1","l":"1"})").status, 201);
  const auto clash = apply("two", R"({"k":"2"})");
  EXPECT_EQ(clash.status, 409) << clash.text;
  EXPECT_EQ(json::find_string(json::find_array(clash.body, "details.causes")->at(0), "reason"),
            "FieldManagerConflict");
  EXPECT_EQ(apply("two", R"({"k":"2"})", "&force=true").status, 200);
  const auto after = apply("one", R"({"m":"1"})");
  EXPECT_EQ(after.status, 200) << after.text;
  EXPECT_EQ(json::find_string(after.body, "data.k"), "2");
  EXPECT_FALSE(json::find(after.body, "data.l"));
  const auto version = json::find_string(after.body, "metadata.resourceVersion");
  EXPECT_EQ(json::find_string(apply("one", R"({"m":"1"})").body, "metadata.resourceVersion"),
            version);
  EXPECT_EQ(call("PATCH", std::string(kMaps) + "/a", "{}", "application/apply-patch+yaml").status,
            422);
}

TEST_F(ServerTest, PatchesInEveryWay) {
  const std::string pods = "/api/v1/namespaces/default/pods";
  ASSERT_EQ(post(pods, R"({"metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[
      {"name":"c","image":"i:1"},{"name":"d","image":"i:1"}]}})")
                .status,
            201);
  const auto strategic =
      call("PATCH", pods + "/p", R"({"spec":{"containers":[{"name":"d","image":"i:2"}]}})",
           "application/strategic-merge-patch+json");
  ASSERT_EQ(strategic.status, 200) << strategic.text;
  ASSERT_EQ(json::find_array(strategic.body, "spec.containers")->size(), 2U);
  const auto patched = call("PATCH", pods + "/p",
                            R"([{"op":"test","path":"/metadata/labels/a","value":"b"},
                                {"op":"remove","path":"/metadata/labels/a"}])",
                            "application/json-patch+json");
  EXPECT_EQ(patched.status, 200) << patched.text;
  EXPECT_FALSE(json::find(patched.body, "metadata.labels.a"));
  EXPECT_EQ(call("PATCH", pods + "/p", R"([{"op":"remove","path":"/metadata/labels/a"}])",
                 "application/json-patch+json")
                .status,
            422);
  EXPECT_EQ(call("PATCH", pods + "/p", R"({"metadata":{"resourceVersion":"1","labels":{"x":"y"}}})",
                 "application/merge-patch+json")
                .status,
            409);
}

}  // namespace
}  // namespace apiserver

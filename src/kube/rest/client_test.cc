#include "kube/rest/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <set>
#include <thread>

#include "base/file.h"
#include "kube/limits.h"
#include "kube/rest/scripted_server.h"
#include "net/tls.h"

namespace kube {
namespace {

using base::ErrorCode;
using base::Status;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using namespace std::chrono_literals;

constexpr api::ResourceType kPod{"", "v1", "pods", "Pod", true};
constexpr api::ResourceType kNode{"", "v1", "nodes", "Node", false};
const api::ObjectKey kKey{"ns", "p"};

base::Context context() { return base::Context().with_timeout(20s); }
json::Value value(std::string_view text) { return json::parse(text).value(); }

TEST(Client, GetsJsonWithTheBearerToken) {
  ScriptedServer server({ScriptedServer::json(200, R"({"kind":"Pod"})")});
  RestConfig config = server.config();
  config.server += "/prefix/";
  config.bearer_token = "secret";
  const auto client = Client::create(config).value();
  const auto pod = client->get(context(), kPod, kKey);
  ASSERT_TRUE(pod) << pod.error().message();
  EXPECT_EQ(json::find_string(*pod, "kind"), "Pod");
  const auto seen = server.seen();
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].method, "GET");
  EXPECT_EQ(seen[0].target, "/prefix/api/v1/namespaces/ns/pods/p");
  EXPECT_EQ(seen[0].accept, "application/json");
  EXPECT_EQ(seen[0].authorization, "Bearer secret");
}

TEST(Client, ReadsARotatedTokenFileAfterUnauthorized) {
  std::string pattern = testing::TempDir() + "token.XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  ASSERT_TRUE(base::write_file_atomic(folder / "token", "old\n", 0600));
  ScriptedServer server({ScriptedServer::json(401, "{}"), ScriptedServer::json(200, "{}")});
  RestConfig config = server.config();
  config.bearer_token_file = (folder / "token").string();
  const auto client = Client::create(config).value();
  EXPECT_EQ(client->get(context(), kPod, kKey).error().code(), ErrorCode::Unauthorized);
  ASSERT_TRUE(base::write_file_atomic(folder / "token", "new\n", 0600));
  EXPECT_TRUE(client->get(context(), kPod, kKey));
  EXPECT_EQ(server.seen()[0].authorization, "Bearer old");
  EXPECT_EQ(server.seen()[1].authorization, "Bearer new");
  std::filesystem::remove_all(folder);
}

TEST(Client, WritesEachKindOfChange) {
  ScriptedServer server({ScriptedServer::json(200, "{}")});
  const auto client = server.client();
  const auto pod = value(R"({"metadata":{"namespace":"ns","name":"p"}})");
  WriteOptions status;
  status.subresource = "status";
  WriteOptions apply;
  apply.field_manager = "me";
  apply.force = true;
  DeleteOptions remove;
  remove.propagation = Propagation::Background;
  remove.grace_period_seconds = 3;
  remove.uid = "u";
  ASSERT_TRUE(client->create(context(), kPod, pod));
  ASSERT_TRUE(client->update(context(), kPod, kKey, pod, status));
  ASSERT_TRUE(client->patch(context(), kPod, kKey, PatchType::Apply, pod, apply));
  ASSERT_TRUE(client->patch(context(), kPod, kKey, PatchType::Merge, pod));
  ASSERT_TRUE(client->patch(context(), kPod, kKey, PatchType::Json, value("[]")));
  ASSERT_TRUE(client->patch(context(), kPod, kKey, PatchType::StrategicMerge, pod));
  ASSERT_TRUE(client->remove(context(), kPod, kKey, remove));

  std::vector<std::string> lines;
  for (const auto& seen : server.seen()) {
    lines.push_back(seen.method + " " + seen.target + " " + seen.content_type);
  }
  const std::string path = "/api/v1/namespaces/ns/pods";
  EXPECT_THAT(
      lines, ElementsAre(
                 "POST " + path + " application/json", "PUT " + path + "/p/status application/json",
                 "PATCH " + path + "/p?fieldManager=me&force=true application/apply-patch+yaml",
                 "PATCH " + path + "/p application/merge-patch+json",
                 "PATCH " + path + "/p application/json-patch+json",
                 "PATCH " + path + "/p application/strategic-merge-patch+json",
                 "DELETE " + path + "/p application/json"));
  EXPECT_EQ(value(server.seen()[0].body), pod);
  EXPECT_EQ(value(server.seen()[6].body),
            value(R"({"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background",
                      "gracePeriodSeconds":3,"preconditions":{"uid":"u"}})"));
}

TEST(Client, RefusesWhatCannotBeRight) {
  ScriptedServer server({ScriptedServer::json(200, "{}")});
  const auto client = server.client();
  EXPECT_EQ(client->create(context(), kPod, value("{}")).error().code(), ErrorCode::Invalid);
  EXPECT_EQ(client->get(context(), kPod, {"ns", ""}).error().code(), ErrorCode::Invalid);
  EXPECT_EQ(client->patch(context(), kPod, kKey, PatchType::Apply, value("{}")).error().code(),
            ErrorCode::Invalid);
  EXPECT_THAT(server.seen(), SizeIs(0));
}

TEST(Client, CarriesTheServersMessageAndStatus) {
  ScriptedServer server({ScriptedServer::json(
      409,
      R"({"kind":"Status","reason":"AlreadyExists","code":409,"message":"pods \"p\" already exists"})")});
  const auto error = server.client()->get(context(), kPod, kKey).error();
  EXPECT_EQ(error.code(), ErrorCode::AlreadyExists);
  EXPECT_EQ(error.http_status(), 409);
  EXPECT_EQ(error.message(), "pods \"p\" already exists");
}

TEST(Client, ReportsAnAnswerThatIsNoJson) {
  ScriptedServer server({ScriptedServer::json(200, "<html>")});
  const auto error = server.client()->get(context(), kPod, kKey).error();
  EXPECT_EQ(error.code(), ErrorCode::Invalid);
  EXPECT_THAT(error.message(), HasSubstr("answer of the API server"));
}

TEST(Client, WaitsForRetryAfterAndTriesAgain) {
  for (const int status : {429, 503}) {
    ScriptedServer server({ScriptedServer::json(status, "{}", {{"Retry-After", "1"}}),
                           ScriptedServer::json(200, "{}")});
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(server.client()->create(context(), kNode, value("{}")));
    EXPECT_GE(std::chrono::steady_clock::now() - start, 1s);
    EXPECT_THAT(server.seen(), SizeIs(2));
  }
}

TEST(Client, GivesUpOnAServerThatIsAlwaysBusy) {
  ScriptedServer server({ScriptedServer::json(429, "{}", {{"Retry-After", "0"}})});
  EXPECT_EQ(server.client()->get(context(), kPod, kKey).error().code(), ErrorCode::Throttled);
  EXPECT_THAT(server.seen(), SizeIs(kMaxThrottleWaits + 1));
}

TEST(Client, DoesNotWaitLongerThanTheCallerOrItsOwnLimit) {
  ScriptedServer long_wait({ScriptedServer::json(429, "{}", {{"Retry-After", "600"}})});
  const auto error = long_wait.client()->get(context(), kPod, kKey).error();
  EXPECT_EQ(error.retry_after(), 600s);
  EXPECT_THAT(long_wait.seen(), SizeIs(1));

  ScriptedServer beyond_deadline({ScriptedServer::json(503, "{}", {{"Retry-After", "30"}})});
  EXPECT_EQ(beyond_deadline.client()->get(context(), kPod, kKey).error().code(),
            ErrorCode::Unavailable);
  EXPECT_THAT(beyond_deadline.seen(), SizeIs(1));
}

TEST(Client, DoesNotRepeatAnEvictionThatABudgetForbids) {
  ScriptedServer server({ScriptedServer::json(429, "{}", {{"Retry-After", "0"}})});
  WriteOptions eviction;
  eviction.subresource = "eviction";
  const auto body = value(R"({"metadata":{"namespace":"ns","name":"p"}})");
  EXPECT_EQ(server.client()->create(context(), kPod, body, eviction).error().code(),
            ErrorCode::Throttled);
  ASSERT_THAT(server.seen(), SizeIs(1));
  EXPECT_EQ(server.seen()[0].path, "/api/v1/namespaces/ns/pods/p/eviction");
}

TEST(Client, DoesNotRepeatAFailureWithoutRetryAfter) {
  ScriptedServer server({ScriptedServer::json(503, "{}")});
  EXPECT_EQ(server.client()->get(context(), kPod, kKey).error().code(), ErrorCode::Unavailable);
  EXPECT_THAT(server.seen(), SizeIs(1));
}

TEST(Client, ListsWhileTheAnswerArrives) {
  ScriptedServer server(
      {ScriptedServer::stream({R"({"metadata":{"resourceVersion":"9","continue":"to)",
                               R"(ken"},"items":[{"a":1},{"b":)", R"(2}]})"})});
  ListOptions options;
  options.ns = "ns";
  options.label_selector = "a=b";
  options.limit = 2;
  options.continue_token = "x";
  const auto list = server.client()->list(context(), kPod, options);
  ASSERT_TRUE(list) << list.error().message();
  EXPECT_THAT(list->items, ElementsAre(value(R"({"a":1})"), value(R"({"b":2})")));
  EXPECT_EQ(list->resource_version, "9");
  EXPECT_EQ(list->continue_token, "token");
  EXPECT_EQ(server.seen()[0].target,
            "/api/v1/namespaces/ns/pods?labelSelector=a%3Db&limit=2&continue=x");
}

TEST(Client, RefusesAListThatEndsEarly) {
  ScriptedServer server({ScriptedServer::stream({R"({"metadata":{},"items":[{"a":1},{"b")"})});
  EXPECT_FALSE(server.client()->list(context(), kPod, {}));
}

struct Watched {
  std::vector<std::string> events;
  Status status;
};
Watched watch(Client& client, const base::Context& ctx = context(), WatchOptions options = {}) {
  Watched watched;
  watched.status = client.watch(ctx, kPod, options, [&](WatchEvent event) -> Status {
    constexpr const char* kTypes[] = {"added", "modified", "deleted", "bookmark"};
    watched.events.push_back(std::string(kTypes[static_cast<int>(event.type)]) + " " +
                             json::dump(event.object));
    return {};
  });
  return watched;
}

TEST(ClientWatch, HandsOverEventsHoweverTheyArrive) {
  ScriptedServer server(
      {ScriptedServer::stream({R"({"type":"ADDED","object":{"a":1}})", "\n{\"type\":\"MODI",
                               "FIED\",\"object\":{\"a\":2}}\n"
                               "{\"type\":\"BOOKMARK\",\"object\":{\"a\":3}}\n{\"type\":"
                               "\"DELETED\",\"object\":{\"a\":4}}\n"})});
  WatchOptions options;
  options.resource_version = "5";
  options.field_selector = "x=y";
  const Watched watched = watch(*server.client(), context(), options);
  EXPECT_TRUE(watched.status);
  EXPECT_THAT(watched.events, ElementsAre("added {\"a\":1}", "modified {\"a\":2}",
                                          "bookmark {\"a\":3}", "deleted {\"a\":4}"));
  EXPECT_EQ(
      server.seen()[0].target,
      "/api/v1/pods?watch=true&allowWatchBookmarks=true&fieldSelector=x%3Dy&resourceVersion=5&"
      "timeoutSeconds=300");
}

TEST(ClientWatch, SaysGoneForBothWaysAServerSaysSo) {
  constexpr const char* kStatus =
      R"({"kind":"Status","reason":"Expired","code":410,"message":"too old"})";
  ScriptedServer http({ScriptedServer::json(410, kStatus)});
  EXPECT_EQ(watch(*http.client()).status.error().code(), ErrorCode::Gone);
  ScriptedServer stream(
      {ScriptedServer::stream({R"({"type":"ERROR","object":)" + std::string(kStatus) + "}\n"})});
  EXPECT_EQ(watch(*stream.client()).status.error().code(), ErrorCode::Gone);
}

TEST(ClientWatch, AnEventCutOffIsAFailure) {
  ScriptedServer server(
      {ScriptedServer::stream({"{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"AD"})});
  const Watched watched = watch(*server.client());
  EXPECT_THAT(watched.events, SizeIs(1));
  EXPECT_EQ(watched.status.error().code(), ErrorCode::Unavailable);
}

TEST(ClientWatch, BrokenFramesAreFailures) {
  for (const char* line :
       {"{]\n", "{}\n", "{\"type\":\"ADDED\"}\n", "{\"type\":\"X\",\"object\":{}}\n"}) {
    ScriptedServer server({ScriptedServer::hang({line})});
    EXPECT_FALSE(watch(*server.client()).status) << line;
  }
}

TEST(ClientWatch, EndsWhenTheServerHangsBeyondItsTime) {
  ScriptedServer server({ScriptedServer::hang({"{\"type\":\"ADDED\",\"object\":{}}\n"})});
  WatchOptions options;
  options.timeout = 0s;
  options.margin = 100ms;
  const Watched watched = watch(*server.client(), context(), options);
  EXPECT_THAT(watched.events, SizeIs(1));
  EXPECT_EQ(watched.status.error().code(), ErrorCode::Unavailable);
  EXPECT_THAT(watched.status.error().message(), HasSubstr("hangs"));
}

TEST(ClientWatch, EndsWithTheContext) {
  ScriptedServer server({ScriptedServer::hang({})});
  const auto client = server.client();
  EXPECT_EQ(watch(*client, context().with_timeout(50ms)).status.error().code(), ErrorCode::Timeout);

  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    stop.request_stop();
  });
  EXPECT_EQ(watch(*client, context().with_stop(stop.get_token())).status.error().code(),
            ErrorCode::Cancelled);
}

TEST(ClientWatch, EndsWithTheErrorOfTheReceiver) {
  ScriptedServer server({ScriptedServer::hang({"{\"type\":\"ADDED\",\"object\":{}}\n"})});
  const auto status = server.client()->watch(context(), kPod, {}, [](WatchEvent) -> Status {
    return base::Error(ErrorCode::Conflict, "enough");
  });
  EXPECT_EQ(status.error().code(), ErrorCode::Conflict);
}

TEST(Client, StreamsRawBytes) {
  ScriptedServer server(
      {ScriptedServer::stream({"line 1\n", "line 2\n"}),
       ScriptedServer::json(404, R"({"kind":"Status","message":"no logs","code":404})")});
  const auto client = server.client();
  std::string all;
  const auto collect = [&](std::string_view bytes) -> Status {
    all.append(bytes);
    return {};
  };
  EXPECT_TRUE(client->get_raw(context(), "/api/v1/namespaces/ns/pods/p/log?follow=true", collect));
  EXPECT_EQ(all, "line 1\nline 2\n");
  EXPECT_EQ(client->get_raw(context(), "/x", collect).error().message(), "no logs");
  EXPECT_EQ(all, "line 1\nline 2\n");
  EXPECT_EQ(client->get_raw(context(), "x", collect).error().code(), ErrorCode::Invalid);
}

TEST(Client, KeepsItsConnection) {
  ScriptedServer server({ScriptedServer::json(200, "{}"), ScriptedServer::json(404, "{}"),
                         ScriptedServer::stream({R"({"metadata":{},"items":[]})"}),
                         ScriptedServer::json(200, "{}")});
  const auto client = server.client();
  EXPECT_TRUE(client->get(context(), kPod, kKey));
  EXPECT_FALSE(client->get(context(), kPod, kKey));
  EXPECT_TRUE(client->list(context(), kPod, {}));
  EXPECT_TRUE(client->create(context(), kNode, value("{}")));
  std::set<std::string> peers;
  for (const auto& seen : server.seen()) peers.insert(seen.peer);
  EXPECT_THAT(peers, SizeIs(1));
}

TEST(Client, SaysThatNobodyAnswers) {
  RestConfig config;
  {
    ScriptedServer server({ScriptedServer::json(200, "{}")});
    config = server.config();
  }
  const auto client = Client::create(config).value();
  EXPECT_EQ(client->get(context(), kPod, kKey).error().code(), ErrorCode::Unavailable);
}

TEST(Client, TrustsOnlyItsAuthority) {
  const auto authority = net::make_certificate_authority("test ca").value();
  const auto other = net::make_certificate_authority("other ca").value();
  net::CertificateRequest request;
  request.common_name = "api";
  request.ip_addresses = {"127.0.0.1"};
  const auto issued = net::issue_certificate(authority, request).value();
  net::TlsServerOptions tls;
  tls.cert_pem = issued.cert_pem;
  tls.key_pem = issued.key_pem;
  ScriptedServer server({ScriptedServer::json(200, "{}")},
                        net::TlsServerConfig::create(tls).value());
  RestConfig config = server.config();
  config.tls.ca_pem = authority.cert_pem;
  EXPECT_TRUE(Client::create(config).value()->get(context(), kPod, kKey));
  config.tls.ca_pem = other.cert_pem;
  EXPECT_EQ(Client::create(config).value()->get(context(), kPod, kKey).error().code(),
            ErrorCode::Unauthorized);
  config.tls.ca_pem.clear();
  config.tls.insecure_skip_verify = true;
  EXPECT_TRUE(Client::create(config).value()->get(context(), kPod, kKey));
}

TEST(Client, KeepsToItsRate) {
  ScriptedServer server({ScriptedServer::json(200, "{}")});
  RestConfig config = server.config();
  config.requests_per_second = 50;
  config.burst = 2;
  const auto client = Client::create(config).value();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->get(context(), kPod, kKey));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 50ms);
}

}  // namespace
}  // namespace kube

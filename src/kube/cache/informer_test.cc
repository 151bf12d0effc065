#include "kube/cache/informer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "kube/rest/scripted_server.h"

namespace kube {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

struct Thing {
  static constexpr api::ResourceType kType{"test.io", "v1", "things", "Thing", true};
  api::ObjectMeta metadata;
  std::int64_t size = 0;
};
template <class V>
void describe(V& v, Thing& t) {
  v.field("metadata", t.metadata, json::Presence::Optional, "");
  v.field("size", t.size, json::Presence::Optional, "");
}

std::string thing(std::string_view name, int version, int size = 0) {
  return fmt::format(
      R"({{"metadata":{{"namespace":"ns","name":"{}","resourceVersion":"{}"}},"size":{}}})", name,
      version, size);
}
std::string list(int version, std::string_view items, std::string_view continue_token = "") {
  return fmt::format(R"({{"metadata":{{"resourceVersion":"{}","continue":"{}"}},"items":[{}]}})",
                     version, continue_token, items);
}
std::string event(std::string_view type, std::string_view object) {
  return fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, object);
}
constexpr const char* kGone =
    R"({"kind":"Status","reason":"Expired","code":410,"message":"too old"})";

/// An informer on a scripted server, and what its handler saw.
struct Fixture {
  explicit Fixture(std::vector<ScriptedServer::Step> script, Reflector::Options options = {})
      : server(std::move(script)), client(server.client()), informer(*client, std::move(options)) {
    informer.add_index("size", [](const Thing& t) { return std::vector{std::to_string(t.size)}; });
    informer.add_handler([this](const Change<Thing>& change) {
      constexpr const char* kKinds[] = {"added", "updated", "deleted"};
      std::lock_guard lock(mutex);
      changes.push_back(fmt::format("{} {} {}", kKinds[static_cast<int>(change.kind)],
                                    change.any().metadata.name, change.any().size));
    });
    informer.start(base::Context());
  }
  std::vector<std::string> seen() const {
    std::lock_guard lock(mutex);
    return changes;
  }
  /// Waits until the handler saw `count` changes.
  std::vector<std::string> wait_changes(std::size_t count) const {
    for (const auto limit = std::chrono::steady_clock::now() + 10s;
         seen().size() < count && std::chrono::steady_clock::now() < limit;) {
      std::this_thread::sleep_for(1ms);
    }
    return seen();
  }
  void wait_requests(std::size_t count) const {
    for (const auto limit = std::chrono::steady_clock::now() + 10s;
         server.seen().size() < count && std::chrono::steady_clock::now() < limit;) {
      std::this_thread::sleep_for(1ms);
    }
    ASSERT_GE(server.seen().size(), count);
  }
  std::string target(std::size_t request) const { return server.seen().at(request).target; }

  ScriptedServer server;
  std::unique_ptr<Client> client;
  mutable std::mutex mutex;
  std::vector<std::string> changes;
  Informer<Thing> informer;
};

TEST(Informer, ListsInPagesAndFollowsTheWatch) {
  Reflector::Options options;
  options.page_size = 2;
  options.label_selector = "a=b";
  Fixture f(
      {ScriptedServer::json(200, list(10, thing("a", 1) + "," + thing("b", 2), "more")),
       ScriptedServer::json(200, list(10, thing("c", 3, 7))),
       ScriptedServer::hang({event("MODIFIED", thing("a", 11, 7)), event("DELETED", thing("b", 12)),
                             event("ADDED", thing("d", 13, 9))})},
      options);
  ASSERT_TRUE(f.informer.wait_synced(base::Context().with_timeout(10s)));
  EXPECT_THAT(f.wait_changes(6), ElementsAre("added a 0", "added b 0", "added c 7", "updated a 7",
                                             "deleted b 0", "added d 9"));
  EXPECT_EQ(f.target(0), "/apis/test.io/v1/things?labelSelector=a%3Db&limit=2");
  EXPECT_THAT(f.target(1), HasSubstr("continue=more"));
  EXPECT_THAT(f.target(2), HasSubstr("watch=true"));
  EXPECT_THAT(f.target(2), HasSubstr("labelSelector=a%3Db"));
  EXPECT_THAT(f.target(2), HasSubstr("resourceVersion=10"));
  EXPECT_EQ(f.informer.size(), 3U);
  EXPECT_EQ(f.informer.get({"ns", "a"})->size, 7);
  EXPECT_EQ(f.informer.get({"ns", "b"}), nullptr);
  EXPECT_EQ(f.informer.by_index("size", "7").size(), 2U);
  EXPECT_THAT(f.informer.by_index("size", "0"), IsEmpty());
}

TEST(Informer, ResumesADroppedWatchFromWhereItWas) {
  Fixture f({ScriptedServer::json(200, list(10, "")),
             ScriptedServer::stream({event("ADDED", thing("a", 11)), "{\"type\":\"ADDED\",\"obj"}),
             ScriptedServer::stream({event("BOOKMARK", thing("", 20))}),
             ScriptedServer::json(503, "{}"),
             ScriptedServer::hang({event("ADDED", thing("b", 21))})});
  EXPECT_THAT(f.wait_changes(2), ElementsAre("added a 0", "added b 0"));
  EXPECT_THAT(f.target(2), HasSubstr("resourceVersion=11"));
  EXPECT_THAT(f.target(3), HasSubstr("resourceVersion=20"));
  EXPECT_THAT(f.target(4), HasSubstr("resourceVersion=20"));
}

TEST(Informer, ListsAgainWhenItsVersionIsTooOld) {
  for (const auto& gone :
       {ScriptedServer::json(410, kGone), ScriptedServer::stream({event("ERROR", kGone)})}) {
    Fixture f({ScriptedServer::json(200, list(10, thing("a", 1) + "," + thing("b", 2))), gone,
               ScriptedServer::json(200, list(30, thing("b", 2) + "," + thing("c", 25))),
               ScriptedServer::hang({})});
    EXPECT_THAT(f.wait_changes(4),
                ElementsAre("added a 0", "added b 0", "deleted a 0", "added c 0"))
        << "an object that did not change is not reported";
    f.wait_requests(4);
    EXPECT_THAT(f.target(3), HasSubstr("resourceVersion=30"));
  }
}

TEST(Informer, StartsAPagedListAgainWhenItsTokenExpired) {
  Fixture f({ScriptedServer::json(200, list(10, thing("a", 1), "more")),
             ScriptedServer::json(410, kGone), ScriptedServer::json(200, list(20, thing("b", 12))),
             ScriptedServer::hang({})});
  EXPECT_THAT(f.wait_changes(1), ElementsAre("added b 0"));
}

TEST(Informer, WaitsForAServerThatIsNotReady) {
  Fixture f({ScriptedServer::json(503, R"({"kind":"Status","code":503,"message":"starting"})"),
             ScriptedServer::json(404, "{}"), ScriptedServer::json(200, list(10, thing("a", 1))),
             ScriptedServer::hang({})});
  ASSERT_TRUE(f.informer.wait_synced(base::Context().with_timeout(10s)));
  EXPECT_THAT(f.seen(), ElementsAre("added a 0"));
}

TEST(Informer, SaysWhyItIsNotSynced) {
  Fixture f({ScriptedServer::json(403, R"({"kind":"Status","code":403,"message":"not allowed"})")});
  f.wait_requests(2);
  const auto status = f.informer.wait_synced(base::Context().with_timeout(50ms));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), base::ErrorCode::Timeout);
  EXPECT_EQ(status.error().message(),
            "waiting for the list of things (not allowed): deadline exceeded");
}

TEST(Informer, GivesUpOnAWatchThatHangs) {
  Reflector::Options options;
  options.watch_timeout = 0s;
  options.watch_margin = 50ms;
  Fixture f({ScriptedServer::json(200, list(10, "")),
             ScriptedServer::hang({event("ADDED", thing("a", 11))}),
             ScriptedServer::hang({event("ADDED", thing("b", 12))})},
            options);
  EXPECT_THAT(f.wait_changes(2), ElementsAre("added a 0", "added b 0"));
  EXPECT_THAT(f.target(2), HasSubstr("resourceVersion=11"));
}

TEST(Informer, LeavesOutObjectsThatDoNotFit) {
  Fixture f({ScriptedServer::json(200, list(10, R"({"metadata":{"name":3}},)" + thing("a", 1))),
             ScriptedServer::hang({})});
  ASSERT_TRUE(f.informer.wait_synced(base::Context().with_timeout(10s)));
  EXPECT_THAT(f.seen(), ElementsAre("added a 0"));
}

TEST(Informer, StopsAtOnceWhileTheWatchIsQuiet) {
  Fixture f({ScriptedServer::json(200, list(10, "")), ScriptedServer::hang({})});
  f.wait_requests(2);
  const auto start = std::chrono::steady_clock::now();
  f.informer.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
}

TEST(Informer, DoesNotHammerAServerThatEndsEveryWatch) {
  Fixture f({ScriptedServer::json(200, list(10, "")), ScriptedServer::stream({})});
  f.wait_requests(2);
  std::this_thread::sleep_for(300ms);
  EXPECT_LE(f.server.seen().size(), 6U);
}

}  // namespace
}  // namespace kube

#include "kube/runtime/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "kube/limits.h"
#include "kube/rest/scripted_server.h"

namespace kube {
namespace {

using testing::MatchesRegex;
using testing::SizeIs;
using testing::StartsWith;
using namespace std::chrono_literals;

constexpr api::ResourceType kPod{"", "v1", "pods", "Pod", true};
constexpr api::ResourceType kNode{"", "v1", "nodes", "Node", false};
const ObjectReference kAbout{kPod, {"ns", "p"}, "uid-1"};

struct Fixture {
  explicit Fixture(std::vector<ScriptedServer::Step> script = {ScriptedServer::json(201, "{}")})
      : server(std::move(script)), client(server.client()) {}

  /// All requests after `count` arrived, or fewer after a while.
  std::vector<ScriptedServer::Seen> wait(std::size_t count) const {
    for (const auto limit = std::chrono::steady_clock::now() + 10s;
         server.seen().size() < count && std::chrono::steady_clock::now() < limit;) {
      std::this_thread::sleep_for(1ms);
    }
    return server.seen();
  }

  ScriptedServer server;
  std::unique_ptr<Client> client;
  base::ManualClock clock{base::parse_rfc3339("2026-11-24T18:00:00Z").value()};
  std::unique_ptr<EventRecorder> events =
      EventRecorder::create(base::Context(), *client, "tester", clock);
};

TEST(EventRecorder, WritesAnEventThatKubectlUnderstands) {
  Fixture f;
  f.events->record(kAbout, EventType::Warning, "Failed", "it broke");
  const auto seen = f.wait(1);
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].method + " " + seen[0].target, "POST /api/v1/namespaces/ns/events");
  const auto event = json::parse(seen[0].body).value();
  EXPECT_THAT(std::string(json::find_string(event, "metadata.name")),
              MatchesRegex("p\\.[0-9a-f]+"));
  EXPECT_EQ(json::find_string(event, "involvedObject.kind"), "Pod");
  EXPECT_EQ(json::find_string(event, "involvedObject.apiVersion"), "v1");
  EXPECT_EQ(json::find_string(event, "involvedObject.uid"), "uid-1");
  EXPECT_EQ(json::find_string(event, "involvedObject.namespace"), "ns");
  EXPECT_EQ(json::find_string(event, "type"), "Warning");
  EXPECT_EQ(json::find_string(event, "reason"), "Failed");
  EXPECT_EQ(json::find_string(event, "message"), "it broke");
  EXPECT_EQ(json::find_string(event, "source.component"), "tester");
  EXPECT_EQ(json::find_string(event, "firstTimestamp"), "2026-11-24T18:00:00Z");
  EXPECT_EQ(json::find_int(event, "count"), 1);
}

TEST(EventRecorder, PutsEventsOfClusterScopedObjectsIntoDefault) {
  Fixture f;
  f.events->record({kNode, {"", "n"}, "u"}, EventType::Normal, "Ready", "m");
  const auto seen = f.wait(1);
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].target, "/api/v1/namespaces/default/events");
}

TEST(EventRecorder, CountsEqualEventsInsteadOfMakingMore) {
  Fixture f;
  f.events->record(kAbout, EventType::Normal, "Again", "m");
  ASSERT_THAT(f.wait(1), SizeIs(1));
  f.clock.advance(1min);
  f.events->record(kAbout, EventType::Normal, "Again", "m");
  auto seen = f.wait(2);
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_EQ(seen[1].method, "PATCH");
  EXPECT_EQ(json::parse(seen[1].body).value(),
            json::parse(R"({"count":2,"lastTimestamp":"2026-11-24T18:01:00Z"})").value());

  f.events->record(kAbout, EventType::Normal, "Again", "another message");
  EXPECT_EQ(f.wait(3).back().method, "POST");
  f.clock.advance(11min);
  f.events->record(kAbout, EventType::Normal, "Again", "m");
  EXPECT_EQ(f.wait(4).back().method, "POST") << "too long ago to count up";
}

TEST(EventRecorder, MakesANewEventWhenTheServerForgotTheOld) {
  Fixture f({ScriptedServer::json(201, "{}"), ScriptedServer::json(404, "{}"),
             ScriptedServer::json(201, "{}")});
  f.events->record(kAbout, EventType::Normal, "Again", "m");
  f.wait(1);
  f.events->record(kAbout, EventType::Normal, "Again", "m");
  const auto seen = f.wait(3);
  ASSERT_THAT(seen, SizeIs(3));
  EXPECT_EQ(seen[1].method, "PATCH");
  EXPECT_EQ(seen[2].method, "POST");
}

TEST(EventRecorder, TriesAgainWhenTheServerIsAway) {
  Fixture f({ScriptedServer::json(500, "{}"), ScriptedServer::json(201, "{}")});
  f.events->record(kAbout, EventType::Normal, "R", "m");
  EXPECT_THAT(f.wait(2), SizeIs(2));
}

TEST(EventRecorder, SendsWhatWaitsBeforeItEnds) {
  Fixture f;
  for (int i = 0; i < 20; ++i) f.events->record(kAbout, EventType::Normal, "R", std::to_string(i));
  f.events.reset();
  EXPECT_THAT(f.server.seen(), SizeIs(20));
}

TEST(EventRecorder, NeverBlocksWhenTheServerHangs) {
  Fixture f({ScriptedServer::hang({})});
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < kMaxQueuedEvents + 100; ++i) {
    f.events->record(kAbout, EventType::Normal, "R", std::to_string(i));
  }
  f.events.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST(EventRecorder, CutsLongMessagesAtACharacter) {
  Fixture f;
  std::string message = "x";
  while (message.size() < 2000) message += "\xC3\xA4";
  f.events->record(kAbout, EventType::Normal, "R", message);
  const auto seen = f.wait(1);
  ASSERT_THAT(seen, SizeIs(1));
  const auto event = json::parse(seen[0].body);
  ASSERT_TRUE(event) << "the body must stay valid UTF-8";
  const std::string sent(json::find_string(*event, "message"));
  EXPECT_LE(sent.size(), kMaxEventMessageBytes);
  EXPECT_THAT(message, StartsWith(sent.substr(0, sent.size() - 3)));
}

}  // namespace
}  // namespace kube

#include "kube/runtime/controller.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "kube/rest/scripted_server.h"

namespace kube {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using namespace std::chrono_literals;

const api::ObjectKey kKey{"ns", "a"};

struct Scripted final : Reconciler {
  std::function<Result<Requeue>(const base::Context&)> act = [](const base::Context&) {
    return Requeue::none();
  };
  Result<Requeue> reconcile(const base::Context& ctx, const api::ObjectKey&) override {
    return act(ctx);
  }
};

class ControllerTest : public testing::Test {
 protected:
  base::ManualClock clock{base::SystemTime{}};
  Scripted reconciler;
  Controller controller{
      {.name = "test", .recheck_delay = 60s, .queue = {.base_delay = 100ms}}, reconciler, clock};
  base::Context ctx;

  bool runs_after(std::chrono::nanoseconds time) {
    clock.advance(time);
    return controller.step(ctx);
  }
  void fail_with(Error error) {
    reconciler.act = [error](const base::Context&) -> Result<Requeue> { return error; };
    controller.enqueue(kKey);
    EXPECT_TRUE(controller.step(ctx));
  }
};

TEST_F(ControllerTest, RunsAKeyOnceAndForgetsIt) {
  controller.enqueue(kKey);
  controller.enqueue(kKey);
  EXPECT_TRUE(controller.step(ctx));
  EXPECT_FALSE(runs_after(24h));
  EXPECT_EQ(controller.counters().reconciles, 1U);
  EXPECT_EQ(controller.counters().errors, 0U);
}

TEST_F(ControllerTest, RunsAgainWhenAsked) {
  reconciler.act = [](const base::Context&) { return Requeue::after(5s); };
  controller.enqueue(kKey);
  EXPECT_TRUE(controller.step(ctx));
  EXPECT_FALSE(runs_after(4s));
  EXPECT_TRUE(runs_after(1s));
}

TEST_F(ControllerTest, BacksOffAfterErrorsThatPass) {
  for (const ErrorCode code : {ErrorCode::Unavailable, ErrorCode::Conflict, ErrorCode::Timeout}) {
    fail_with(Error(code, "x"));
    reconciler.act = [](const base::Context&) { return Requeue::none(); };
    EXPECT_FALSE(runs_after(49ms));
    EXPECT_TRUE(runs_after(51ms)) << "the first pause is between 50 and 100 ms";
  }
  EXPECT_EQ(controller.counters().errors, 3U);
}

TEST_F(ControllerTest, HonoursHowLongTheServerAskedToWait) {
  fail_with(Error(ErrorCode::Throttled, "busy").with_retry_after(30s));
  EXPECT_FALSE(runs_after(29s));
  EXPECT_TRUE(runs_after(1s));
}

TEST_F(ControllerTest, LooksAgainRarelyAfterOtherErrors) {
  fail_with(Error(ErrorCode::Forbidden, "no"));
  EXPECT_FALSE(runs_after(59s));
  EXPECT_TRUE(runs_after(1s));
}

TEST_F(ControllerTest, BoundsTheTimeOfAReconcile) {
  std::chrono::nanoseconds left{};
  reconciler.act = [&](const base::Context& bounded) {
    left = bounded.remaining();
    return Requeue::none();
  };
  controller.enqueue(kKey);
  controller.step(ctx);
  EXPECT_LE(left, 60s);
}

TEST(Requeue, TheSoonerWins) {
  EXPECT_EQ(Requeue::sooner(Requeue::none(), Requeue::none()).delay, std::nullopt);
  EXPECT_EQ(Requeue::sooner(Requeue::after(2s), Requeue::none()).delay, 2s);
  EXPECT_EQ(Requeue::sooner(Requeue::none(), Requeue::after(2s)).delay, 2s);
  EXPECT_EQ(Requeue::sooner(Requeue::after(3s), Requeue::after(2s)).delay, 2s);
}

struct Thing {
  static constexpr api::ResourceType kType{"test.io", "v1", "things", "Thing", true};
  api::ObjectMeta metadata;
};
template <class V>
void describe(V& v, Thing& t) {
  v.field("metadata", t.metadata, json::Presence::Optional, "");
}

/// Counts what it saw of an informer that must be complete.
struct Counting final : Reconciler {
  Informer<Thing>& things;
  std::atomic<int> missing = 0;
  std::atomic<int> calls = 0;
  explicit Counting(Informer<Thing>& informer) : things(informer) {}
  Result<Requeue> reconcile(const base::Context&, const api::ObjectKey& key) override {
    if (!things.get(key)) ++missing;
    ++calls;
    return Requeue::none();
  }
};

TEST(Manager, StartsControllersOnlyWhenTheCopiesAreComplete) {
  ScriptedServer server({ScriptedServer::json(503, "{}"),
                         ScriptedServer::json(200, R"({"metadata":{"resourceVersion":"1"},"items":[
            {"metadata":{"namespace":"ns","name":"a","resourceVersion":"1"}},
            {"metadata":{"namespace":"ns","name":"b","resourceVersion":"1"}}]})"),
                         ScriptedServer::hang({})});
  const auto client = server.client();
  const base::RealClock clock;
  Informer<Thing> things(*client);
  Counting reconciler(things);
  Controller controller({.name = "test"}, reconciler, clock);
  controller.watch(things);
  Manager manager{base::Logger()};
  manager.add(things);
  manager.add(controller);
  std::stop_source stop;
  ASSERT_TRUE(manager.start(base::Context(stop.get_token()), 10s));
  const auto limit = std::chrono::steady_clock::now() + 10s;
  while (reconciler.calls < 2 && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(1ms);
  }
  stop.request_stop();
  manager.stop();
  EXPECT_EQ(reconciler.calls, 2);
  EXPECT_EQ(reconciler.missing, 0);
}

TEST(Manager, SaysWhichCopyDoesNotComplete) {
  ScriptedServer server({ScriptedServer::json(403, "{}")});
  const auto client = server.client();
  Informer<Thing> things(*client);
  Manager manager{base::Logger()};
  manager.add(things);
  const auto status = manager.start(base::Context(), 100ms);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::Timeout);
  EXPECT_NE(status.error().message().find("things"), std::string::npos);
}

}  // namespace
}  // namespace kube

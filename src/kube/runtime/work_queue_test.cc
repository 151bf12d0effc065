#include "kube/runtime/work_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace kube {
namespace {

using namespace std::chrono_literals;

const api::ObjectKey kA{"ns", "a"};
const api::ObjectKey kB{"ns", "b"};

class WorkQueueTest : public testing::Test {
 protected:
  base::ManualClock clock{base::SystemTime{}};
  WorkQueue queue{clock, {.base_delay = 100ms, .max_delay = 1000ms}};

  /// Fails the key once and returns a time at which it is surely due.
  void fail(const api::ObjectKey& key) {
    ASSERT_EQ(queue.try_take(), key);
    queue.add_rate_limited(key);
    queue.done(key);
  }
  std::chrono::nanoseconds delay() const { return *queue.next_due() - clock.steady(); }
};

TEST_F(WorkQueueTest, HandsKeysOutInOrderAndOnce) {
  queue.add(kB);
  queue.add(kA);
  queue.add(kB);
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.try_take(), kB);
  EXPECT_EQ(queue.try_take(), kA);
  EXPECT_EQ(queue.try_take(), std::nullopt);
}

TEST_F(WorkQueueTest, RunsOneKeyAtATimeAndAgainWhenAddedMeanwhile) {
  queue.add(kA);
  EXPECT_EQ(queue.try_take(), kA);
  queue.add(kA);
  queue.add(kA);
  EXPECT_EQ(queue.try_take(), std::nullopt);
  queue.done(kA);
  EXPECT_EQ(queue.try_take(), kA);
  queue.done(kA);
  EXPECT_EQ(queue.try_take(), std::nullopt);
}

TEST_F(WorkQueueTest, AKeyThatIsAddedAgainAndAgainDoesNotStarveOthers) {
  queue.add(kA);
  ASSERT_EQ(queue.try_take(), kA);
  queue.add(kA);
  queue.add(kB);
  queue.done(kA);
  EXPECT_EQ(queue.try_take(), kB);
  EXPECT_EQ(queue.try_take(), kA);
}

TEST_F(WorkQueueTest, DelaysUntilTheEarliestTime) {
  queue.add_after(kA, 5s);
  queue.add_after(kA, 2s);
  queue.add_after(kA, 9s);
  EXPECT_EQ(delay(), 2s);
  clock.advance(1999ms);
  EXPECT_EQ(queue.try_take(), std::nullopt);
  clock.advance(1ms);
  EXPECT_EQ(queue.try_take(), kA);
  queue.done(kA);
  clock.advance(1h);
  EXPECT_EQ(queue.try_take(), std::nullopt);
}

TEST_F(WorkQueueTest, TakingAKeyCancelsItsDelay) {
  queue.add_after(kA, 5s);
  queue.add(kA);
  EXPECT_EQ(queue.try_take(), kA);
  EXPECT_EQ(queue.next_due(), std::nullopt);
  queue.add_after(kA, 3s);
  queue.done(kA);
  EXPECT_EQ(delay(), 3s);
}

TEST_F(WorkQueueTest, ADelayThatEndsWhileTheKeyRunsMakesItRunAgain) {
  queue.add(kA);
  ASSERT_EQ(queue.try_take(), kA);
  queue.add_after(kA, 1s);
  clock.advance(2s);
  EXPECT_EQ(queue.try_take(), std::nullopt);
  queue.done(kA);
  EXPECT_EQ(queue.try_take(), kA);
}

TEST_F(WorkQueueTest, BacksOffPerKeyDoublingWithJitterUntilTheLimit) {
  queue.add(kA);
  for (const auto step : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    fail(kA);
    EXPECT_GE(delay(), step / 2);
    EXPECT_LE(delay(), step);
    clock.advance(step);
  }
  ASSERT_EQ(queue.try_take(), kA);
  queue.done(kA);
  queue.add(kB);
  fail(kB);
  EXPECT_LE(delay(), 100ms) << "the failures of another key do not count";
}

TEST_F(WorkQueueTest, ForgettingResetsTheBackOff) {
  queue.add(kA);
  fail(kA);
  clock.advance(100ms);
  fail(kA);
  clock.advance(200ms);
  ASSERT_EQ(queue.try_take(), kA);
  queue.forget(kA);
  queue.add_rate_limited(kA);
  queue.done(kA);
  EXPECT_LE(delay(), 100ms);
}

TEST(WorkQueueThreads, TakeEndsWhenStopped) {
  const base::RealClock clock;
  WorkQueue queue(clock, {});
  std::optional<api::ObjectKey> got = kA;
  std::jthread taker([&](const std::stop_token& stop) { got = queue.take(stop); });
  taker.request_stop();
  taker.join();
  EXPECT_EQ(got, std::nullopt);
}

TEST(WorkQueueThreads, ManyWorkersNeverShareAKeyAndSeeEveryOne) {
  const base::RealClock clock;
  WorkQueue queue(clock, {.base_delay = 1ms, .max_delay = 2ms});
  constexpr int kKeys = 50;
  std::vector<std::atomic<int>> running(kKeys);
  std::vector<std::atomic<int>> runs(kKeys);
  std::atomic<bool> shared = false;
  std::vector<std::jthread> workers;
  for (int w = 0; w < 4; ++w) {
    workers.emplace_back([&](const std::stop_token& stop) {
      while (const auto key = queue.take(stop)) {
        const auto i = static_cast<std::size_t>(std::stoi(key->name));
        if (running[i].fetch_add(1) != 0) shared = true;
        if (runs[i].fetch_add(1) < 2) queue.add_rate_limited(*key);
        running[i].fetch_sub(1);
        queue.done(*key);
      }
    });
  }
  for (int i = 0; i < kKeys; ++i) queue.add({"", std::to_string(i)});
  const auto limit = std::chrono::steady_clock::now() + 10s;
  const auto finished = [&] {
    for (const auto& count : runs) {
      if (count.load() < 3) return false;
    }
    return true;
  };
  while (!finished() && std::chrono::steady_clock::now() < limit) std::this_thread::sleep_for(1ms);
  workers.clear();
  EXPECT_TRUE(finished());
  EXPECT_FALSE(shared.load());
}

}  // namespace
}  // namespace kube

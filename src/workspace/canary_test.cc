#include "workspace/canary.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace workspace {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;

const api::ObjectKey kKey{"d", "w"};
const CanaryTarget kTarget{"pod-1", 0, "10.0.0.7:5000"};

/// A prober that is stepped by hand and answered by the test.
class Canary : public ::testing::Test {
 protected:
  CanaryResult result(const CanaryTarget& target = kTarget) { return prober.result(kKey, target); }
  CanaryState state() { return result().state; }
  bool step() { return prober.step(base::Context()); }
  void fail(ErrorCode code, const char* message) { answer = base::Error(code, message); }

  std::optional<base::Error> answer;
  std::vector<CanaryTarget> asked;
  int changes = 0;
  base::ManualClock clock{{}};
  CanaryProber prober{
      {},
      clock,
      [this](const base::Context&, const CanaryTarget& target) -> base::Result<std::string> {
        asked.push_back(target);
        if (answer) return *answer;
        return std::string();
      },
      [this](const api::ObjectKey&) { ++changes; }};
};

TEST_F(Canary, PassesWithTheFirstToken) {
  EXPECT_EQ(state(), CanaryState::Unknown);
  EXPECT_TRUE(step());
  EXPECT_EQ(state(), CanaryState::Passed);
  EXPECT_EQ(changes, 1);
  EXPECT_FALSE(step()) << "not before the interval is over";
}

TEST_F(Canary, FailsAtOnceAsLongAsNothingWasProved) {
  fail(ErrorCode::Unavailable, "connection refused");
  EXPECT_EQ(state(), CanaryState::Unknown);
  EXPECT_TRUE(step());
  EXPECT_EQ(state(), CanaryState::Failed);
  EXPECT_EQ(result().message, "connection refused");
  answer.reset();
  EXPECT_FALSE(step());
  clock.advance(1s);
  EXPECT_TRUE(step());
  EXPECT_EQ(state(), CanaryState::Passed);
}

TEST_F(Canary, AsksAgainAndFailsAfterThreeMissesInARow) {
  EXPECT_EQ(state(), CanaryState::Unknown);
  ASSERT_TRUE(step());
  fail(ErrorCode::Timeout, "no answer");
  clock.advance(60s);
  ASSERT_TRUE(step());
  EXPECT_EQ(state(), CanaryState::Passed) << "one miss may be chance";
  clock.advance(1s);
  ASSERT_TRUE(step());
  EXPECT_EQ(state(), CanaryState::Passed);
  clock.advance(2s);
  ASSERT_TRUE(step());
  EXPECT_EQ(state(), CanaryState::Failed);
  EXPECT_EQ(changes, 2);
}

TEST_F(Canary, AMissIsForgivenByASuccess) {
  EXPECT_EQ(state(), CanaryState::Unknown);
  ASSERT_TRUE(step());
  for (int round = 0; round < 5; ++round) {
    fail(ErrorCode::Timeout, "no answer");
    clock.advance(60s);
    ASSERT_TRUE(step());
    answer.reset();
    clock.advance(1s);
    ASSERT_TRUE(step());
    EXPECT_EQ(state(), CanaryState::Passed);
  }
}

TEST_F(Canary, ABusyServerThatPassedBeforeIsAlive) {
  EXPECT_EQ(state(), CanaryState::Unknown);
  ASSERT_TRUE(step());
  fail(ErrorCode::Throttled, "busy");
  for (int round = 0; round < 10; ++round) {
    clock.advance(60s);
    ASSERT_TRUE(step());
  }
  EXPECT_EQ(state(), CanaryState::Passed);
}

TEST_F(Canary, AnotherPodOrRestartHasToProveItselfAnew) {
  EXPECT_EQ(state(), CanaryState::Unknown);
  ASSERT_TRUE(step());
  const CanaryTarget restarted{"pod-1", 1, "10.0.0.7:5000"};
  EXPECT_EQ(result(restarted).state, CanaryState::Unknown);
  ASSERT_TRUE(step());
  EXPECT_EQ(result(restarted).state, CanaryState::Passed);
  EXPECT_EQ(asked.back(), restarted);
}

TEST_F(Canary, StopsAskingWhenForgotten) {
  EXPECT_EQ(state(), CanaryState::Unknown);
  prober.forget(kKey);
  EXPECT_FALSE(step());
  EXPECT_TRUE(asked.empty());
}

}  // namespace
}  // namespace workspace

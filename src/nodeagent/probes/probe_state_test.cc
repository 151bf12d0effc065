#include "nodeagent/probes/probe_state.h"

#include <gtest/gtest.h>

namespace nodeagent {
namespace {

using namespace std::chrono_literals;

constexpr base::SteadyTime kStart{1000s};

TEST(ProbeState, WaitsForItsInitialDelay) {
  const ProbeState state(ProbeKind::Readiness, {.initial_delay_seconds = 7}, kStart);
  EXPECT_EQ(state.next_due(), kStart + 7s);
  EXPECT_EQ(state.verdict(), ProbeVerdict::Unknown);
  EXPECT_EQ(state.timeout(), 1s);
}

TEST(ProbeState, AFastContainerIsReadyLongBeforeThePeriod) {
  ProbeState state(ProbeKind::Readiness, {.period_seconds = 10}, kStart);
  EXPECT_FALSE(state.observe(false, kStart));
  EXPECT_EQ(state.next_due(), kStart + 100ms);
  EXPECT_FALSE(state.observe(false, kStart + 100ms));
  EXPECT_EQ(state.next_due(), kStart + 300ms);
  EXPECT_TRUE(state.observe(true, kStart + 300ms));
  EXPECT_EQ(state.verdict(), ProbeVerdict::Success);
  EXPECT_EQ(state.next_due(), kStart + 300ms + 10s);
}

TEST(ProbeState, EagerFailuresCountOncePerPeriod) {
  ProbeState state(ProbeKind::Startup, {.period_seconds = 1, .failure_threshold = 3}, kStart);
  base::SteadyTime now = kStart;
  while (state.verdict() == ProbeVerdict::Unknown) {
    now = std::max(now, state.next_due());
    state.observe(false, now);
    ASSERT_LT(now, kStart + 10s);
  }
  EXPECT_EQ(state.verdict(), ProbeVerdict::Failure);
  EXPECT_GE(now, kStart + 2s);
  EXPECT_LE(now, kStart + 4s);
}

TEST(ProbeState, ThresholdsAreRunsOfOneKind) {
  ProbeState state(ProbeKind::Readiness,
                   {.period_seconds = 1, .success_threshold = 2, .failure_threshold = 2}, kStart);
  EXPECT_FALSE(state.observe(true, kStart));
  EXPECT_TRUE(state.observe(true, kStart + 1s));
  EXPECT_FALSE(state.observe(false, kStart + 2s));
  EXPECT_FALSE(state.observe(true, kStart + 3s));
  EXPECT_FALSE(state.observe(false, kStart + 4s));
  EXPECT_TRUE(state.observe(false, kStart + 5s));
  EXPECT_EQ(state.verdict(), ProbeVerdict::Failure);
}

TEST(ProbeState, LivenessBelievesInTheContainerUntilTheThreshold) {
  ProbeState state(ProbeKind::Liveness, {.period_seconds = 5}, kStart);
  EXPECT_EQ(state.verdict(), ProbeVerdict::Success);
  EXPECT_FALSE(state.observe(false, kStart));
  EXPECT_EQ(state.next_due(), kStart + 5s);
  EXPECT_FALSE(state.observe(false, kStart + 5s));
  EXPECT_TRUE(state.observe(false, kStart + 10s));
}

}  // namespace
}  // namespace nodeagent

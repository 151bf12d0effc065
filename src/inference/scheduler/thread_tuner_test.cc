#include "inference/scheduler/thread_tuner.h"

#include <gtest/gtest.h>

#include <functional>

namespace inference {
namespace {

using std::chrono::milliseconds;

/// Runs batches of one token for `length`, each taking what `cost` says for its threads.
struct Machine {
  explicit Machine(int threads) : tuner(threads) {}

  void run(milliseconds length, const std::function<milliseconds(int threads)>& cost) {
    const auto end = now + length;
    while (now < end) {
      const int threads = tuner.threads(1);
      const milliseconds took = cost(threads);
      now += took;
      busy[threads - 1] += took;
      tuner.record(1, took, now);
    }
  }

  ThreadTuner tuner;
  base::SteadyTime now{};
  milliseconds busy[16]{};
};

milliseconds alone(int threads) { return threads == 2 ? milliseconds(12) : milliseconds(19); }
milliseconds beside_a_busy_process(int threads) {
  return threads == 2 ? milliseconds(38) : milliseconds(22);
}

TEST(ThreadTuner, KeepsAllThreadsOnAQuietMachine) {
  Machine machine(2);
  machine.run(milliseconds(60'000), alone);
  EXPECT_EQ(machine.tuner.threads(1), 2);
  EXPECT_LT(machine.busy[0], milliseconds(1'500)) << "trying one thread must stay rare";
}

TEST(ThreadTuner, GivesUpAThreadWhenItHurts) {
  Machine machine(2);
  machine.run(milliseconds(3'000), beside_a_busy_process);
  EXPECT_EQ(machine.tuner.threads(1), 1);
}

TEST(ThreadTuner, NoticesTheLoadComeAndGo) {
  Machine machine(2);
  machine.run(milliseconds(30'000), alone);
  machine.run(milliseconds(2'000), beside_a_busy_process);
  EXPECT_EQ(machine.tuner.threads(1), 1);
  machine.run(milliseconds(12'000), alone);
  EXPECT_EQ(machine.tuner.threads(1), 2);
}

TEST(ThreadTuner, ClimbsDownOnAManyCoreMachine) {
  Machine machine(16);
  // Best at 6 threads.
  machine.run(milliseconds(60'000),
              [](int threads) { return milliseconds(20 + 3 * std::abs(threads - 6)); });
  EXPECT_NEAR(machine.tuner.threads(1), 6, 1);
}

TEST(ThreadTuner, SizesAreTunedApart) {
  ThreadTuner tuner(2);
  base::SteadyTime now{};
  for (int i = 0; i < 200; ++i) {
    now += milliseconds(30);
    tuner.record(1, beside_a_busy_process(tuner.threads(1)), now);
  }
  EXPECT_EQ(tuner.threads(1), 1);
  EXPECT_EQ(tuner.threads(64), 2);
}

TEST(ThreadTuner, OneThreadIsOneThread) {
  ThreadTuner tuner(1);
  tuner.record(1, milliseconds(10), {});
  EXPECT_EQ(tuner.threads(1), 1);
}

}  // namespace
}  // namespace inference

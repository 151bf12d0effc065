#include "tuning/engine/thread_choice.h"

#include <gtest/gtest.h>

#include <map>

namespace tuning {
namespace {

/// How often each number is used in `steps` steps when a token takes `seconds[count]`.
std::map<std::size_t, int> uses(ThreadChoice& choice, const std::map<std::size_t, double>& seconds,
                                int steps) {
  std::map<std::size_t, int> result;
  for (int i = 0; i < steps; ++i) {
    const std::size_t count = choice.next();
    ++result[count];
    choice.record(seconds.at(count));
  }
  return result;
}

TEST(ThreadChoice, StaysWithAllThreadsOnAQuietMachine) {
  ThreadChoice choice(2);
  const auto counts = uses(choice, {{2, 1.0}, {1, 1.9}}, 100);
  EXPECT_GT(counts.at(2), 93);
}

TEST(ThreadChoice, FindsThatFewerAreFasterAndComesBack) {
  ThreadChoice choice(8);
  EXPECT_EQ(choice.next(), 8u);
  uses(choice, {{8, 4.0}, {4, 3.0}, {2, 1.5}, {1, 1.0}}, 60);
  EXPECT_GT(uses(choice, {{8, 4.0}, {4, 3.0}, {2, 1.5}, {1, 1.0}}, 40).at(1), 30);
  uses(choice, {{8, 0.2}, {4, 0.3}, {2, 0.5}, {1, 1.0}}, 300);
  EXPECT_GT(uses(choice, {{8, 0.2}, {4, 0.3}, {2, 0.5}, {1, 1.0}}, 40).at(8), 30);
}

TEST(ThreadChoice, HasNothingToChooseWithOneThread) {
  ThreadChoice choice(1);
  EXPECT_EQ(uses(choice, {{1, 1.0}}, 50).at(1), 50);
}

}  // namespace
}  // namespace tuning

#include "tuning/optimizer/optimizer_config.h"

#include <gtest/gtest.h>

namespace tuning {
namespace {

TEST(Schedule, LinearRisesThenFallsToZero) {
  const OptimizerConfig config{
      .learning_rate = 1.0, .schedule = Schedule::Linear, .warmup_steps = 4, .total_steps = 14};
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 0), 0.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 4), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 9), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 14), 0.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 99), 0.0);
}

TEST(Schedule, CosineIsHalfWayInTheMiddleAndConstantStays) {
  OptimizerConfig config{.learning_rate = 2.0, .schedule = Schedule::Cosine, .total_steps = 10};
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 0), 2.0);
  EXPECT_NEAR(learning_rate_at(config, 5), 1.0, 1e-12);
  EXPECT_NEAR(learning_rate_at(config, 10), 0.0, 1e-12);
  config.schedule = Schedule::Constant;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1000), 2.0);
}

TEST(OptimizerConfig, NamesTheMemberThatIsWrong) {
  const auto message = [](const OptimizerConfig& config) {
    return check(config).error().message();
  };
  EXPECT_TRUE(check(OptimizerConfig{}).has_value());
  EXPECT_EQ(message({.learning_rate = -1}), "learning_rate: must be a positive number");
  EXPECT_EQ(message({.beta2 = 1}), "adam_beta2: must be in [0, 1)");
  EXPECT_EQ(message({.total_steps = 0}), "max_steps: must be 1 or more");
}

}  // namespace
}  // namespace tuning

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "base/file.h"
#include "base/random.h"
#include "json/value.h"
#include "tuning/run/divergence.h"
#include "tuning/run/model_card.h"
#include "tuning/run/progress.h"
#include "tuning/run/run_plan.h"
#include "tuning/run/training_log.h"

namespace tuning {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(StepPlan, CountsAsTransformersDoes) {
  TrainingSettings training;
  training.epochs = 3;
  training.accumulation_steps = 4;
  training.warmup_ratio = 0.1;
  StepPlan plan = plan_steps(10, training);
  EXPECT_EQ(plan.steps_per_epoch, 3U);
  EXPECT_EQ(plan.total_steps, 9U);
  EXPECT_EQ(plan.warmup_steps, 1U);
  training.epochs = 0.5;
  EXPECT_EQ(plan_steps(10, training).total_steps, 2U);
  training.max_steps = 7;
  training.warmup_steps = 5;
  plan = plan_steps(10, training);
  EXPECT_EQ(plan.total_steps, 7U);
  EXPECT_EQ(plan.warmup_steps, 5U);
}

Architecture architecture(bool fused) {
  Architecture shape;
  shape.family = fused ? Family::Phi3 : Family::Llama;
  shape.fused = fused;
  shape.hidden_size = shape.intermediate_size = 64;
  shape.layers = shape.heads = shape.kv_heads = 2;
  shape.head_dimension = 32;
  return shape;
}

TEST(LoraTargets, TranslateTheDefaultToTheModelsNames) {
  const std::vector<std::string> defaults = {"k_proj", "q_proj", "v_proj", "o_proj", "up_proj"};
  EXPECT_THAT(to_lora_config({}, architecture(true), defaults).target_modules,
              ElementsAre("qkv_proj", "o_proj", "gate_up_proj"));
  EXPECT_THAT(to_lora_config({}, architecture(false), defaults).target_modules,
              ElementsAre("k_proj", "q_proj", "v_proj", "o_proj", "up_proj"));
  LoraSettings named;
  named.target_modules = {"q_proj"};
  EXPECT_THAT(to_lora_config(named, architecture(true), defaults).target_modules,
              ElementsAre("q_proj"));
  EXPECT_THAT(to_lora_config({}, architecture(true), {}).target_modules, IsEmpty());
}

TEST(ModelFormats, FollowTheQuantisation) {
  QuantizationSettings four;
  four.format = BaseFormat::Nf4;
  four.compute = Precision::BFloat16;
  EXPECT_EQ(to_model_options({}, four).linear_format, WeightFormat::Nf4);
  EXPECT_FALSE(wants_float32({}, four));
  four.compute = Precision::Float32;
  EXPECT_TRUE(wants_float32({}, four));
  ModelSettings plain;
  EXPECT_EQ(to_model_options(plain, {}).linear_format, WeightFormat::Bf16);
  plain.precision = Precision::Float32;
  EXPECT_EQ(to_model_options(plain, {}).linear_format, WeightFormat::F32);
}

TEST(Divergence, NeedsARowOfBadSteps) {
  DivergenceGuard guard(1000, 5);
  for (std::size_t step = 1; step <= 5; ++step) EXPECT_TRUE(guard.take(step, 50, 3));
  for (std::size_t i = 0; i + 1 < DivergenceGuard::kPatience; ++i)
    EXPECT_TRUE(guard.take(6, 50, 3));
  EXPECT_TRUE(guard.take(7, 5, 3));
  for (std::size_t i = 0; i + 1 < DivergenceGuard::kPatience; ++i)
    EXPECT_TRUE(guard.take(8, 50, 3));
  const auto stopped = guard.take(9, std::numeric_limits<double>::quiet_NaN(), 3);
  ASSERT_FALSE(stopped);
  EXPECT_THAT(stopped.error().message(), AllOf(HasSubstr("diverged"), HasSubstr("learning_rate")));
}

TEST(Progress, IsOneLineForProgramsAndOneForPeople) {
  const Progress progress{.phase = Phase::Training,
                          .step = 120,
                          .total_steps = 300,
                          .loss = 1.25,
                          .smoothed_loss = 1.307,
                          .tokens_per_second = 181.6,
                          .seconds_left = 40.2};
  EXPECT_EQ(to_text(progress), "step 120/300, loss 1.31, 182 tokens/s, 40 s left");
  const auto line = json::parse(to_json_line(progress));
  ASSERT_TRUE(line);
  EXPECT_EQ(json::find_string(*line, "phase"), "training");
  EXPECT_EQ(json::find_int(*line, "step"), 120);
  EXPECT_TRUE(
      json::parse(to_json_line({.step = 1, .loss = std::numeric_limits<double>::infinity()})));
}

TEST(TrainingLog, DropsWhatACheckpointDoesNotKnow) {
  const auto file = std::filesystem::temp_directory_path() / ("log-" + base::random_uuid());
  {
    auto log = TrainingLog::open(file, 0);
    ASSERT_TRUE(log) << log.error().message();
    ASSERT_TRUE(log->append("{\"step\":1}"));
    EXPECT_EQ(log->bytes(), 11U);
    ASSERT_TRUE(log->append("{\"step\":2}"));
  }
  auto log = TrainingLog::open(file, 11);
  ASSERT_TRUE(log && log->append("{\"step\":\"again\"}"));
  EXPECT_EQ(*base::read_file(file), "{\"step\":1}\n{\"step\":\"again\"}\n");
  std::filesystem::remove(file);
}

TEST(ModelCard, NamesBaseAndData) {
  const std::string card = model_card({}, {.base_model = "org/base", .rows = 5, .data = "a.jsonl"},
                                      {.steps = 3, .first_loss = 2, .last_loss = 1});
  EXPECT_THAT(card, AllOf(HasSubstr("base_model: org/base"), HasSubstr("library_name: peft"),
                          HasSubstr("5 rows of a.jsonl"), HasSubstr("2.0000 at first")));
}

}  // namespace
}  // namespace tuning

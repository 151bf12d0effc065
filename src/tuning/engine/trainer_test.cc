#include "tuning/engine/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "model/peft/peft_adapter.h"
#include "tuning/engine/memory_plan.h"
#include "tuning/engine/tiny_model.h"

namespace tuning {
namespace {

std::filesystem::path scratch(std::string_view name) {
  const auto path = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(path);
  return path;
}

BaseModel tiny_model(WeightFormat format = WeightFormat::F32) {
  return BaseModel(tiny_weights(tiny_architecture(Family::Llama),
                                {.linear_format = format, .dense_format = WeightFormat::F32}));
}

const LoraConfig kLora{.rank = 4, .alpha = 8, .dropout = 0.1, .target_modules = {"all-linear"}};
const OptimizerConfig kOptimizer{.learning_rate = 5e-3, .warmup_steps = 2, .total_steps = 60};

Trainer make(const BaseModel& model, const TrainerOptions& options = {.threads = 2}) {
  auto trainer = Trainer::create(model, kLora, kOptimizer, options);
  EXPECT_TRUE(trainer) << trainer.error().message();
  return *std::move(trainer);
}

std::vector<float> parameters(const Trainer& trainer) {
  return {trainer.parameters().begin(), trainer.parameters().end()};
}

TEST(Trainer, LearnsAFewSentencesByHeart) {
  for (const WeightFormat format : {WeightFormat::F32, WeightFormat::Nf4, WeightFormat::Int8}) {
    const BaseModel model = tiny_model(format);
    auto trainer =
        Trainer::create(model, {.rank = 8, .alpha = 16, .target_modules = {"all-linear"}},
                        {.learning_rate = 2e-2, .total_steps = 120}, {.threads = 2});
    const Batch batch = tiny_batch({10, 8, 9, 6});
    const auto first = trainer->step(base::Context(), {&batch, 1});
    ASSERT_TRUE(first) << first.error().message();
    for (int i = 0; i < 119; ++i) ASSERT_TRUE(trainer->step(base::Context(), {&batch, 1}));
    const auto last = trainer->evaluate(base::Context(), {&batch, 1});
    EXPECT_LT(last->loss, 0.2 * first->loss) << name_of(format);
  }
}

TEST(Trainer, AccumulatesMicroBatchesAsIfTheyWereOne) {
  const BaseModel model = tiny_model();
  LoraConfig lora = kLora;
  lora.dropout = 0;
  auto whole = Trainer::create(model, lora, kOptimizer, {.threads = 1});
  auto parts = Trainer::create(model, lora, kOptimizer, {.threads = 1});
  const Batch batch = tiny_batch({10, 5, 7});
  const std::vector<Batch> split = {{batch[0]}, {batch[1], batch[2]}};
  const auto a = whole->step(base::Context(), {&batch, 1});
  const auto b = parts->step(base::Context(), split);
  EXPECT_NEAR(a->loss, b->loss, 1e-6);
  EXPECT_NEAR(a->gradient_norm, b->gradient_norm, 1e-6);
  EXPECT_EQ(a->tokens, b->tokens);
}

TEST(Trainer, GivesTheSameBitsWithAnyNumberOfThreadsAndRecomputing) {
  const BaseModel model = tiny_model(WeightFormat::Bf16);
  const Batch batch = tiny_batch({70, 3, 12});
  std::vector<std::vector<float>> results;
  for (const TrainerOptions& options :
       {TrainerOptions{.threads = 1, .recompute = Recompute::Off},
        TrainerOptions{.threads = 2, .recompute = Recompute::PerBlock},
        TrainerOptions{
            .threads = 5, .recompute = Recompute::Auto, .activation_budget_bytes = 100000},
        TrainerOptions{.threads = 1, .recompute = Recompute::Off, .seed = 1}}) {
    Trainer trainer = make(model, options);
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(trainer.step(base::Context(), {&batch, 1}));
    results.push_back(parameters(trainer));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  EXPECT_NE(results[0], results[3]);
}

TEST(Trainer, GoesOnFromACheckpointBitForBit) {
  const BaseModel model = tiny_model(WeightFormat::Nf4);
  const auto path = scratch("checkpoint") / "last.ckpt";
  const Batch batch = tiny_batch({20, 9});
  Trainer whole = make(model);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(whole.step(base::Context(), {&batch, 1}));
  Trainer first = make(model);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(first.step(base::Context(), {&batch, 1}));
  ASSERT_TRUE(first.save_checkpoint(path, R"({"row":12})"));
  Trainer second = make(model);
  const auto state = second.load_checkpoint(path);
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(*state, R"({"row":12})");
  EXPECT_EQ(second.steps_done(), 3u);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(second.step(base::Context(), {&batch, 1}));
  EXPECT_EQ(parameters(whole), parameters(second));
}

TEST(Trainer, RefusesDamagedAndForeignCheckpoints) {
  const BaseModel model = tiny_model();
  const auto folder = scratch("bad-checkpoints");
  Trainer trainer = make(model);
  ASSERT_TRUE(trainer.save_checkpoint(folder / "good", ""));
  std::string bytes = base::read_file(folder / "good").value();
  const auto error_with = [&](std::string_view content) {
    std::ofstream(folder / "bad") << content;
    const auto result = trainer.load_checkpoint(folder / "bad");
    return result ? "no error" : result.error().message();
  };
  EXPECT_THAT(error_with(""), testing::HasSubstr("is no checkpoint"));
  EXPECT_THAT(error_with(bytes.substr(0, bytes.size() / 2)), testing::HasSubstr("is damaged"));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  EXPECT_THAT(error_with(bytes), testing::HasSubstr("is damaged"));
  EXPECT_EQ(trainer.load_checkpoint(folder / "none").error().code(), base::ErrorCode::NotFound);
  auto other = Trainer::create(model, {.rank = 2}, kOptimizer, {.threads = 1});
  EXPECT_THAT(other->load_checkpoint(folder / "good").error().message(),
              testing::HasSubstr("belongs to another model or to other target modules"));
}

TEST(Trainer, WritesAnAdapterThatPeftsReaderAcceptsAndReadsItBack) {
  const BaseModel model = tiny_model();
  const auto folder = scratch("adapter");
  LoraConfig lora = kLora;
  lora.rslora = true;
  lora.alpha_pattern = {{"q_proj", 4}};
  auto trainer = Trainer::create(model, lora, kOptimizer, {.threads = 1});
  const Batch batch = tiny_batch({12});
  ASSERT_TRUE(trainer->step(base::Context(), {&batch, 1}));
  ASSERT_TRUE(trainer->step(base::Context(), {&batch, 1}));
  ASSERT_TRUE(trainer->write_adapter(folder, {.base_model_name = "tiny"}));
  const auto adapter = model::PeftAdapter::open(folder);
  ASSERT_TRUE(adapter) << adapter.error().message();
  EXPECT_EQ(adapter->modules().size(), 21u);
  EXPECT_EQ(adapter->config().base_model, "tiny");
  for (const auto& module : adapter->modules()) {
    EXPECT_DOUBLE_EQ(module.scale, module.name.ends_with("q_proj") ? 2 : 4) << module.name;
  }
  auto again = Trainer::create(model, lora, kOptimizer, {.threads = 1});
  ASSERT_TRUE(again->load_adapter(folder));
  EXPECT_EQ(parameters(*trainer), parameters(*again));
  auto narrower = Trainer::create(model, {.rank = 2}, kOptimizer, {.threads = 1});
  EXPECT_THAT(narrower->load_adapter(folder).error().message(),
              testing::HasSubstr("where [2, 24] is expected"));
}

TEST(Trainer, NamesBadBatchesAndStaysAsItWas) {
  const BaseModel model = tiny_model();
  Trainer trainer = make(model);
  const auto before = parameters(trainer);
  const auto error_of = [&](const Sequence& sequence) {
    const std::vector<Batch> batches = {tiny_batch({4}), {tiny_batch({3})[0], sequence}};
    return trainer.step(base::Context(), batches).error().message();
  };
  EXPECT_EQ(error_of({}), "batch 1: sequence 1 is empty");
  EXPECT_EQ(error_of({{1, 50}, {1, 2}}),
            "batch 1: sequence 1 holds token 50, not in the vocabulary");
  EXPECT_EQ(error_of({{1, 2}, {1, -7}}),
            "batch 1: sequence 1 holds label -7, not in the vocabulary");
  EXPECT_EQ(error_of({{1, 2}, {1}}), "batch 1: sequence 1 has 2 tokens and 1 labels");
  EXPECT_EQ(error_of(tiny_batch({129})[0]),
            "batch 1: sequence 1 has 129 tokens where the model's context has 128");
  const Batch silent = {{{1, 2}, {1, kIgnoredLabel}}};
  EXPECT_EQ(trainer.step(base::Context(), {&silent, 1}).error().message(),
            "no position of the batch has a label");
  std::stop_source stop;
  stop.request_stop();
  const Batch batch = tiny_batch({4});
  EXPECT_EQ(trainer.step(base::Context(stop.get_token()), {&batch, 1}).error().code(),
            base::ErrorCode::Cancelled);
  EXPECT_EQ(parameters(trainer), before);
  EXPECT_EQ(trainer.steps_done(), 0u);
}

TEST(Trainer, StopsWhenTheRunDiverges) {
  const BaseModel model = tiny_model();
  auto trainer = Trainer::create(
      model, kLora, {.learning_rate = 1e30, .schedule = Schedule::Constant}, {.threads = 1});
  const Batch batch = tiny_batch({10});
  base::Result<StepStats> stats = StepStats{};
  for (int i = 0; i < 5 && stats; ++i) stats = trainer->step(base::Context(), {&batch, 1});
  ASSERT_FALSE(stats);
  EXPECT_THAT(stats.error().message(), testing::HasSubstr("the run has diverged"));
}

TEST(MemoryPlan, ChoosesToRecomputeAndSaysWhatToChange) {
  const Architecture shape = tiny_architecture(Family::Llama);
  const auto targets = *resolve_targets(kLora, shape);
  MemoryRequest request{.batch_tokens = 4000, .sequence_tokens = 1000};
  request.model.linear_format = WeightFormat::Bf16;
  const MemoryPlan free = plan_memory(shape, targets, request);
  EXPECT_TRUE(free.fits);
  EXPECT_EQ(free.recompute, Recompute::Off);
  request.available_bytes = free.total_bytes() - 1;
  const MemoryPlan tight = plan_memory(shape, targets, request);
  EXPECT_TRUE(tight.fits);
  EXPECT_EQ(tight.recompute, Recompute::Auto);
  EXPECT_LT(tight.activation_budget_bytes, free.activation_budget_bytes);
  EXPECT_LT(tight.total_bytes(), free.total_bytes());
  request.available_bytes = tight.total_bytes() - 1;
  request.recompute = Recompute::PerBlock;
  EXPECT_LE(plan_memory(shape, targets, request).total_bytes(), tight.total_bytes());
  request.available_bytes = tight.total_bytes() / 2;
  const MemoryPlan none = plan_memory(shape, targets, request);
  EXPECT_FALSE(none.fits);
  EXPECT_THAT(none.advice, testing::ElementsAre(testing::HasSubstr("per_device_train_batch_size"),
                                                testing::HasSubstr("load_in_4bit"), testing::_));
}

TEST(MemoryPlan, CountsTheWeightsAsTheyAreKept) {
  for (const WeightFormat format : {WeightFormat::Bf16, WeightFormat::Nf4}) {
    Architecture shape = tiny_architecture(Family::Llama);
    shape.hidden_size = 128;
    shape.intermediate_size = 256;
    shape.head_dimension = 32;
    const ModelOptions options{.linear_format = format};
    const auto weights = tiny_weights(shape, options);
    const auto plan = plan_memory(shape, {}, {.model = options, .batch_tokens = 1});
    const auto actual = static_cast<double>(weights->bytes());
    EXPECT_NEAR(static_cast<double>(plan.weights_bytes), actual, 0.02 * actual) << name_of(format);
  }
}

}  // namespace
}  // namespace tuning

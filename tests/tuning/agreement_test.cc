// The engine that trains and the one that serves compute the same model: logits of the base, and
// with an adapter that one wrote and the other loads.
//
// KAITO_TUNING_MODEL names a real model (a .gguf file) to compare on, too.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "base/test_support.h"
#include "inference/engine/adapter.h"
#include "inference/engine/decoder.h"
#include "inference/engine/model.h"
#include "inference/test_support.h"
#include "model/gguf/gguf_file.h"
#include "model/peft/lora_gguf.h"
#include "model/peft/peft_adapter.h"
#include "tuning/engine/trainer.h"

namespace {

using tuning::BaseModel;
using tuning::Batch;
using tuning::Trainer;
using tuning::WeightFormat;

std::unique_ptr<inference::Decoder> decoder_of(const inference::Model& model) {
  return *inference::Decoder::create(
      model,
      {.cache_tokens = 128, .sequences = 1, .batch_tokens = 128, .outputs = 1, .threads = 1});
}

std::vector<float> served_logits(inference::Decoder& decoder,
                                 const std::vector<tuning::TokenId>& tokens) {
  decoder.truncate(0, 0);
  decoder.clear_batch();
  int place = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto wanted =
        i + 1 == tokens.size() ? inference::Decoder::Logits::Yes : inference::Decoder::Logits::No;
    place = decoder.add(tokens[i], static_cast<int>(i), 0, wanted);
  }
  EXPECT_TRUE(decoder.decode());
  const auto logits = decoder.logits(place);
  return {logits.begin(), logits.end()};
}

/// Root of the mean square of the difference, relative to the spread of `expected`.
double distance(const std::vector<float>& values, const std::vector<float>& expected) {
  EXPECT_EQ(values.size(), expected.size());
  const double mean =
      std::accumulate(expected.begin(), expected.end(), 0.0) / static_cast<double>(expected.size());
  double difference = 0, spread = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(values[i]) - static_cast<double>(expected[i]), 2);
    spread += std::pow(static_cast<double>(expected[i]) - mean, 2);
  }
  return std::sqrt(difference / spread);
}

std::shared_ptr<const inference::Adapter> load_adapter(inference::Decoder& decoder,
                                                       const std::string& model_file,
                                                       const std::filesystem::path& folder) {
  const auto base = model::GgufFile::open(model_file);
  const auto peft = model::PeftAdapter::open(folder);
  EXPECT_TRUE(peft) << peft.error().message();
  const auto lora = model::fit_to_model(*peft, base->header());
  EXPECT_TRUE(lora) << lora.error().message();
  const auto file = inference::AdapterFile::create(*lora);
  EXPECT_TRUE(file);
  const auto adapter = decoder.load_adapter(*file);
  EXPECT_TRUE(adapter) << adapter.error().message();
  return *adapter;
}

struct Tolerance {
  double base;
  double adapted;
};

/// Compares on `file`, before and after training on `tokens` until the adapter shows.
void compare(const std::string& file, const std::vector<tuning::TokenId>& tokens,
             tuning::KernelSet kernels, Tolerance tolerance) {
  const auto served = inference::load(file);
  ASSERT_TRUE(served) << served.error().message();
  const auto decoder = decoder_of(**served);
  const auto model =
      BaseModel::load(base::Context(), file,
                      {.linear_format = WeightFormat::F32, .dense_format = WeightFormat::F32});
  ASSERT_TRUE(model) << model.error().message();
  tuning::LoraConfig lora{.rank = 4, .alpha = 8, .rslora = true, .target_modules = {"all-linear"}};
  lora.alpha_pattern = {{"o_proj", 3}};
  auto trainer = Trainer::create(
      *model, lora,
      {.learning_rate = 2e-3, .schedule = tuning::Schedule::Constant, .total_steps = 10},
      {.threads = 1, .kernels = kernels});
  ASSERT_TRUE(trainer) << trainer.error().message();
  const auto plain = served_logits(*decoder, tokens);
  const auto own = trainer->logits(base::Context(), tokens);
  ASSERT_TRUE(own) << own.error().message();
  EXPECT_LT(distance(*own, plain), tolerance.base);

  const Batch batch = {{tokens, tokens}};
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(trainer->step(base::Context(), {&batch, 1}));
  const base::test::TempDir folder;
  ASSERT_TRUE(trainer->write_adapter(folder.path(), {.base_model_name = "test"}));
  decoder->use_adapters(std::make_shared<const inference::AdapterSet>(
      inference::AdapterSet{1, {{load_adapter(*decoder, file, folder.path()), 1.0F}}}));
  const auto adapted = served_logits(*decoder, tokens);
  EXPECT_GT(distance(adapted, plain), 10 * tolerance.adapted) << "the adapter does not show";
  EXPECT_LT(distance(*trainer->logits(base::Context(), tokens), adapted), tolerance.adapted);
}

class Agreement : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, Agreement, testing::Values("llama", "phi3"));

TEST_P(Agreement, LogitsAreThoseOfTheServerWithAndWithoutTheAdapter) {
  std::vector<tuning::TokenId> tokens;
  for (tuning::TokenId i = 0; i < 14; ++i) tokens.push_back(270 + 5 * i);
  // The server's cache rounds keys and values to 16 bits.
  compare(inference::TinyModels::file(GetParam()), tokens, tuning::KernelSet::Scalar, {2e-3, 2e-3});
}

TEST(RealModel, LogitsAreThoseOfTheServerWithAndWithoutTheAdapter) {
  const char* file = std::getenv("KAITO_TUNING_MODEL");
  if (file == nullptr) GTEST_SKIP() << "KAITO_TUNING_MODEL names no model";
  const auto served = inference::load(file);
  ASSERT_TRUE(served) << served.error().message();
  const auto ids = (*served)->tokenize("The capital of France is Paris, and that of Japan is",
                                       inference::Model::Special::Add);
  // The server's kernels round activations to 8 bits where the weights have 4.
  compare(file, {ids.begin(), ids.end()}, tuning::KernelSet::Auto, {0.1, 0.1});
}

}  // namespace

#include "tuning/lora/lora_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tuning {
namespace {

Architecture small(bool fused = false) {
  return {.family = fused ? Family::Phi3 : Family::Llama,
          .vocabulary_size = 100,
          .hidden_size = 32,
          .intermediate_size = 48,
          .layers = 3,
          .heads = 4,
          .kv_heads = 2,
          .head_dimension = 8,
          .context_tokens = 64,
          .fused = fused};
}

std::string error_of(const LoraConfig& config, bool fused = false) {
  const auto result = resolve_targets(config, small(fused));
  return result ? "no error" : result.error().message();
}

TEST(LoraConfig, TakesAllLinearsOfAllBlocks) {
  const auto targets = resolve_targets({.target_modules = {"all-linear"}}, small());
  ASSERT_TRUE(targets) << targets.error().message();
  ASSERT_EQ(targets->size(), 21u);
  EXPECT_EQ((*targets)[0].name, "model.layers.0.self_attn.q_proj");
  EXPECT_EQ((*targets)[20].name, "model.layers.2.mlp.down_proj");
  EXPECT_EQ((*targets)[1].outputs, 16u);
}

TEST(LoraConfig, MatchesSuffixesAtDotsFullNamesAndPatterns) {
  const auto count = [](const LoraConfig& config) {
    const auto targets = resolve_targets(config, small());
    return targets ? targets->size() : 0;
  };
  EXPECT_EQ(count({.target_modules = {"q_proj", "mlp.up_proj"}}), 6u);
  EXPECT_EQ(count({.target_modules = {"model.layers.1.self_attn.o_proj"}}), 1u);
  EXPECT_EQ(count({.target_modules = {"proj"}}), 0u);
  EXPECT_EQ(
      count({.target_modules = {".*layers\\.[01]\\..*(k|v)_proj"}, .target_is_pattern = true}), 4u);
  EXPECT_EQ(count({.target_modules = {"q_proj"}, .layers_to_transform = {2, 0}}), 2u);
}

TEST(LoraConfig, ChoosesAsPeftDoesWhenNothingIsNamed) {
  EXPECT_EQ(resolve_targets({}, small())->size(), 6u);
  const auto fused = resolve_targets({}, small(true));
  ASSERT_EQ(fused->size(), 3u);
  EXPECT_EQ((*fused)[0].name, "model.layers.0.self_attn.qkv_proj");
}

TEST(LoraConfig, AppliesPatternsAndRankStabilisedScales) {
  LoraConfig config{.rank = 4, .alpha = 8, .target_modules = {"all-linear"}};
  config.rank_pattern = {{"q_proj", 16}};
  config.alpha_pattern = {{"layers.1.mlp.down_proj", 2}};
  auto targets = resolve_targets(config, small());
  ASSERT_TRUE(targets);
  EXPECT_EQ((*targets)[0].rank, 16u);
  EXPECT_DOUBLE_EQ((*targets)[0].scale, 0.5);
  EXPECT_DOUBLE_EQ((*targets)[1].scale, 2);
  EXPECT_DOUBLE_EQ((*targets)[13].scale, 0.5);
  config.rslora = true;
  targets = resolve_targets(config, small());
  EXPECT_DOUBLE_EQ((*targets)[0].scale, 2);
  EXPECT_DOUBLE_EQ((*targets)[1].scale, 4);
}

TEST(LoraConfig, NamesTheLinearsThatThereAre) {
  EXPECT_EQ(error_of({.target_modules = {"query"}}),
            "target_modules: query names no linear of this model; it has q_proj, k_proj, v_proj, "
            "o_proj, gate_proj, up_proj, down_proj");
  EXPECT_EQ(error_of({.target_modules = {"q_proj", "k_proj"}}, true),
            "target_modules: q_proj, k_proj names no linear of this model; it has qkv_proj, "
            "o_proj, gate_up_proj, down_proj");
  EXPECT_THAT(unmatched_targets({.target_modules = {"q_proj", "o_proj"}}, small(true)),
              testing::ElementsAre("q_proj"));
}

TEST(LoraConfig, RefusesValuesOutOfRange) {
  EXPECT_EQ(error_of({.rank = 0}), "r: 0 is not in 1..1024");
  EXPECT_EQ(error_of({.alpha = 0}), "lora_alpha: must be a positive number");
  EXPECT_EQ(error_of({.dropout = 1}), "lora_dropout: must be in [0, 1)");
  EXPECT_EQ(error_of({.layers_to_transform = {3}}),
            "layers_to_transform: 3 where the model has 3 layers");
  EXPECT_EQ(error_of({.target_modules = {"("}, .target_is_pattern = true}),
            "target_modules: \"(\" is no regular expression");
}

}  // namespace
}  // namespace tuning

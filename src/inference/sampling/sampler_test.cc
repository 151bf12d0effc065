#include "inference/sampling/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

namespace inference {
namespace {

using testing::ElementsAre;

std::vector<float> random_logits(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 3.0F);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TokenId choose(Sampler& sampler, std::vector<float> logits) {
  SamplerScratch scratch;
  return sampler.choose(logits, scratch).token;
}

/// How often each token comes in many draws.
std::map<TokenId, double> shares(const SamplingOptions& options, const std::vector<float>& logits) {
  constexpr int kDraws = 5'000;
  Sampler sampler(options);
  SamplerScratch scratch;
  std::map<TokenId, double> counts;
  for (int i = 0; i < kDraws; ++i) {
    std::vector<float> copy = logits;
    counts[sampler.choose(copy, scratch).token] += 1.0 / kDraws;
  }
  return counts;
}

TEST(SelectTop, AgreesWithSorting) {
  for (const std::size_t count : {1UZ, 2UZ, 10UZ, 100UZ, 1000UZ}) {
    const std::vector<float> logits = random_logits(1000, static_cast<unsigned>(count));
    std::vector<TokenId> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
      return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    std::vector<Candidate> top;
    select_top(logits, count, top);
    ASSERT_EQ(top.size(), count);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(top[i].token, order[i]) << count;
  }
}

TEST(SelectTop, TakesAllWhenThereAreFewer) {
  std::vector<Candidate> top;
  select_top(std::vector<float>{1, 3, 2}, 10, top);
  ASSERT_EQ(top.size(), 3U);
  EXPECT_EQ(top[0].token, 1);
}

TEST(Likeliest, FindsTheLargestAtEveryPlace) {
  for (std::size_t place = 0; place < 50; ++place) {
    std::vector<float> logits(50, -1.0F);
    logits[place] = 2.0F;
    EXPECT_EQ(likeliest(logits), static_cast<TokenId>(place));
  }
}

TEST(Sampler, TemperatureZeroIsGreedy) {
  Sampler sampler({.temperature = 0});
  EXPECT_EQ(choose(sampler, {0.1F, 5.0F, 4.9F}), 1);
}

TEST(Sampler, SameSeedSameTokens) {
  const std::vector<float> logits = random_logits(500, 1);
  Sampler first({.seed = 42}), second({.seed = 42}), other({.seed = 43});
  int same = 0, same_as_other = 0;
  for (int i = 0; i < 50; ++i) {
    const TokenId token = choose(first, logits);
    same += token == choose(second, logits) ? 1 : 0;
    same_as_other += token == choose(other, logits) ? 1 : 0;
  }
  EXPECT_EQ(same, 50);
  EXPECT_LT(same_as_other, 50);
}

TEST(Sampler, DrawsInProportion) {
  const auto counts = shares({.seed = 1}, {std::log(0.5F), std::log(0.3F), std::log(0.2F)});
  EXPECT_NEAR(counts.at(0), 0.5, 0.03);
  EXPECT_NEAR(counts.at(1), 0.3, 0.03);
  EXPECT_NEAR(counts.at(2), 0.2, 0.03);
}

TEST(Sampler, TopKKeepsK) {
  const auto counts =
      shares({.top_k = 2, .seed = 1}, {std::log(0.5F), std::log(0.3F), std::log(0.2F)});
  EXPECT_FALSE(counts.contains(2));
  EXPECT_NEAR(counts.at(0), 0.625, 0.03);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  // 0.5 + 0.3 reaches 0.7; the third is out, and the two keep their proportion.
  for (const int top_k : {0, 3}) {
    const auto counts = shares({.top_k = top_k, .top_p = 0.7F, .seed = 1},
                               {std::log(0.5F), std::log(0.3F), std::log(0.2F)});
    EXPECT_FALSE(counts.contains(2)) << top_k;
    EXPECT_NEAR(counts.at(0), 0.625, 0.03) << top_k;
  }
}

TEST(Sampler, TopPCountsTheLongTail) {
  // One likely token and 3,000 unlikely ones that together weigh as much: the likely one is half
  // of the whole, so top_p 0.9 must let others through.
  std::vector<float> logits(3'000, std::log(0.5F / 3'000));
  logits[7] = std::log(0.5F);
  const auto counts = shares({.top_p = 0.9F, .seed = 1}, logits);
  EXPECT_NEAR(counts.at(7), 0.5 / 0.9, 0.04);
}

TEST(Sampler, MinPCutsRelativeToTheBest) {
  const auto counts =
      shares({.min_p = 0.5F, .seed = 1}, {std::log(0.5F), std::log(0.3F), std::log(0.2F)});
  EXPECT_FALSE(counts.contains(2));
  EXPECT_TRUE(counts.contains(1));
}

TEST(Sampler, PenaltiesMoveTheChoice) {
  Sampler presence({.temperature = 0, .presence_penalty = 1.0F});
  EXPECT_EQ(choose(presence, {1.0F, 0.5F}), 0);
  EXPECT_EQ(choose(presence, {1.0F, 0.5F}), 1);
  Sampler frequency({.temperature = 0, .frequency_penalty = 0.3F});
  EXPECT_EQ(choose(frequency, {1.0F, 0.5F}), 0);
  EXPECT_EQ(choose(frequency, {1.0F, 0.5F}), 0);
  EXPECT_EQ(choose(frequency, {1.0F, 0.5F}), 1);
  Sampler repetition({.temperature = 0, .repetition_penalty = 2.0F});
  repetition.observe_prompt(std::vector<TokenId>{0});
  EXPECT_EQ(choose(repetition, {1.0F, 0.6F}), 1);
  Sampler negative({.temperature = 0, .repetition_penalty = 2.0F});
  negative.observe_prompt(std::vector<TokenId>{0});
  EXPECT_EQ(choose(negative, {-1.0F, -1.5F}), 1) << "a negative logit is multiplied";
}

TEST(Sampler, BiasAndForbiddenTokens) {
  Sampler biased({.temperature = 0, .logit_bias = {{1, 100.0F}}});
  EXPECT_EQ(choose(biased, {5.0F, 0.0F, 1.0F}), 1);
  Sampler plain({.temperature = 0});
  SamplerScratch scratch;
  std::vector<float> logits{5.0F, 0.0F, 1.0F};
  EXPECT_EQ(plain.choose(logits, std::vector<TokenId>{0}, scratch).token, 2);
}

TEST(Sampler, ReportsLogProbabilitiesOfTheModel) {
  Sampler sampler({.temperature = 0, .logit_bias = {{1, 100.0F}}, .top_logprobs = 2});
  SamplerScratch scratch;
  std::vector<float> logits{std::log(0.7F), std::log(0.2F), std::log(0.1F)};
  const Choice choice = sampler.choose(logits, scratch);
  EXPECT_EQ(choice.token, 1);
  EXPECT_NEAR(choice.logprob, std::log(0.2), 1e-4);
  ASSERT_EQ(choice.top.size(), 2U);
  EXPECT_EQ(choice.top[0].token, 0);
  EXPECT_NEAR(choice.top[0].logprob, std::log(0.7), 1e-4);
}

class OnlyOdd final : public Constraint {
 public:
  explicit OnlyOdd(std::vector<TokenId>& accepted) : accepted_(accepted) {}
  void filter(std::span<Candidate> candidates) override {
    for (Candidate& candidate : candidates)
      if (candidate.token % 2 == 0) candidate.logit = -std::numeric_limits<float>::infinity();
  }
  void accept(TokenId token) override { accepted_.push_back(token); }

 private:
  std::vector<TokenId>& accepted_;
};

TEST(Sampler, ObeysTheConstraint) {
  std::vector<TokenId> accepted;
  Sampler sampler({.temperature = 0}, std::make_unique<OnlyOdd>(accepted));
  EXPECT_EQ(choose(sampler, {9.0F, 1.0F, 8.0F, 2.0F}), 3);
  EXPECT_EQ(choose(sampler, {1.0F, 9.0F, 8.0F, 2.0F}), 1);
  EXPECT_THAT(accepted, ElementsAre(3, 1));
}

}  // namespace
}  // namespace inference

#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <unordered_map>
#include <vector>

#include "inference/engine/types.h"
#include "inference/sampling/constraint.h"

namespace inference {

struct LogitBias {
  TokenId token = 0;
  float bias = 0;
};

/// How the next token is chosen. The order is that of vLLM: bias, penalties, constraint,
/// temperature, min_p, top_k, top_p.
struct SamplingOptions {
  float temperature = 1.0F;  ///< 0 takes the likeliest token.
  int top_k = 0;             ///< 0: all.
  float top_p = 1.0F;
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;  ///< On tokens of prompt and answer, as Hugging Face.
  float presence_penalty = 0.0F;    ///< On tokens of the answer, as OpenAI.
  float frequency_penalty = 0.0F;
  std::uint64_t seed = 0;
  std::vector<LogitBias> logit_bias;
  int top_logprobs = -1;  ///< -1: no log probabilities; else how many alternatives to report.
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

struct Choice {
  TokenId token = 0;
  float logprob = 0;              ///< Of the model itself, before penalties and temperature.
  std::vector<TokenLogprob> top;  ///< The likeliest alternatives, best first.
};

/// Memory that choices need for a moment; shared by the samplers of one thread.
struct SamplerScratch {
  std::vector<Candidate> candidates;
  std::vector<float> weights;
  std::vector<float> raw_logits;
};

/// Chooses the tokens of one generation. Deterministic for a seed. One thread at a time.
class Sampler {
 public:
  explicit Sampler(SamplingOptions options, std::unique_ptr<Constraint> constraint = nullptr);

  /// Tokens before the answer, for the repetition penalty.
  void observe_prompt(std::span<const TokenId> tokens);
  /// The next token. Overwrites `logits` where bias and penalties apply.
  Choice choose(std::span<float> logits, SamplerScratch& scratch);
  /// As `choose`, never one of `forbidden` (a generation that must not end yet).
  Choice choose(std::span<float> logits, std::span<const TokenId> forbidden,
                SamplerScratch& scratch);

 private:
  void apply_penalties(std::span<float> logits) const;
  TokenId pick(std::span<const float> logits, SamplerScratch& scratch);
  TokenId draw(std::span<const float> logits, SamplerScratch& scratch);
  TokenId draw_from_all(std::span<const float> logits);
  /// `tail` is the weight of the tokens that `sorted` leaves out, relative to its first.
  TokenId draw_from(std::span<const Candidate> sorted, double tail, SamplerScratch& scratch);
  TokenId pick_constrained(std::span<float> logits, SamplerScratch& scratch);
  double uniform();

  SamplingOptions options_;
  std::unique_ptr<Constraint> constraint_;
  std::mt19937_64 random_;
  std::unordered_map<TokenId, int> answer_counts_;
  std::unordered_map<TokenId, int> prompt_counts_;
};

/// The index of the largest value.
TokenId likeliest(std::span<const float> logits);
/// The `count` largest logits, best first, equal ones by token.
void select_top(std::span<const float> logits, std::size_t count, std::vector<Candidate>& out);

}  // namespace inference

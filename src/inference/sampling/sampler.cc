#include "inference/sampling/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace inference {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
/// Candidates whose weight is below e^-kTailNats of the likeliest one are looked at only when the
/// others do not make up top_p.
constexpr float kTailNats = 14.0F;

bool better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/// log(sum(exp(x))), with the largest value given.
double log_sum(std::span<const float> values, float largest) {
  double sum = 0;
  for (const float value : values) sum += std::exp(value - largest);
  return static_cast<double>(largest) + std::log(sum);
}

}  // namespace

TokenId likeliest(std::span<const float> logits) {
  // Sixteen lanes, so that the compiler can use vector registers; the index is looked up after.
  constexpr std::size_t kLanes = 16;
  std::array<float, kLanes> best;
  best.fill(kForbidden);
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      best[lane] = logits[i + lane] > best[lane] ? logits[i + lane] : best[lane];
  }
  float largest = *std::max_element(best.begin(), best.end());
  for (; i < logits.size(); ++i) largest = std::max(largest, logits[i]);
  const auto at = std::find(logits.begin(), logits.end(), largest);
  return at == logits.end() ? 0 : static_cast<TokenId>(at - logits.begin());
}

void select_top(std::span<const float> logits, std::size_t count, std::vector<Candidate>& out) {
  out.clear();
  count = std::min(count, logits.size());
  if (count == 0) return;
  // Collects up to twice `count` values above a rising bar instead of sorting the vocabulary.
  const std::size_t room = 2 * count;
  out.reserve(room);
  float bar = kForbidden;
  const auto shrink = [&] {
    std::nth_element(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count - 1), out.end(),
                     better);
    out.resize(count);
    bar = out[count - 1].logit;
  };
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > bar) && out.size() >= count) continue;
    out.push_back({static_cast<TokenId>(i), logits[i]});
    if (out.size() == room) shrink();
  }
  if (out.size() > count) shrink();
  std::sort(out.begin(), out.end(), better);
}

Sampler::Sampler(SamplingOptions options, std::unique_ptr<Constraint> constraint)
    : options_(std::move(options)), constraint_(std::move(constraint)), random_(options_.seed) {}

void Sampler::observe_prompt(std::span<const TokenId> tokens) {
  if (options_.repetition_penalty == 1.0F) return;
  for (const TokenId token : tokens) ++prompt_counts_[token];
}

Choice Sampler::choose(std::span<float> logits, SamplerScratch& scratch) {
  return choose(logits, {}, scratch);
}

Choice Sampler::choose(std::span<float> logits, std::span<const TokenId> forbidden,
                       SamplerScratch& scratch) {
  Choice choice;
  double total = 0;
  if (options_.top_logprobs >= 0) {
    select_top(logits, static_cast<std::size_t>(std::max(options_.top_logprobs, 1)),
               scratch.candidates);
    total = log_sum(logits, scratch.candidates.front().logit);
    for (int i = 0; i < options_.top_logprobs; ++i) {
      const Candidate& one = scratch.candidates[static_cast<std::size_t>(i)];
      choice.top.push_back({one.token, static_cast<float>(static_cast<double>(one.logit) - total)});
    }
    scratch.raw_logits.assign(logits.begin(), logits.end());
  }
  apply_penalties(logits);
  for (const TokenId token : forbidden) logits[static_cast<std::size_t>(token)] = kForbidden;
  choice.token = constraint_ ? pick_constrained(logits, scratch) : pick(logits, scratch);
  if (options_.top_logprobs >= 0) {
    const float raw = scratch.raw_logits[static_cast<std::size_t>(choice.token)];
    choice.logprob = static_cast<float>(static_cast<double>(raw) - total);
  }
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0 ||
      options_.repetition_penalty != 1.0F)
    ++answer_counts_[choice.token];
  return choice;
}

void Sampler::apply_penalties(std::span<float> logits) const {
  for (const LogitBias& bias : options_.logit_bias)
    logits[static_cast<std::size_t>(bias.token)] += bias.bias;
  const auto punish_repetition = [&](TokenId token) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
  };
  if (options_.repetition_penalty != 1.0F) {
    for (const auto& [token, count] : prompt_counts_) punish_repetition(token);
    for (const auto& [token, count] : answer_counts_)
      if (!prompt_counts_.contains(token)) punish_repetition(token);
  }
  if (options_.presence_penalty == 0 && options_.frequency_penalty == 0) return;
  for (const auto& [token, count] : answer_counts_) {
    logits[static_cast<std::size_t>(token)] -=
        options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
  }
}

TokenId Sampler::pick(std::span<const float> logits, SamplerScratch& scratch) {
  if (options_.temperature <= 0 || options_.top_k == 1) return likeliest(logits);
  return draw(logits, scratch);
}

TokenId Sampler::pick_constrained(std::span<float> logits, SamplerScratch& scratch) {
  // Nearly always the free choice is allowed; checking one token is cheap, filtering all is not.
  Candidate one{pick(logits, scratch), 0.0F};
  constraint_->filter({&one, 1});
  if (one.logit == kForbidden) {
    std::vector<Candidate>& all = scratch.candidates;
    all.clear();
    for (std::size_t i = 0; i < logits.size(); ++i)
      all.push_back({static_cast<TokenId>(i), logits[i]});
    constraint_->filter(all);
    for (const Candidate& candidate : all)
      logits[static_cast<std::size_t>(candidate.token)] = candidate.logit;
    one.token = pick(logits, scratch);
  }
  constraint_->accept(one.token);
  return one.token;
}

TokenId Sampler::draw(std::span<const float> logits, SamplerScratch& scratch) {
  if (options_.top_k > 0 && static_cast<std::size_t>(options_.top_k) < logits.size()) {
    select_top(logits, static_cast<std::size_t>(options_.top_k), scratch.candidates);
    return draw_from(scratch.candidates, 0.0, scratch);
  }
  if (options_.top_p >= 1.0F && options_.min_p <= 0.0F) return draw_from_all(logits);
  // Only a few tokens carry weight: collect those first, and the rest when they fall short.
  const float largest = logits[static_cast<std::size_t>(likeliest(logits))];
  const auto weight = [&](float logit) {
    return static_cast<double>(std::exp((logit - largest) / options_.temperature));
  };
  double total = 0;
  for (const float logit : logits) total += weight(logit);
  float bar = largest - kTailNats * options_.temperature;
  double collected = 0;
  for (;;) {
    scratch.candidates.clear();
    collected = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] < bar) continue;
      scratch.candidates.push_back({static_cast<TokenId>(i), logits[i]});
      collected += weight(logits[i]);
    }
    if (bar == kForbidden || collected >= static_cast<double>(options_.top_p) * total) break;
    bar = kForbidden;
  }
  std::sort(scratch.candidates.begin(), scratch.candidates.end(), better);
  return draw_from(scratch.candidates, total - collected, scratch);
}

TokenId Sampler::draw_from_all(std::span<const float> logits) {
  const float largest = logits[static_cast<std::size_t>(likeliest(logits))];
  double total = 0;
  for (const float logit : logits) total += std::exp((logit - largest) / options_.temperature);
  double left = uniform() * total;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    left -= std::exp((logits[i] - largest) / options_.temperature);
    if (left < 0) return static_cast<TokenId>(i);
  }
  return likeliest(logits);
}

TokenId Sampler::draw_from(std::span<const Candidate> sorted, double tail,
                           SamplerScratch& scratch) {
  std::vector<float>& weights = scratch.weights;
  weights.clear();
  const float largest = sorted.front().logit;
  double total = tail;
  for (const Candidate& candidate : sorted) {
    const float weight = std::exp((candidate.logit - largest) / options_.temperature);
    if (weight < options_.min_p && !weights.empty()) {
      total -= tail;  // The tail is below min_p too.
      break;
    }
    weights.push_back(weight);
    total += static_cast<double>(weight);
  }
  double sum = 0;
  std::size_t kept = 0;
  while (kept < weights.size() && (kept == 0 || sum < static_cast<double>(options_.top_p) * total))
    sum += static_cast<double>(weights[kept++]);
  double left = uniform() * sum;
  for (std::size_t i = 0; i < kept; ++i) {
    left -= static_cast<double>(weights[i]);
    if (left < 0) return sorted[i].token;
  }
  return sorted.front().token;
}

double Sampler::uniform() { return static_cast<double>(random_() >> 11) * 0x1.0p-53; }

}  // namespace inference

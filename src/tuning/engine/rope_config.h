#pragma once

#include "base/result.h"
#include "json/value.h"
#include "tuning/engine/architecture.h"

namespace tuning {

/// Reads theta, the rotated part and the scaling from a `config.json` whose sizes are already in
/// `architecture`. Knows default, linear, llama3 and longrope (also called su).
/// Errors: Invalid naming the member.
base::Result<Rope> rope_from_config(const json::Object& config, const Architecture& architecture);

/// Divisors of llama3's scaling for `dimensions` rotated dimensions.
struct Llama3Scaling {
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_context_tokens = 8192;
};
std::vector<double> llama3_factors(const Llama3Scaling& scaling, double theta,
                                   std::size_t dimensions);

/// sqrt(1 + ln(scale) / ln(original)): what longrope multiplies cosine and sine by when the model
/// says nothing else. Source: transformers' modeling_rope_utils, arXiv:2402.13753.
double longrope_attention_factor(double context_tokens, double original_context_tokens);

}  // namespace tuning

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "inference/http/fields.h"
#include "inference/sampling/sampler.h"

namespace inference {

/// What a preset says about generating, between the request and the API's own defaults.
struct GenerationDefaults {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int> top_k;
};

/// The sampling members that all APIs share; absent ones stay empty.
struct SamplingFields {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int> top_k;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::optional<std::uint64_t> seed;
  std::vector<LogitBias> logit_bias;
};

/// `vocabulary_size` bounds the tokens of `logit_bias`.
SamplingFields read_sampling_fields(FieldReader& reader, int vocabulary_size);

/// The request's values, then the preset's, then `api_defaults`. Without a seed a random one.
SamplingOptions resolve(const SamplingFields& fields, const GenerationDefaults& preset,
                        const SamplingOptions& api_defaults);

}  // namespace inference

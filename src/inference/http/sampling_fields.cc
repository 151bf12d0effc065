#include "inference/http/sampling_fields.h"

#include <fmt/format.h>

#include <charconv>

#include "base/random.h"
#include "inference/http/limits.h"

namespace inference {
namespace {

constexpr Bounds kTemperature{0, 100};
constexpr Bounds kShare{0, 1};
constexpr Bounds kTopK{-1, 1e9};
constexpr Bounds kPenalty{-2, 2};
constexpr Bounds kRepetition{0.01, 100};
constexpr Bounds kSeed{-9.2e18, 1.8e19};
constexpr double kMaxBias = 100;

void read_logit_bias(FieldReader& reader, int vocabulary_size, std::vector<LogitBias>& out) {
  const json::Object* biases = reader.object("logit_bias");
  if (!biases) return;
  if (biases->size() > kMaxLogitBiases) {
    return reader.fail("logit_bias", "too_long",
                       fmt::format("at most {} tokens may have a bias", kMaxLogitBiases));
  }
  for (const auto& member : *biases) {
    const std::string_view key(member.key().data(), member.key().size());
    TokenId token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    const bool is_token = error == std::errc() && end == key.data() + key.size() && token >= 0 &&
                          token < vocabulary_size;
    const double bias =
        member.value().is_number() ? member.value().to_number<double>() : kMaxBias + 1;
    if (!is_token || bias < -kMaxBias || bias > kMaxBias) {
      return reader.fail(
          "logit_bias", "value_error",
          fmt::format("'{}' should be a token below {} with a bias between -100 and 100", key,
                      vocabulary_size));
    }
    out.push_back({token, static_cast<float>(bias)});
  }
}

}  // namespace

SamplingFields read_sampling_fields(FieldReader& reader, int vocabulary_size) {
  SamplingFields fields;
  fields.temperature = reader.number("temperature", kTemperature);
  fields.top_p = reader.number("top_p", kShare);
  if (const auto top_k = reader.integer("top_k", kTopK)) fields.top_k = static_cast<int>(*top_k);
  fields.min_p = reader.number("min_p", kShare);
  fields.repetition_penalty = reader.number("repetition_penalty", kRepetition);
  fields.presence_penalty = reader.number("presence_penalty", kPenalty);
  fields.frequency_penalty = reader.number("frequency_penalty", kPenalty);
  if (const auto seed = reader.integer("seed", kSeed))
    fields.seed = static_cast<std::uint64_t>(*seed);
  read_logit_bias(reader, vocabulary_size, fields.logit_bias);
  return fields;
}

SamplingOptions resolve(const SamplingFields& fields, const GenerationDefaults& preset,
                        const SamplingOptions& api_defaults) {
  SamplingOptions options = api_defaults;
  const auto layer = [](const auto& request, const auto& from_preset, auto& target) {
    using Target = std::remove_reference_t<decltype(target)>;
    if (request) {
      target = static_cast<Target>(*request);
    } else if (from_preset) {
      target = static_cast<Target>(*from_preset);
    }
  };
  const std::optional<double> none;
  layer(fields.temperature, preset.temperature, options.temperature);
  layer(fields.top_p, preset.top_p, options.top_p);
  layer(fields.top_k, preset.top_k, options.top_k);
  layer(fields.min_p, none, options.min_p);
  layer(fields.repetition_penalty, none, options.repetition_penalty);
  layer(fields.presence_penalty, none, options.presence_penalty);
  layer(fields.frequency_penalty, none, options.frequency_penalty);
  if (options.top_k < 0) options.top_k = 0;
  options.logit_bias = fields.logit_bias;
  options.seed = fields.seed ? *fields.seed : base::random_below(~std::uint64_t{0});
  return options;
}

}  // namespace inference

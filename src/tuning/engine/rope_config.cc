#include "tuning/engine/rope_config.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "tuning/engine/json_fields.h"

namespace tuning {
namespace {

base::Error invalid(std::string message) { return {base::ErrorCode::Invalid, std::move(message)}; }

base::Result<std::vector<double>> factors(const json::Object& scaling, std::string_view name,
                                          std::size_t wanted) {
  const auto* value = present(scaling, name);
  if (value == nullptr || !value->is_array()) {
    return invalid(fmt::format("rope_scaling.{}: expected an array of {} numbers", name, wanted));
  }
  std::vector<double> result;
  for (const auto& item : value->get_array()) {
    if (!item.is_number() || !(item.to_number<double>() > 0)) {
      return invalid(fmt::format("rope_scaling.{}: every factor must be a positive number", name));
    }
    result.push_back(item.to_number<double>());
  }
  if (result.size() != wanted) {
    return invalid(fmt::format("rope_scaling.{}: {} factors where {} are needed", name,
                               result.size(), wanted));
  }
  return result;
}

base::Status read_longrope(const json::Object& config, const json::Object& scaling,
                           const Architecture& architecture, Rope& rope) {
  const std::size_t pairs = rope.rotated_dimensions / 2;
  rope.short_factors = TRY(factors(scaling, "short_factor", pairs));
  rope.long_factors = TRY(factors(scaling, "long_factor", pairs));
  auto original = TRY(size_field(config, "original_max_position_embeddings"));
  if (!original) original = TRY(size_field(scaling, "original_max_position_embeddings"));
  if (!original || *original < 2) {
    return invalid("original_max_position_embeddings: longrope needs it");
  }
  rope.original_context_tokens = *original;
  const auto given = TRY(number_field(scaling, "attention_factor"));
  rope.attention_factor = given.value_or(longrope_attention_factor(
      static_cast<double>(architecture.context_tokens), static_cast<double>(*original)));
  return {};
}

base::Status read_llama3(const json::Object& scaling, Rope& rope) {
  Llama3Scaling values;
  values.factor = TRY(number_field(scaling, "factor")).value_or(0);
  values.low_frequency_factor = TRY(number_field(scaling, "low_freq_factor")).value_or(0);
  values.high_frequency_factor = TRY(number_field(scaling, "high_freq_factor")).value_or(0);
  values.original_context_tokens =
      TRY(number_field(scaling, "original_max_position_embeddings")).value_or(0);
  if (!(values.factor >= 1) || !(values.low_frequency_factor > 0) ||
      !(values.high_frequency_factor > values.low_frequency_factor) ||
      !(values.original_context_tokens > 1)) {
    return invalid(
        "rope_scaling: llama3 needs factor, low_freq_factor < high_freq_factor and "
        "original_max_position_embeddings");
  }
  rope.short_factors = llama3_factors(values, rope.theta, rope.rotated_dimensions);
  return {};
}

base::Status read_scaling(const json::Object& config, const json::Object& scaling,
                          const Architecture& architecture, Rope& rope) {
  auto kind = TRY(text_field(scaling, "rope_type"));
  if (!kind) kind = TRY(text_field(scaling, "type"));
  const std::string name = kind.value_or("default");
  if (name == "default") return {};
  if (name == "longrope" || name == "su") return read_longrope(config, scaling, architecture, rope);
  if (name == "llama3") return read_llama3(scaling, rope);
  if (name == "linear") {
    const double factor = TRY(number_field(scaling, "factor")).value_or(0);
    if (!(factor >= 1)) return invalid("rope_scaling.factor: linear needs a number of 1 or more");
    rope.short_factors.assign(rope.rotated_dimensions / 2, factor);
    return {};
  }
  return invalid(fmt::format(
      "rope_scaling: {} is not supported; known are default, linear, llama3 and longrope", name));
}

}  // namespace

double longrope_attention_factor(double context_tokens, double original_context_tokens) {
  const double scale = context_tokens / original_context_tokens;
  if (scale <= 1) return 1;
  return std::sqrt(1 + std::log(scale) / std::log(original_context_tokens));
}

std::vector<double> llama3_factors(const Llama3Scaling& scaling, double theta,
                                   std::size_t dimensions) {
  std::vector<double> result;
  const double long_wave = scaling.original_context_tokens / scaling.low_frequency_factor;
  const double short_wave = scaling.original_context_tokens / scaling.high_frequency_factor;
  for (std::size_t i = 0; i < dimensions / 2; ++i) {
    const double frequency =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dimensions));
    const double wave = 2 * std::numbers::pi / frequency;
    if (wave < short_wave) {
      result.push_back(1);
    } else if (wave > long_wave) {
      result.push_back(scaling.factor);
    } else {
      const double smooth =
          (scaling.original_context_tokens / wave - scaling.low_frequency_factor) /
          (scaling.high_frequency_factor - scaling.low_frequency_factor);
      result.push_back(1 / ((1 - smooth) / scaling.factor + smooth));
    }
  }
  return result;
}

base::Result<Rope> rope_from_config(const json::Object& config, const Architecture& architecture) {
  // transformers 5 keeps theta and scaling in one member, earlier ones in two.
  const json::Object none;
  const auto member = [&](std::string_view name) -> const json::Object& {
    const auto* value = present(config, name);
    return value != nullptr && value->is_object() ? value->get_object() : none;
  };
  const json::Object& parameters = member("rope_parameters");
  const json::Object& scaling = parameters.empty() ? member("rope_scaling") : parameters;

  Rope rope;
  auto theta = TRY(number_field(config, "rope_theta"));
  if (!theta) theta = TRY(number_field(parameters, "rope_theta"));
  rope.theta = theta.value_or(rope.theta);
  if (!(rope.theta > 1)) return invalid("rope_theta: must be more than 1");
  auto part = TRY(number_field(config, "partial_rotary_factor"));
  if (!part) part = TRY(number_field(parameters, "partial_rotary_factor"));
  const double rotated = part.value_or(1) * static_cast<double>(architecture.head_dimension);
  if (!(rotated >= 2) || rotated > static_cast<double>(architecture.head_dimension)) {
    return invalid("partial_rotary_factor: must be in (0, 1]");
  }
  rope.rotated_dimensions = static_cast<std::size_t>(rotated);
  TRY(read_scaling(config, scaling, architecture, rope));
  return rope;
}

}  // namespace tuning

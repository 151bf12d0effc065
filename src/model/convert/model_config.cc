#include "model/convert/model_config.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <numbers>

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

constexpr std::uint64_t kMaxSize = 1 << 24;

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

Result<std::uint64_t> size_in(const json::Value& config, std::string_view member) {
  const auto value = json::find_int(config, member);
  if (!value || *value <= 0 || static_cast<std::uint64_t>(*value) > kMaxSize)
    return invalid(fmt::format("{} should be a whole number from 1 to {}", member, kMaxSize));
  return static_cast<std::uint64_t>(*value);
}

std::uint64_t size_or(const json::Value& config, std::string_view member, std::uint64_t otherwise) {
  const auto value = json::find_int(config, member);
  return value && *value > 0 && static_cast<std::uint64_t>(*value) <= kMaxSize
             ? static_cast<std::uint64_t>(*value)
             : otherwise;
}

double number_or(const json::Value* parent, std::string_view member, double otherwise) {
  const json::Value* value = parent ? json::find(*parent, member) : nullptr;
  return value && value->is_number() ? value->to_number<double>() : otherwise;
}

bool flag_in(const json::Value& config, std::string_view member) {
  const json::Value* value = json::find(config, member);
  const bool* flag = value ? value->if_bool() : nullptr;
  return flag && *flag;
}

/// float32 values have a shortest decimal that people wrote: 1e-5, not 9.999999747378752e-06.
double shortest(double stored) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, static_cast<float>(stored)).ptr;
  double value = stored;
  std::from_chars(text, end, value);
  return value;
}

Result<ModelFamily> family_of(const json::Value& config) {
  const std::string_view type = json::find_string(config, "model_type");
  for (const ModelFamily one :
       {ModelFamily::Llama, ModelFamily::Mistral, ModelFamily::Qwen2, ModelFamily::Phi3})
    if (name_of(one) == type) return one;
  return invalid(
      fmt::format("model_type {} cannot be converted, only llama, mistral, qwen2 and phi3", type));
}

/// Newer files have `rope_parameters`, older ones `rope_scaling` and members beside it.
const json::Value* rope_of(const json::Value& config) {
  for (const char* member : {"rope_parameters", "rope_scaling"})
    if (const json::Value* rope = json::find(config, member); rope && rope->is_object())
      return rope;
  return nullptr;
}

Result<std::vector<float>> factors_in(const json::Value& rope, std::string_view member,
                                      std::uint64_t count) {
  const json::Array* array = json::find_array(rope, member);
  if (!array || array->size() != count)
    return invalid(fmt::format("rope {} should hold {} numbers", member, count));
  std::vector<float> factors;
  for (const json::Value& one : *array) {
    if (!one.is_number()) return invalid(fmt::format("rope {} should hold numbers", member));
    factors.push_back(static_cast<float>(one.to_number<double>()));
  }
  return factors;
}

/// Llama 3.1's stretching of the slow rotations. Source: transformers, _compute_llama3_parameters.
Result<std::vector<float>> llama3_factors(const json::Value& rope, const ModelConfig& config) {
  const double factor = number_or(&rope, "factor", 8);
  const double low = number_or(&rope, "low_freq_factor", 1);
  const double high = number_or(&rope, "high_freq_factor", 4);
  const double context = number_or(&rope, "original_max_position_embeddings", 8192);
  if (!(factor >= 1) || !(high > low)) return invalid("rope factors of llama3 are out of range");
  std::vector<float> factors;
  for (std::uint64_t i = 0; i < config.rotated_size; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(config.rotated_size);
    const double wavelength = 2 * std::numbers::pi * std::pow(config.rope_theta, exponent);
    double value = 1;
    if (wavelength > context / low) {
      value = factor;
    } else if (wavelength >= context / high) {
      const double smooth = (context / wavelength - low) / (high - low);
      value = 1 / ((1 - smooth) / factor + smooth);
    }
    factors.push_back(static_cast<float>(value));
  }
  return factors;
}

base::Status read_rope(const json::Value& document, ModelConfig& config) {
  const json::Value* rope = rope_of(document);
  config.rope_theta =
      number_or(rope, "rope_theta", number_or(&document, "rope_theta", config.rope_theta));
  const double share =
      number_or(rope, "partial_rotary_factor", number_or(&document, "partial_rotary_factor", 1));
  if (!(share > 0 && share <= 1))
    return invalid("partial_rotary_factor should be above 0, at most 1");
  config.rotated_size = static_cast<std::uint64_t>(share * static_cast<double>(config.head_size));
  if (!rope) return {};
  std::string_view type = json::find_string(*rope, "rope_type");
  if (type.empty()) type = json::find_string(*rope, "type");
  if (type.empty() || type == "default") return {};
  if (type == "llama3") {
    config.llama3_factors = TRY(llama3_factors(*rope, config));
    return {};
  }
  if (config.family == ModelFamily::Phi3 && (type == "longrope" || type == "su")) {
    config.short_factors = TRY(factors_in(*rope, "short_factor", config.rotated_size / 2));
    config.long_factors = TRY(factors_in(*rope, "long_factor", config.rotated_size / 2));
    return {};
  }
  return invalid(fmt::format("rope scaling of type {} cannot be converted", type));
}

}  // namespace

std::string_view name_of(ModelFamily family) {
  switch (family) {
    case ModelFamily::Llama:
      return "llama";
    case ModelFamily::Mistral:
      return "mistral";
    case ModelFamily::Qwen2:
      return "qwen2";
    case ModelFamily::Phi3:
      break;
  }
  return "phi3";
}

std::string ModelConfig::architecture() const {
  return std::string(family == ModelFamily::Mistral ? "llama" : name_of(family));
}

Result<ModelConfig> model_config_from_json(const json::Value& document) {
  ModelConfig config;
  config.family = TRY(family_of(document));
  config.vocabulary_size = TRY(size_in(document, "vocab_size"));
  config.hidden_size = TRY(size_in(document, "hidden_size"));
  config.intermediate_size = TRY(size_in(document, "intermediate_size"));
  config.layers = TRY(size_in(document, "num_hidden_layers"));
  config.heads = TRY(size_in(document, "num_attention_heads"));
  config.kv_heads = size_or(document, "num_key_value_heads", config.heads);
  config.head_size = size_or(document, "head_dim", config.hidden_size / config.heads);
  config.context_tokens = TRY(size_in(document, "max_position_embeddings"));
  config.norm_epsilon = number_or(&document, "rms_norm_eps", config.norm_epsilon);
  config.tied_head = flag_in(document, "tie_word_embeddings");
  for (const char* member : {"attention_bias", "mlp_bias"})
    if (flag_in(document, member)) return invalid(fmt::format("{} cannot be converted", member));
  const json::Value* window_use = json::find(document, "use_sliding_window");
  const bool window_off = window_use && window_use->is_bool() && !window_use->get_bool();
  if (!window_off) config.sliding_window = size_or(document, "sliding_window", 0);
  config.original_context_tokens =
      size_or(document, "original_max_position_embeddings", config.context_tokens);
  TRY(read_rope(document, config));
  return config;
}

Result<ModelConfig> model_config_from_gguf(const GgufHeader& header) {
  ModelConfig config;
  const std::string name(header.text("general.architecture"));
  if (name == "llama") {
    config.family = ModelFamily::Llama;
  } else if (name == "qwen2") {
    config.family = ModelFamily::Qwen2;
  } else if (name == "phi3") {
    config.family = ModelFamily::Phi3;
  } else {
    return invalid(
        fmt::format("the architecture {} cannot be converted, only llama, qwen2 and phi3", name));
  }
  const auto number = [&](std::string_view key) {
    return header.number(fmt::format("{}.{}", name, key));
  };
  const auto real = [&](std::string_view key, double otherwise) {
    return shortest(header.real(fmt::format("{}.{}", name, key)).value_or(otherwise));
  };
  const GgufTensor* embedding = header.find_tensor("token_embd.weight");
  if (!embedding || embedding->shape.size() != 2) return invalid("token_embd.weight is missing");
  config.vocabulary_size = embedding->shape[0];
  config.hidden_size = number("embedding_length").value_or(0);
  config.intermediate_size = number("feed_forward_length").value_or(0);
  config.layers = number("block_count").value_or(0);
  config.heads = number("attention.head_count").value_or(0);
  config.kv_heads = number("attention.head_count_kv").value_or(config.heads);
  config.context_tokens = number("context_length").value_or(0);
  if (config.hidden_size == 0 || config.intermediate_size == 0 || config.layers == 0 ||
      config.heads == 0 || config.kv_heads == 0 || config.context_tokens == 0)
    return invalid("the header lacks the model's sizes");
  config.head_size = number("attention.key_length").value_or(config.hidden_size / config.heads);
  config.norm_epsilon = real("attention.layer_norm_rms_epsilon", 1e-5);
  config.rope_theta = real("rope.freq_base", 10000);
  config.rotated_size = number("rope.dimension_count").value_or(config.head_size);
  config.sliding_window = number("attention.sliding_window").value_or(0);
  config.original_context_tokens =
      number("rope.scaling.original_context_length").value_or(config.context_tokens);
  config.tied_head = !header.find_tensor("output.weight");
  if (header.find_tensor("rope_freqs.weight"))
    return invalid(
        "the RoPE factors of this model (llama3) cannot be turned back into config.json");
  return config;
}

Result<json::Object> to_json(const ModelConfig& config) {
  static constexpr const char* kClasses[] = {"LlamaForCausalLM", "MistralForCausalLM",
                                             "Qwen2ForCausalLM", "Phi3ForCausalLM"};
  json::Object rope{{"rope_type", "default"}, {"rope_theta", config.rope_theta}};
  json::Value old_rope = nullptr;
  if (!config.long_factors.empty()) {
    const auto list = [](const std::vector<float>& factors) {
      json::Array out;
      for (const float one : factors) out.push_back(shortest(static_cast<double>(one)));
      return out;
    };
    rope["rope_type"] = "longrope";
    rope["short_factor"] = list(config.short_factors);
    rope["long_factor"] = list(config.long_factors);
    old_rope = json::Object{{"type", "longrope"},
                            {"short_factor", list(config.short_factors)},
                            {"long_factor", list(config.long_factors)}};
  }
  json::Object out{
      {"architectures", json::Array{kClasses[static_cast<std::size_t>(config.family)]}},
      {"model_type", json::String(name_of(config.family))},
      {"vocab_size", config.vocabulary_size},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"num_hidden_layers", config.layers},
      {"num_attention_heads", config.heads},
      {"num_key_value_heads", config.kv_heads},
      {"head_dim", config.head_size},
      {"max_position_embeddings", config.context_tokens},
      {"hidden_act", "silu"},
      {"rms_norm_eps", config.norm_epsilon},
      // transformers 5 reads rope_parameters, older ones rope_theta and rope_scaling.
      {"rope_theta", config.rope_theta},
      {"rope_parameters", rope},
      {"rope_scaling", old_rope},
      {"attention_dropout", 0.0},
      {"initializer_range", 0.02},
      {"tie_word_embeddings", config.tied_head},
      {"use_cache", true}};
  if (config.family == ModelFamily::Llama) {
    out["attention_bias"] = false;
    out["mlp_bias"] = false;
  }
  if (config.family == ModelFamily::Phi3)
    out["original_max_position_embeddings"] = config.original_context_tokens;
  if (config.rotated_size != config.head_size) {
    const double share =
        static_cast<double>(config.rotated_size) / static_cast<double>(config.head_size);
    out["partial_rotary_factor"] = share;
    out["rope_parameters"].as_object()["partial_rotary_factor"] = share;
  }
  if (config.sliding_window != 0) out["sliding_window"] = config.sliding_window;
  return out;
}

void write_config(const ModelConfig& config, GgufWriter& writer) {
  const std::string name = config.architecture();
  const auto number = [&](std::string_view key, std::uint64_t value) {
    writer.number(fmt::format("{}.{}", name, key), static_cast<std::uint32_t>(value));
  };
  const auto real = [&](std::string_view key, double value) {
    writer.real(fmt::format("{}.{}", name, key), static_cast<float>(value));
  };
  number("context_length", config.context_tokens);
  number("embedding_length", config.hidden_size);
  number("block_count", config.layers);
  number("feed_forward_length", config.intermediate_size);
  number("attention.head_count", config.heads);
  number("attention.head_count_kv", config.kv_heads);
  real("attention.layer_norm_rms_epsilon", config.norm_epsilon);
  real("rope.freq_base", config.rope_theta);
  number("rope.dimension_count", config.rotated_size);
  number("vocab_size", config.vocabulary_size);
  if (config.head_size * config.heads != config.hidden_size) {
    number("attention.key_length", config.head_size);
    number("attention.value_length", config.head_size);
  }
  if (config.family != ModelFamily::Phi3) return;
  number("attention.sliding_window", config.sliding_window);
  number("rope.scaling.original_context_length", config.original_context_tokens);
  if (config.long_factors.empty()) return;
  // Source: transformers, _compute_longrope_parameters.
  const double stretch = static_cast<double>(config.context_tokens) /
                         static_cast<double>(config.original_context_tokens);
  const double original = static_cast<double>(config.original_context_tokens);
  real("rope.scaling.attn_factor",
       stretch <= 1 ? 1 : std::sqrt(1 + std::log(stretch) / std::log(original)));
}

}  // namespace model

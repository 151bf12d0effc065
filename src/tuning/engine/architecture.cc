#include "tuning/engine/architecture.h"

#include <fmt/format.h>

#include "tuning/engine/json_fields.h"
#include "tuning/engine/rope_config.h"

namespace tuning {
namespace {

constexpr std::size_t kMaxLayers = 1024;
constexpr std::size_t kMaxWidth = 1 << 18;
constexpr std::size_t kMaxVocabulary = 1 << 22;
constexpr std::size_t kMaxContext = 1 << 27;

base::Error invalid(std::string message) { return {base::ErrorCode::Invalid, std::move(message)}; }

base::Result<Family> family_of(const json::Object& config) {
  const auto type = TRY(text_field(config, "model_type")).value_or("");
  for (const Family family : {Family::Llama, Family::Mistral, Family::Qwen2, Family::Phi3}) {
    if (type == name_of(family)) return family;
  }
  return invalid(fmt::format(
      "model_type: \"{}\" cannot be tuned; known are llama, mistral, qwen2 and phi3", type));
}

base::Result<std::size_t> required_size(const json::Object& config, std::string_view name) {
  const auto value = TRY(size_field(config, name));
  if (!value) return invalid(fmt::format("{}: missing", name));
  return *value;
}

base::Status refuse_unknown_math(const json::Object& config) {
  const auto activation = TRY(text_field(config, "hidden_act")).value_or("silu");
  if (activation != "silu" && activation != "swish") {
    return invalid(fmt::format("hidden_act: \"{}\" is not supported, only silu", activation));
  }
  for (const std::string_view name : {"attention_bias", "mlp_bias"}) {
    const auto flag = TRY(flag_field(config, name));
    if (flag.value_or(false)) return invalid(fmt::format("{}: true is not supported", name));
  }
  return {};
}

base::Result<std::size_t> sliding_window_of(const json::Object& config, Family family) {
  const auto used = TRY(flag_field(config, "use_sliding_window"));
  const bool by_default = family == Family::Mistral || family == Family::Phi3;
  if (!used.value_or(by_default)) return std::size_t{0};
  return TRY(size_field(config, "sliding_window")).value_or(0);
}

}  // namespace

std::string_view name_of(Family family) {
  switch (family) {
    case Family::Llama:
      return "llama";
    case Family::Mistral:
      return "mistral";
    case Family::Qwen2:
      return "qwen2";
    case Family::Phi3:
      return "phi3";
  }
  return "unknown";
}

std::vector<LinearShape> block_linears(const Architecture& a) {
  if (a.fused) {
    return {{"self_attn.qkv_proj", a.hidden_size, a.query_size() + 2 * a.kv_size()},
            {"self_attn.o_proj", a.query_size(), a.hidden_size},
            {"mlp.gate_up_proj", a.hidden_size, 2 * a.intermediate_size},
            {"mlp.down_proj", a.intermediate_size, a.hidden_size}};
  }
  return {{"self_attn.q_proj", a.hidden_size, a.query_size()},
          {"self_attn.k_proj", a.hidden_size, a.kv_size()},
          {"self_attn.v_proj", a.hidden_size, a.kv_size()},
          {"self_attn.o_proj", a.query_size(), a.hidden_size},
          {"mlp.gate_proj", a.hidden_size, a.intermediate_size},
          {"mlp.up_proj", a.hidden_size, a.intermediate_size},
          {"mlp.down_proj", a.intermediate_size, a.hidden_size}};
}

std::string linear_name(std::size_t layer, std::string_view name) {
  return fmt::format("model.layers.{}.{}", layer, name);
}

base::Result<Architecture> architecture_from_config(const json::Value& config) {
  if (!config.is_object()) return invalid("expected an object");
  const json::Object& object = config.get_object();
  Architecture result;
  result.family = TRY(family_of(object));
  TRY(refuse_unknown_math(object));
  result.vocabulary_size = TRY(required_size(object, "vocab_size"));
  result.hidden_size = TRY(required_size(object, "hidden_size"));
  result.intermediate_size = TRY(required_size(object, "intermediate_size"));
  result.layers = TRY(required_size(object, "num_hidden_layers"));
  result.heads = TRY(required_size(object, "num_attention_heads"));
  result.kv_heads = TRY(size_field(object, "num_key_value_heads")).value_or(result.heads);
  if (result.heads == 0) return invalid("num_attention_heads: must not be 0");
  result.head_dimension =
      TRY(size_field(object, "head_dim")).value_or(result.hidden_size / result.heads);
  result.context_tokens = TRY(required_size(object, "max_position_embeddings"));
  result.norm_epsilon = TRY(number_field(object, "rms_norm_eps")).value_or(1e-6);
  result.tied_head = TRY(flag_field(object, "tie_word_embeddings")).value_or(false);
  result.attention_bias = result.family == Family::Qwen2;
  result.fused = result.family == Family::Phi3;
  result.sliding_window = TRY(sliding_window_of(object, result.family));
  result.rope = TRY(rope_from_config(object, result));
  TRY(check(result));
  return result;
}

base::Status check(const Architecture& a) {
  const auto within = [](std::size_t value, std::size_t limit) {
    return value > 0 && value <= limit;
  };
  if (!within(a.layers, kMaxLayers)) return invalid(fmt::format("layers: {}", a.layers));
  if (!within(a.vocabulary_size, kMaxVocabulary)) {
    return invalid(fmt::format("vocabulary: {} tokens", a.vocabulary_size));
  }
  if (!within(a.hidden_size, kMaxWidth) || !within(a.intermediate_size, kMaxWidth) ||
      !within(a.query_size(), kMaxWidth)) {
    return invalid(fmt::format("hidden size {}, intermediate size {}, heads {} x {}: out of range",
                               a.hidden_size, a.intermediate_size, a.heads, a.head_dimension));
  }
  if (!within(a.kv_heads, a.heads) || a.heads % a.kv_heads != 0) {
    return invalid(
        fmt::format("{} heads cannot share {} key and value heads", a.heads, a.kv_heads));
  }
  if (!within(a.context_tokens, kMaxContext)) {
    return invalid(fmt::format("context: {} tokens", a.context_tokens));
  }
  if (a.rope.rotated_dimensions % 2 != 0 || !within(a.rope.rotated_dimensions, a.head_dimension)) {
    return invalid(
        fmt::format("rotary dimensions: {} of {}", a.rope.rotated_dimensions, a.head_dimension));
  }
  if (!(a.norm_epsilon > 0 && a.norm_epsilon < 1)) {
    return invalid(fmt::format("epsilon of the norms: {}", a.norm_epsilon));
  }
  return {};
}

}  // namespace tuning

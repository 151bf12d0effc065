#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "json/value.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_writer.h"

namespace model {

/// Families that can be converted; llama and mistral have the same GGUF architecture.
enum class ModelFamily { Llama, Mistral, Qwen2, Phi3 };
std::string_view name_of(ModelFamily family);  ///< Hugging Face's `model_type`.

/// The numbers that `config.json` and a GGUF header both hold.
struct ModelConfig {
  ModelFamily family = ModelFamily::Llama;
  std::uint64_t vocabulary_size = 0;
  std::uint64_t hidden_size = 0;
  std::uint64_t intermediate_size = 0;
  std::uint64_t layers = 0;
  std::uint64_t heads = 0;
  std::uint64_t kv_heads = 0;
  std::uint64_t head_size = 0;
  std::uint64_t context_tokens = 0;
  double norm_epsilon = 1e-5;
  double rope_theta = 10000;
  std::uint64_t rotated_size = 0;    ///< Of a head, from its front.
  std::uint64_t sliding_window = 0;  ///< 0: none.
  bool tied_head = false;
  /// Long contexts of phi-3 (longrope): angles are divided by these.
  std::uint64_t original_context_tokens = 0;
  std::vector<float> short_factors;
  std::vector<float> long_factors;
  /// Long contexts of llama 3.1: one factor for each pair of a head's dimensions.
  std::vector<float> llama3_factors;

  bool fused() const { return family == ModelFamily::Phi3; }
  std::string architecture() const;  ///< `general.architecture`
};

/// Errors: Invalid naming the member, for other families and for what the conversion does not carry
/// over (kinds of RoPE scaling, biases).
base::Result<ModelConfig> model_config_from_json(const json::Value& config);
base::Result<ModelConfig> model_config_from_gguf(const GgufHeader& header);

/// The `config.json` of the model, without its special tokens. Errors: Invalid for RoPE scaling
/// that only one direction knows.
base::Result<json::Object> to_json(const ModelConfig& config);
void write_config(const ModelConfig& config, GgufWriter& writer);

}  // namespace model

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/value.h"

namespace tuning {

/// Model families with one block shape: RMSNorm, RoPE, grouped-query attention, SwiGLU.
enum class Family { Llama, Mistral, Qwen2, Phi3 };

/// `llama`: Hugging Face's `model_type`.
std::string_view name_of(Family family);

/// How positions turn into rotation angles.
struct Rope {
  double theta = 10000.0;
  std::size_t rotated_dimensions = 0;  ///< Of each head, from the front; the rest stays as it is.
  /// Angles are divided by these, one per pair of dimensions; empty: by one.
  std::vector<double> short_factors;
  /// Used instead when sequences are longer than `original_context_tokens` (longrope).
  std::vector<double> long_factors;
  std::size_t original_context_tokens = 0;
  double attention_factor = 1.0;  ///< Multiplies cosine and sine (longrope).
};

/// Shape of a model, in Hugging Face's terms.
struct Architecture {
  Family family = Family::Llama;
  std::size_t vocabulary_size = 0;
  std::size_t hidden_size = 0;
  std::size_t intermediate_size = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dimension = 0;
  std::size_t context_tokens = 0;
  std::size_t sliding_window = 0;  ///< 0: every earlier position is seen.
  double norm_epsilon = 1e-5;
  bool tied_head = false;       ///< The head is the embedding.
  bool attention_bias = false;  ///< q, k and v have a bias.
  bool fused = false;           ///< One qkv_proj and one gate_up_proj (phi-3).
  Rope rope;

  std::size_t query_size() const { return heads * head_dimension; }
  std::size_t kv_size() const { return kv_heads * head_dimension; }
};

/// One linear of a block, without the block's number.
struct LinearShape {
  std::string_view name;  ///< `self_attn.q_proj`
  std::size_t inputs = 0;
  std::size_t outputs = 0;
};

/// The linears of one block, in the order of the computation: 7, or 4 where they are fused.
std::vector<LinearShape> block_linears(const Architecture& architecture);

/// `model.layers.3.self_attn.q_proj`
std::string linear_name(std::size_t layer, std::string_view name);

/// Reads Hugging Face's `config.json`. Errors: Invalid, naming the member, for what the engine
/// cannot compute (other families, activations, kinds of RoPE scaling) and for impossible sizes.
base::Result<Architecture> architecture_from_config(const json::Value& config);

/// Sizes that fit each other and the limits. Errors: Invalid.
base::Status check(const Architecture& architecture);

}  // namespace tuning

#include "model/tensor_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace model {
namespace {

struct NamePair {
  std::string_view hugging_face;
  std::string_view gguf;
  bool fused = false;  ///< Takes the place of the pair above it with the same GGUF name.
};

constexpr NamePair kBlockNames[] = {
    {"input_layernorm", "attn_norm"},     {"post_attention_layernorm", "ffn_norm"},
    {"self_attn.q_proj", "attn_q"},       {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},       {"self_attn.o_proj", "attn_output"},
    {"self_attn.qkv_proj", "attn_qkv"},   {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},  {"mlp.gate_proj", "ffn_gate"},
    {"mlp.gate_up_proj", "ffn_up", true}, {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};
constexpr NamePair kTopNames[] = {
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
};
constexpr std::string_view kBlockPrefix = "model.layers.";
constexpr std::string_view kGgufBlockPrefix = "blk.";

/// `12.rest` -> 12 as text and `rest`.
bool split_number(std::string_view text, std::string_view& number, std::string_view& rest) {
  const auto dot = text.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot > 6) return false;
  number = text.substr(0, dot);
  rest = text.substr(dot + 1);
  return std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Splits `name.weight` and `name.bias`.
bool split_kind(std::string_view text, std::string_view& name, std::string_view& kind) {
  const auto dot = text.rfind('.');
  if (dot == std::string_view::npos) return false;
  name = text.substr(0, dot);
  kind = text.substr(dot + 1);
  return kind == "weight" || kind == "bias";
}

}  // namespace

std::optional<std::string> gguf_tensor_name(std::string_view full) {
  std::string_view name;
  std::string_view kind;
  if (!split_kind(full, name, kind)) return std::nullopt;
  for (const NamePair& pair : kTopNames)
    if (pair.hugging_face == name) return fmt::format("{}.{}", pair.gguf, kind);
  std::string_view block;
  std::string_view part;
  if (!name.starts_with(kBlockPrefix) ||
      !split_number(name.substr(kBlockPrefix.size()), block, part))
    return std::nullopt;
  for (const NamePair& pair : kBlockNames)
    if (pair.hugging_face == part) return fmt::format("blk.{}.{}.{}", block, pair.gguf, kind);
  return std::nullopt;
}

std::optional<std::string> hugging_face_tensor_name(std::string_view full, bool fused) {
  std::string_view name;
  std::string_view kind;
  if (!split_kind(full, name, kind)) return std::nullopt;
  for (const NamePair& pair : kTopNames)
    if (pair.gguf == name) return fmt::format("{}.{}", pair.hugging_face, kind);
  std::string_view block;
  std::string_view part;
  if (!name.starts_with(kGgufBlockPrefix) ||
      !split_number(name.substr(kGgufBlockPrefix.size()), block, part))
    return std::nullopt;
  for (const NamePair& pair : kBlockNames)
    if (pair.gguf == part && (!pair.fused || fused))
      return fmt::format("model.layers.{}.{}.{}", block, pair.hugging_face, kind);
  return std::nullopt;
}

void permute_rotary_rows(RowOrder order, std::size_t heads, std::size_t row_bytes,
                         std::span<const std::byte> from, std::span<std::byte> to) {
  ASSERT(heads > 0 && row_bytes > 0 && from.size() == to.size());
  const std::size_t rows = from.size() / row_bytes;
  const std::size_t head_rows = rows / heads;
  ASSERT(head_rows % 2 == 0 && head_rows * heads * row_bytes == from.size());
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t other = gguf_rotary_row(row, head_rows);
    const auto [source, target] =
        order == RowOrder::ToGguf ? std::pair(row, other) : std::pair(other, row);
    std::memcpy(to.data() + target * row_bytes, from.data() + source * row_bytes, row_bytes);
  }
}

}  // namespace model

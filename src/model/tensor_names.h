#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace model {

/// The name in a GGUF file of a tensor of a Hugging Face model: `model.layers.3.mlp.up_proj.weight`
/// is `blk.3.ffn_up.weight`. Nothing for names of other forms. The same for every family whose
/// blocks have one attention and one gated feed-forward part (llama, mistral, qwen2, phi-3, ...).
std::optional<std::string> gguf_tensor_name(std::string_view hugging_face_name);
/// The opposite direction; `fused` names what phi-3 has as one tensor (`ffn_up` is gate_up_proj).
std::optional<std::string> hugging_face_tensor_name(std::string_view gguf_name, bool fused);

/// Rotary embeddings turn pairs of a head's rows. Hugging Face pairs row j with row j + half, the
/// GGUF files of the architecture `llama` pair neighbours. Both map a row of a head of
/// `head_rows` rows to its place on the other side.
constexpr std::size_t gguf_rotary_row(std::size_t hugging_face_row, std::size_t head_rows) {
  const std::size_t half = head_rows / 2;
  const std::size_t head = hugging_face_row / head_rows * head_rows;
  const std::size_t row = hugging_face_row % head_rows;
  return head + row % half * 2 + row / half;
}

/// True for the architectures (`general.architecture`) whose q and k rows are in GGUF order.
constexpr bool pairs_neighbour_rows(std::string_view architecture) {
  return architecture == "llama";
}

/// Copies rows of `row_bytes` from Hugging Face's order to GGUF's, or back.
enum class RowOrder { ToGguf, ToHuggingFace };
void permute_rotary_rows(RowOrder order, std::size_t heads, std::size_t row_bytes,
                         std::span<const std::byte> from, std::span<std::byte> to);

}  // namespace model

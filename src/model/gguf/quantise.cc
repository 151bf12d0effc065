#include "model/gguf/quantise.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>

#include "base/assert.h"
#include "model/safetensors/data_type.h"

namespace model {
namespace {

/// Elements of a block of the types here. Source of the layouts: ggml-common.h, ggml-quants.c.
constexpr std::size_t kBlock = 32;
using Values = std::span<const float, kBlock>;

void store_half(std::byte* out, float value) {
  const std::uint16_t half = half_from_float(value);
  std::memcpy(out, &half, sizeof half);
}

float inverse(float scale) { return scale != 0 ? 1 / scale : 0; }

/// Scale, then 32 signed bytes.
void quantise_q8_0(Values values, std::byte* out) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  const float scale = largest / 127;
  const float factor = inverse(scale);
  store_half(out, scale);
  for (std::size_t i = 0; i < kBlock; ++i)
    out[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(values[i] * factor)));
}

/// Element i in the low half of byte i, element i + 16 in the high half.
void store_nibbles(const std::array<std::uint8_t, kBlock>& nibbles, std::byte* out) {
  for (std::size_t i = 0; i < kBlock / 2; ++i)
    out[i] = static_cast<std::byte>(nibbles[i] | nibbles[i + kBlock / 2] << 4);
}

/// Scale, then 32 numbers from 0 to 15 that stand for -8 to 7.
void quantise_q4_0(Values values, std::byte* out) {
  float extreme = 0;
  for (const float value : values)
    if (std::abs(value) > std::abs(extreme)) extreme = value;
  const float scale = extreme / -8;
  const float factor = inverse(scale);
  store_half(out, scale);
  std::array<std::uint8_t, kBlock> nibbles;
  for (std::size_t i = 0; i < kBlock; ++i)
    nibbles[i] = static_cast<std::uint8_t>(
        std::min(15, static_cast<int>(static_cast<std::int8_t>(values[i] * factor + 8.5F))));
  store_nibbles(nibbles, out + 2);
}

/// Scale and least value, then 32 numbers from 0 to 15.
void quantise_q4_1(Values values, std::byte* out) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const float scale = (*most - *least) / 15;
  const float factor = inverse(scale);
  store_half(out, scale);
  store_half(out + 2, *least);
  std::array<std::uint8_t, kBlock> nibbles;
  for (std::size_t i = 0; i < kBlock; ++i)
    nibbles[i] = static_cast<std::uint8_t>(std::min(
        15, static_cast<int>(static_cast<std::int8_t>((values[i] - *least) * factor + 0.5F))));
  store_nibbles(nibbles, out + 4);
}

using BlockFunction = void (*)(Values values, std::byte* out);
BlockFunction block_function(const GgufType& type) {
  if (type.name == "Q8_0") return quantise_q8_0;
  if (type.name == "Q4_0") return quantise_q4_0;
  if (type.name == "Q4_1") return quantise_q4_1;
  return nullptr;
}

std::optional<DataType> plain_type(const GgufType& type) {
  for (const DataType plain : {DataType::F32, DataType::F16, DataType::BF16})
    if (name_of(plain) == type.name) return plain;
  return std::nullopt;
}

}  // namespace

bool can_quantise(const GgufType& type) {
  return plain_type(type).has_value() || block_function(type) != nullptr;
}

base::Status quantise(const GgufType& type, std::span<const float> values,
                      std::span<std::byte> out) {
  if (const auto plain = plain_type(type)) return from_floats(*plain, values, out);
  const BlockFunction function = block_function(type);
  if (!function)
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("{} cannot be written; use F32, F16, BF16, Q8_0, Q4_0 or Q4_1", type.name));
  ASSERT(values.size() % kBlock == 0 && out.size() == values.size() / kBlock * type.block_bytes);
  for (std::size_t i = 0; i < values.size() / kBlock; ++i)
    function(values.subspan(i * kBlock).first<kBlock>(), out.data() + i * type.block_bytes);
  return {};
}

}  // namespace model

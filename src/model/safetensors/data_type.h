#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace model {

/// Types of safetensors' elements.
enum class DataType {
  Bool,
  U8,
  I8,
  F8E4M3,
  F8E5M2,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  F64,
  I64,
  U64
};

/// As safetensors spells it: `BF16`.
std::string_view name_of(DataType type);
std::optional<DataType> data_type_named(std::string_view name);
std::size_t element_bytes(DataType type);

/// IEEE 754 half precision, exactly.
inline float float_from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t rest = half & 0x7fffu;
  std::uint32_t bits = (rest << 13) + (112u << 23);
  if (rest < 0x400u) bits = std::bit_cast<std::uint32_t>(static_cast<float>(rest) * 0x1p-24f);
  if (rest >= 0x7c00u) bits = 0x7f800000u | (rest & 0x3ffu) << 13;
  return std::bit_cast<float>(sign | bits);
}

inline float float_from_bfloat16(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

/// Rounds to the nearest, ties to even; what is too large becomes infinite.
inline std::uint16_t half_from_float(float value) {
  const auto all = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = all >> 16 & 0x8000u;
  const std::uint32_t rest = all & 0x7fffffffu;
  std::uint32_t half = 0;
  if (rest > 0x7f800000u) {
    half = 0x7e00u;
  } else if (rest >= 0x47800000u) {
    half = 0x7c00u;
  } else if (rest < 0x38800000u) {
    // Adding 1/2 leaves the bits of a half's subnormal at the end, rounded.
    half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest) + 0.5f) - 0x3f000000u;
  } else {
    const std::uint32_t shifted = rest - (112u << 23);
    half = (shifted + 0xfffu + (shifted >> 13 & 1u)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | half);
}

/// Rounds to the nearest, ties to even; NaN stays NaN.
inline std::uint16_t bfloat16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/// `bytes` holds `out.size()` little-endian elements, of any alignment.
/// Errors: Invalid for types other than F32, F16, BF16 and F64 (rounded).
base::Status to_floats(DataType type, std::span<const std::byte> bytes, std::span<float> out);
/// The opposite way, to F32, F16 or BF16.
base::Status from_floats(DataType type, std::span<const float> values, std::span<std::byte> out);

}  // namespace model

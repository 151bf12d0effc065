#pragma once

#include <array>
#include <cstddef>

namespace tuning {

/// Values in one block of the 4-bit formats.
inline constexpr std::size_t kBlockValues = 64;
/// Block scales that share one scale of their own, with double quantisation.
inline constexpr std::size_t kScalesPerGroup = 256;

/// What the 16 codes of NF4 stand for. Source: QLoRA, arXiv:2305.14314, appendix E; equal to
/// bitsandbytes' table (tests/golden/tuning/nf4).
inline constexpr std::array<float, 16> kNf4Values = {-1.0f,
                                                     -0.6961928009986877f,
                                                     -0.5250730514526367f,
                                                     -0.39491748809814453f,
                                                     -0.28444138169288635f,
                                                     -0.18477343022823334f,
                                                     -0.09105003625154495f,
                                                     0.0f,
                                                     0.07958029955625534f,
                                                     0.16093020141124725f,
                                                     0.24611230194568634f,
                                                     0.33791524171829224f,
                                                     0.44070982933044434f,
                                                     0.5626170039176941f,
                                                     0.7229568362236023f,
                                                     1.0f};

/// What the 16 codes of FP4 stand for: a sign, two bits of exponent, one of mantissa, in units of
/// the largest value, as bitsandbytes orders them.
inline constexpr std::array<float, 16> kFp4Values = {
    0.0f,  0.0625f / 12,  8.0f / 12,  12.0f / 12,  4.0f / 12,  6.0f / 12,  2.0f / 12,  3.0f / 12,
    -0.0f, -0.0625f / 12, -8.0f / 12, -12.0f / 12, -4.0f / 12, -6.0f / 12, -2.0f / 12, -3.0f / 12};

/// The 256 values of bitsandbytes' signed dynamic 8-bit type, ascending: seven decades, each with
/// twice as many steps as the one below.
const std::array<float, 256>& dynamic_values();

}  // namespace tuning

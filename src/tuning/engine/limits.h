#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace tuning {

/// Logits computed at a time: the largest of the engine's buffers for small models.
inline constexpr std::size_t kLossChunkValues = std::size_t{1} << 24;
inline constexpr std::size_t kMinLossChunkRows = 16;

/// Positions whose logits are computed at a time.
inline std::size_t loss_chunk_rows(std::size_t vocabulary) {
  return std::max(kMinLossChunkRows, kLossChunkValues / vocabulary);
}

/// Tokens of one micro-batch; more is a mistake of the configuration.
inline constexpr std::size_t kMaxBatchTokens = std::size_t{1} << 22;

}  // namespace tuning

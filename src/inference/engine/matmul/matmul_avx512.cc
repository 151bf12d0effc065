#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "inference/engine/matmul/matmul.h"

// These functions are compiled for processors that `has_fast_matmul` recognises; after the
// includes, so that nothing shared with the rest of the program is.
#if defined(__clang__)
#pragma clang attribute push(                                                               \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c,fma,avx2"))), \
    apply_to = function)
#else
// g++ 12 reports its own intrinsics' deliberately undefined values.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c,fma,avx2")
#endif

namespace inference {
namespace {

constexpr int kPanelRows = 16;
constexpr int kBlockValues = 32;
constexpr int kBlockWords = kBlockValues / 4;
constexpr int kMaxTile = 8;

struct BlockQ4_1 {
  std::uint16_t scale;
  std::uint16_t minimum;
  std::uint8_t
      nibbles[kBlockValues / 2];  ///< Value i in the low half of byte i, i + 16 in the high.
};
struct BlockQ8_0 {
  std::uint16_t scale;
  std::int8_t values[kBlockValues];
};
struct BlockQ8_1 {
  std::uint16_t scale;
  std::uint16_t sum;  ///< scale * sum of values
  std::int8_t values[kBlockValues];
};
static_assert(sizeof(BlockQ4_1) == 20 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ8_1) == 36);

/// One block of 16 rows, unpacked: word i holds values 4i..4i+3 of each row as unsigned bytes.
struct alignas(64) PanelBlock {
  __m512i words[kBlockWords];
  __m512 scales;
  __m512 minimums;
};

/// One block of one token's activations.
struct TokenBlock {
  float scale;
  float sum;            ///< For the weights' minimum (Q4_1).
  std::int32_t offset;  ///< Makes up for the weights' bias of 128 (Q8_0).
  const std::int8_t* values;
};

__m512 half_to_float(__m512i low_halves) {
  return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(low_halves));
}

/// Sixteen bytes of each of 16 rows -> four registers with one 32-bit word of each row, in order.
[[gnu::always_inline]] inline void transpose(const std::uint8_t* first, std::size_t stride,
                                             __m512i out[4]) {
  const auto four_rows = [&](std::size_t row) {
    const auto at = [&](std::size_t r) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(first + (row + r) * stride));
    };
    __m512i rows = _mm512_castsi128_si512(at(0));
    rows = _mm512_mask_broadcast_i32x4(rows, 0x00F0, at(4));
    rows = _mm512_mask_broadcast_i32x4(rows, 0x0F00, at(8));
    return _mm512_mask_broadcast_i32x4(rows, 0xF000, at(12));
  };
  const __m512i a = four_rows(0), b = four_rows(1), c = four_rows(2), d = four_rows(3);
  const __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
  out[0] = _mm512_unpacklo_epi64(ab_low, cd_low);
  out[1] = _mm512_unpackhi_epi64(ab_low, cd_low);
  out[2] = _mm512_unpacklo_epi64(ab_high, cd_high);
  out[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
}

__m512i four_lanes(__m128i a, __m128i b, __m128i c, __m128i d) {
  __m512i all = _mm512_castsi128_si512(a);
  all = _mm512_inserti32x4(all, b, 1);
  all = _mm512_inserti32x4(all, c, 2);
  return _mm512_inserti32x4(all, d, 3);
}

std::int32_t word_at(const std::uint8_t* address) {
  std::int32_t word;
  std::memcpy(&word, address, sizeof word);
  return word;
}

/// The 32-bit word at the same place of each of 16 rows. (The gather instruction is slower.)
__m512i gather_words(const std::uint8_t* first, std::size_t stride) {
  const auto quarter = [&](std::size_t row) {
    const std::uint8_t* at = first + row * stride;
    return _mm_setr_epi32(word_at(at), word_at(at + stride), word_at(at + 2 * stride),
                          word_at(at + 3 * stride));
  };
  return four_lanes(quarter(0), quarter(4), quarter(8), quarter(12));
}

__m512i broadcast_word(const std::int8_t* values) {
  std::int32_t word;
  std::memcpy(&word, values, sizeof word);
  return _mm512_set1_epi32(word);
}

/// The running sums of 16 rows times `Tile` tokens.
template <int Tile>
struct Sums {
  __m512 totals[Tile];
  __m512i even[Tile];
  __m512i odd[Tile];

  void begin_block(const TokenBlock* tokens, std::int64_t stride) {
    for (int t = 0; t < Tile; ++t) {
      even[t] = _mm512_set1_epi32(tokens[t * stride].offset);
      odd[t] = _mm512_setzero_si512();
    }
  }
  template <bool kHasMinimum>
  void end_block(const TokenBlock* tokens, std::int64_t stride, __m512 scales, __m512 minimums) {
    for (int t = 0; t < Tile; ++t) {
      const TokenBlock& token = tokens[t * stride];
      const __m512 products = _mm512_cvtepi32_ps(_mm512_add_epi32(even[t], odd[t]));
      totals[t] =
          _mm512_fmadd_ps(products, _mm512_mul_ps(scales, _mm512_set1_ps(token.scale)), totals[t]);
      if constexpr (kHasMinimum)
        totals[t] = _mm512_fmadd_ps(minimums, _mm512_set1_ps(token.sum), totals[t]);
    }
  }
};

/// Asks for the part of the next 16 rows that lies `offset` bytes in: 16 rows at once are too many
/// streams for the processor to guess.
void prefetch_next(const std::uint8_t* next_rows, std::size_t offset, std::size_t bytes) {
  for (std::size_t line = 0; line < bytes; line += 64)
    _mm_prefetch(reinterpret_cast<const char*>(next_rows + offset + line), _MM_HINT_T0);
}

// For one or two tokens the unpacked weights are used at once, without a way through memory.

template <int Tile>
void stream_q4_1(const std::uint8_t* first, std::size_t stride, const TokenBlock* tokens,
                 std::int64_t blocks, __m512* results) {
  Sums<Tile> sums;
  for (int t = 0; t < Tile; ++t) sums.totals[t] = _mm512_setzero_ps();
  const __m512i mask = _mm512_set1_epi8(0x0F);
  __m512 scales = _mm512_setzero_ps();
  __m512 minimums = _mm512_setzero_ps();
  const auto head = [&](std::int64_t block, __m512i word) {
    scales = half_to_float(word);
    minimums = half_to_float(_mm512_srli_epi32(word, 16));
    sums.begin_block(tokens + block, blocks);
  };
  const auto nibbles = [&](std::int64_t block, int word, __m512i packed) {
    const __m512i low = _mm512_and_si512(packed, mask);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask);
    for (int t = 0; t < Tile; ++t) {
      const std::int8_t* values = tokens[t * blocks + block].values + 4 * word;
      sums.even[t] = _mm512_dpbusd_epi32(sums.even[t], low, broadcast_word(values));
      sums.odd[t] = _mm512_dpbusd_epi32(sums.odd[t], high, broadcast_word(values + 16));
    }
  };
  const std::uint8_t* next_rows = first + kPanelRows * stride;
  std::int64_t block = 0;
  for (; block + 4 <= blocks; block += 4, first += 4 * sizeof(BlockQ4_1)) {
    constexpr std::size_t kGroupBytes = kPanelRows * 4 * sizeof(BlockQ4_1);
    prefetch_next(next_rows, static_cast<std::size_t>(block / 4) * kGroupBytes, kGroupBytes);
#pragma GCC unroll 5
    for (int chunk = 0; chunk < 5; ++chunk) {
      __m512i words[4];
      transpose(first + static_cast<std::size_t>(chunk) * 16, stride, words);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const int index = chunk * 4 + i;
        const std::int64_t at = block + index / 5;
        if (index % 5 == 0) {
          head(at, words[i]);
        } else {
          nibbles(at, index % 5 - 1, words[i]);
        }
        if (index % 5 == 4) sums.template end_block<true>(tokens + at, blocks, scales, minimums);
      }
    }
  }
  for (; block < blocks; ++block, first += sizeof(BlockQ4_1)) {
    __m512i words[4];
    transpose(first, stride, words);
    head(block, words[0]);
    for (int i = 1; i < 4; ++i) nibbles(block, i - 1, words[i]);
    nibbles(block, 3, gather_words(first + 16, stride));
    sums.template end_block<true>(tokens + block, blocks, scales, minimums);
  }
  for (int t = 0; t < Tile; ++t) results[t] = sums.totals[t];
}

template <int Tile>
void stream_q8_0(const std::uint8_t* first, std::size_t stride, const TokenBlock* tokens,
                 std::int64_t blocks, __m512* results) {
  Sums<Tile> sums;
  for (int t = 0; t < Tile; ++t) sums.totals[t] = _mm512_setzero_ps();
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  const std::uint8_t* next_rows = first + kPanelRows * stride;
  for (std::int64_t block = 0; block < blocks; ++block, first += sizeof(BlockQ8_0)) {
    constexpr std::size_t kBlockBytes = kPanelRows * sizeof(BlockQ8_0);
    prefetch_next(next_rows, static_cast<std::size_t>(block) * kBlockBytes, kBlockBytes);
    sums.begin_block(tokens + block, blocks);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m512i words[4];
      transpose(first + 2 + half * 16, stride, words);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m512i weights = _mm512_xor_si512(words[i], flip);
        for (int t = 0; t < Tile; ++t) {
          const std::int8_t* values = tokens[t * blocks + block].values + 16 * half + 4 * i;
          __m512i& chain = i % 2 == 0 ? sums.even[t] : sums.odd[t];
          chain = _mm512_dpbusd_epi32(chain, weights, broadcast_word(values));
        }
      }
    }
    const __m512 scales = half_to_float(gather_words(first, stride));
    sums.template end_block<false>(tokens + block, blocks, scales, scales);
  }
  for (int t = 0; t < Tile; ++t) results[t] = sums.totals[t];
}

struct FormatQ4_1 {
  static constexpr bool kHasMinimum = true;
  using Activation = BlockQ8_1;

  static void fill(PanelBlock& block, __m512i head, const __m512i nibbles[4]) {
    block.scales = half_to_float(head);
    block.minimums = half_to_float(_mm512_srli_epi32(head, 16));
    const __m512i mask = _mm512_set1_epi8(0x0F);
    for (int i = 0; i < 4; ++i) {
      block.words[i] = _mm512_and_si512(nibbles[i], mask);
      block.words[i + 4] = _mm512_and_si512(_mm512_srli_epi16(nibbles[i], 4), mask);
    }
  }

  static void unpack(const std::uint8_t* first, std::size_t stride, std::int64_t blocks,
                     PanelBlock* out) {
    std::int64_t block = 0;
    // Four blocks are 80 bytes, five times the sixteen that `transpose` takes.
    for (; block + 4 <= blocks; block += 4, first += 4 * sizeof(BlockQ4_1)) {
      __m512i words[20];
      for (std::size_t i = 0; i < 5; ++i) transpose(first + i * 16, stride, words + i * 4);
      for (int i = 0; i < 4; ++i) fill(out[block + i], words[i * 5], words + i * 5 + 1);
    }
    for (; block < blocks; ++block, first += sizeof(BlockQ4_1)) {
      __m512i words[5];
      transpose(first, stride, words);
      words[4] = gather_words(first + 16, stride);
      fill(out[block], words[0], words + 1);
    }
  }

  template <int Tile>
  static void stream(const std::uint8_t* first, std::size_t stride, const TokenBlock* tokens,
                     std::int64_t blocks, __m512* results) {
    stream_q4_1<Tile>(first, stride, tokens, blocks, results);
  }

  static TokenBlock read(const BlockQ8_1& block) {
    return {_cvtsh_ss(block.scale), _cvtsh_ss(block.sum), 0, block.values};
  }
};

struct FormatQ8_0 {
  static constexpr bool kHasMinimum = false;
  using Activation = BlockQ8_0;

  static void unpack(const std::uint8_t* first, std::size_t stride, std::int64_t blocks,
                     PanelBlock* out) {
    // The product instruction wants unsigned weights: x + 128 is x with the top bit flipped.
    const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
    for (std::int64_t block = 0; block < blocks; ++block, first += sizeof(BlockQ8_0)) {
      PanelBlock& panel = out[block];
      panel.scales = half_to_float(gather_words(first, stride));
      transpose(first + 2, stride, panel.words);
      transpose(first + 18, stride, panel.words + 4);
      for (__m512i& words : panel.words) words = _mm512_xor_si512(words, flip);
    }
  }

  template <int Tile>
  static void stream(const std::uint8_t* first, std::size_t stride, const TokenBlock* tokens,
                     std::int64_t blocks, __m512* results) {
    stream_q8_0<Tile>(first, stride, tokens, blocks, results);
  }

  static TokenBlock read(const BlockQ8_0& block) {
    const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.values));
    const __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), values);
    std::int32_t parts[8];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(parts), sums);
    std::int32_t sum = 0;
    for (const std::int32_t part : parts) sum += part;
    return {_cvtsh_ss(block.scale), 0.0F, -128 * sum, block.values};
  }
};

/// 16 rows times `Tile` tokens. `tokens` holds the blocks of the first token, then of the second...
template <class Format, int Tile>
void multiply(const PanelBlock* panel, const TokenBlock* tokens, std::int64_t blocks,
              __m512* sums) {
  __m512 totals[Tile];
  for (int t = 0; t < Tile; ++t) totals[t] = _mm512_setzero_ps();
  for (std::int64_t block = 0; block < blocks; ++block) {
    const PanelBlock& weights = panel[block];
    for (int t = 0; t < Tile; ++t) {
      const TokenBlock& token = tokens[t * blocks + block];
      // Two chains, because each step waits for the one before.
      __m512i even = _mm512_set1_epi32(token.offset);
      __m512i odd = _mm512_setzero_si512();
      for (int i = 0; i < kBlockWords; i += 2) {
        even = _mm512_dpbusd_epi32(even, weights.words[i], broadcast_word(token.values + 4 * i));
        odd = _mm512_dpbusd_epi32(odd, weights.words[i + 1],
                                  broadcast_word(token.values + 4 * i + 4));
      }
      const __m512 products = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
      const __m512 scale = _mm512_mul_ps(weights.scales, _mm512_set1_ps(token.scale));
      totals[t] = _mm512_fmadd_ps(products, scale, totals[t]);
      if constexpr (Format::kHasMinimum)
        totals[t] = _mm512_fmadd_ps(weights.minimums, _mm512_set1_ps(token.sum), totals[t]);
    }
  }
  for (int t = 0; t < Tile; ++t) sums[t] = totals[t];
}

template <class Format>
void multiply_tile(int tile, const PanelBlock* panel, const TokenBlock* tokens, std::int64_t blocks,
                   __m512* sums) {
  switch (tile) {
    case 8:
      return multiply<Format, 8>(panel, tokens, blocks, sums);
    case 4:
      return multiply<Format, 4>(panel, tokens, blocks, sums);
    case 2:
      return multiply<Format, 2>(panel, tokens, blocks, sums);
    default:
      return multiply<Format, 1>(panel, tokens, blocks, sums);
  }
}

int tile_for(std::int64_t tokens) {
  return tokens >= 8 ? 8 : tokens >= 4 ? 4 : tokens >= 2 ? 2 : 1;
}

/// Memory of one compute thread, kept between calls.
struct Scratch {
  std::vector<TokenBlock> tokens;
  std::vector<std::uint8_t> panel_memory;

  PanelBlock* panel(std::int64_t blocks) {
    panel_memory.resize(static_cast<std::size_t>(blocks) * sizeof(PanelBlock) +
                        alignof(PanelBlock));
    const auto address = reinterpret_cast<std::uintptr_t>(panel_memory.data());
    const auto aligned = (address + alignof(PanelBlock) - 1) & ~(alignof(PanelBlock) - 1);
    return reinterpret_cast<PanelBlock*>(aligned);
  }
};

template <class Format>
void read_tokens(const MatmulTask& task, std::vector<TokenBlock>& out) {
  out.resize(static_cast<std::size_t>(task.tokens * task.blocks));
  TokenBlock* next = out.data();
  for (std::int64_t token = 0; token < task.tokens; ++token) {
    const auto* row = reinterpret_cast<const typename Format::Activation*>(
        static_cast<const std::uint8_t*>(task.activations) +
        static_cast<std::size_t>(token) * task.activations_row_bytes);
    for (std::int64_t block = 0; block < task.blocks; ++block) *next++ = Format::read(row[block]);
  }
}

template <class Format>
void matmul(const MatmulTask& task) {
  thread_local Scratch scratch;
  const std::int64_t panels = (task.rows + kPanelRows - 1) / kPanelRows;
  const std::int64_t begin = panels * task.thread / task.threads;
  const std::int64_t end = panels * (task.thread + 1) / task.threads;
  if (begin == end) return;
  read_tokens<Format>(task, scratch.tokens);
  PanelBlock* panel = scratch.panel(task.blocks);
  for (std::int64_t index = begin; index < end; ++index) {
    // The last panel overlaps the one before, so that all have 16 rows.
    const std::int64_t row = std::min(index * kPanelRows, task.rows - kPanelRows);
    const std::uint8_t* weights = static_cast<const std::uint8_t*>(task.weights) +
                                  static_cast<std::size_t>(row) * task.weights_row_bytes;
    if (task.tokens <= 2) {
      __m512 sums[2];
      if (task.tokens == 1) {
        Format::template stream<1>(weights, task.weights_row_bytes, scratch.tokens.data(),
                                   task.blocks, sums);
      } else {
        Format::template stream<2>(weights, task.weights_row_bytes, scratch.tokens.data(),
                                   task.blocks, sums);
      }
      for (std::int64_t t = 0; t < task.tokens; ++t)
        _mm512_storeu_ps(task.result + t * task.result_stride + row, sums[t]);
      continue;
    }
    Format::unpack(weights, task.weights_row_bytes, task.blocks, panel);
    for (std::int64_t token = 0; token < task.tokens;) {
      const int tile = tile_for(task.tokens - token);
      __m512 sums[kMaxTile];
      multiply_tile<Format>(tile, panel, scratch.tokens.data() + token * task.blocks, task.blocks,
                            sums);
      for (int t = 0; t < tile; ++t)
        _mm512_storeu_ps(task.result + (token + t) * task.result_stride + row, sums[t]);
      token += tile;
    }
  }
}

}  // namespace

void matmul_q4_1(const MatmulTask& task) { matmul<FormatQ4_1>(task); }
void matmul_q8_0(const MatmulTask& task) { matmul<FormatQ8_0>(task); }

}  // namespace inference

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif  // __x86_64__

#include "tuning/backend/cpu/kernel_includes.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                          \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"))), \
    apply_to = function)
#else
// g++ 12 reports its own intrinsics' deliberately undefined values.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")
#endif

#include "tuning/backend/cpu/kernels_impl.h"
#include "tuning/backend/cpu/simd_avx512.h"

namespace tuning {
namespace {

struct Bf16Tag;
using Simd = Avx512Simd<Bf16Tag>;
using Base = Kernels<Simd>;

// Packed operands hold pairs of neighbours along the depth, one pair in 32 bits:
// left [depth / 2][kRows], right [depth / 2][width].
constexpr std::size_t kRows = 8;
constexpr std::size_t kLanes = 16;
constexpr std::size_t kPairValues = 32;  ///< One vector of pairs.

/// std::bit_cast would be compiled for processors without these registers.
template <class To, class From>
To as(From from) {
  return __builtin_bit_cast(To, from);
}

__m512i to_pairs(__m512 first, __m512 second) {
  return as<__m512i>(_mm512_cvtne2ps_pbh(second, first));
}

/// Sixteen values as bf16 in the low half of each 32-bit lane.
__m512i to_low_halves(__m512 values) {
  return _mm512_cvtepu16_epi32(as<__m256i>(_mm512_cvtneps_pbh(values)));
}

__m512 part(const float* p, std::size_t count) {
  return count >= kLanes ? _mm512_loadu_ps(p) : Simd::load_part(p, count);
}

void transpose8(__m256i* r) {
  __m256i t[8], s[8];
  for (std::size_t i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (std::size_t i = 0; i < 8; i += 4) {
    s[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    s[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    s[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    s[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2x128_si256(s[i], s[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(s[i], s[i + 4], 0x31);
  }
}

void pack_left(const float* x, std::size_t stride, std::size_t rows, std::size_t depth,
               float factor, void* out) {
  auto* panel = static_cast<std::uint32_t*>(out);
  const __m512 scale = _mm512_set1_ps(factor);
  const std::size_t pairs = (depth + 1) / 2;
  for (std::size_t k = 0; k < depth; k += kPairValues) {
    __m256i low[kRows], high[kRows];
    const std::size_t left = depth - k;
    for (std::size_t i = 0; i < kRows; ++i) {
      __m512i row = _mm512_setzero_si512();
      if (i < rows) {
        const float* from = x + i * stride + k;
        const __m512 first = part(from, left);
        const __m512 second =
            left > kLanes ? part(from + kLanes, left - kLanes) : _mm512_setzero_ps();
        row = to_pairs(_mm512_mul_ps(first, scale), _mm512_mul_ps(second, scale));
      }
      low[i] = _mm512_castsi512_si256(row);
      high[i] = _mm512_extracti64x4_epi64(row, 1);
    }
    transpose8(low);
    transpose8(high);
    const std::size_t count = Base::lesser(kLanes, pairs - k / 2);
    for (std::size_t i = 0; i < count; ++i) {
      const __m256i column = i < kRows ? low[i] : high[i - kRows];
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(panel + (k / 2 + i) * kRows), column);
    }
  }
}

/// Reads vectors of one format as bf16: 32 neighbours of a row as pairs, or 16 in low halves.
struct Bf16Reader {
  const FrozenMatrix& m;
  __m512i pairs(std::size_t row, std::size_t column) const {
    return _mm512_loadu_si512(m.bf16() + row * m.stride() + column);
  }
  __m512i halves(std::size_t row, std::size_t column) const {
    return _mm512_cvtepu16_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(m.bf16() + row * m.stride() + column)));
  }
};
struct F32Reader {
  const FrozenMatrix& m;
  __m512i pairs(std::size_t row, std::size_t column) const {
    const float* p = m.f32() + row * m.stride() + column;
    return to_pairs(_mm512_loadu_ps(p), _mm512_loadu_ps(p + kLanes));
  }
  __m512i halves(std::size_t row, std::size_t column) const {
    return to_low_halves(_mm512_loadu_ps(m.f32() + row * m.stride() + column));
  }
};
struct Int8Reader {
  const FrozenMatrix& m;
  __m512i pairs(std::size_t row, std::size_t column) const {
    const std::int8_t* p = m.int8() + row * m.stride() + column;
    const __m512 scale = _mm512_set1_ps(m.row_scale(row));
    return to_pairs(_mm512_mul_ps(Simd::from_int8(p), scale),
                    _mm512_mul_ps(Simd::from_int8(p + kLanes), scale));
  }
  __m512i halves(std::size_t row, std::size_t column) const {
    return to_low_halves(_mm512_mul_ps(Simd::from_int8(m.int8() + row * m.stride() + column),
                                       _mm512_set1_ps(m.row_scale(row))));
  }
};
struct NibbleReader {
  const FrozenMatrix& m;
  __m512i pairs(std::size_t row, std::size_t column) const {
    const std::size_t place = row * m.columns() + column;
    const float* table = m.code_values().data();
    const __m512 scale = _mm512_set1_ps(m.block_scale(place / kBlockValues));
    const std::uint8_t* p = m.nibbles() + place / 2;
    return to_pairs(_mm512_mul_ps(Simd::from_nibbles(p, table), scale),
                    _mm512_mul_ps(Simd::from_nibbles(p + kLanes / 2, table), scale));
  }
  __m512i halves(std::size_t row, std::size_t column) const {
    const std::size_t place = row * m.columns() + column;
    const __m512 scale = _mm512_set1_ps(m.block_scale(place / kBlockValues));
    return to_low_halves(
        _mm512_mul_ps(Simd::from_nibbles(m.nibbles() + place / 2, m.code_values().data()), scale));
  }
};

/// Sixteen rows at a time, transposed in registers.
template <class Reader>
void pack_rows(const Reader& reader, std::size_t first, std::size_t width, std::size_t depth0,
               std::size_t depth, std::uint32_t* panel) {
  const std::size_t pairs = (depth + 1) / 2;
  for (std::size_t j = 0; j < width; j += kLanes) {
    for (std::size_t k = 0; k < depth; k += kPairValues) {
      __m512i r[kLanes];
      for (std::size_t i = 0; i < kLanes; ++i) {
        const std::size_t row = first + j + i;
        r[i] = row < reader.m.rows() ? reader.pairs(row, depth0 + k) : _mm512_setzero_si512();
      }
      Simd::transpose(r);
      const std::size_t count = Base::lesser(kLanes, pairs - k / 2);
      for (std::size_t i = 0; i < count; ++i) {
        _mm512_storeu_si512(panel + (k / 2 + i) * width + j, r[i]);
      }
    }
  }
}

/// Two rows at a time, interleaved.
template <class Reader>
void pack_columns(const Reader& reader, std::size_t first, std::size_t width, std::size_t depth0,
                  std::size_t depth, std::uint32_t* panel) {
  for (std::size_t k = 0; k < depth; k += 2) {
    std::uint32_t* to = panel + k / 2 * width;
    const bool both = k + 1 < depth;
    for (std::size_t j = 0; j < width; j += kLanes) {
      __m512i pair = reader.halves(depth0 + k, first + j);
      if (both) {
        pair =
            _mm512_or_si512(pair, _mm512_slli_epi32(reader.halves(depth0 + k + 1, first + j), 16));
      }
      _mm512_storeu_si512(to + j, pair);
    }
  }
}

void pack_frozen(const FrozenMatrix& matrix, Orientation orientation, std::size_t first,
                 std::size_t width, std::size_t depth0, std::size_t depth, float*, void* out) {
  auto* panel = static_cast<std::uint32_t*>(out);
  const auto pack = [&](const auto& reader) {
    if (orientation == Orientation::Rows) {
      pack_rows(reader, first, width, depth0, depth, panel);
    } else {
      pack_columns(reader, first, width, depth0, depth, panel);
    }
  };
  switch (matrix.format()) {
    case WeightFormat::F32:
      return pack(F32Reader{matrix});
    case WeightFormat::Bf16:
      return pack(Bf16Reader{matrix});
    case WeightFormat::Int8:
      return pack(Int8Reader{matrix});
    case WeightFormat::Fp4:
    case WeightFormat::Nf4:
      return pack(NibbleReader{matrix});
  }
}

void pack_plain(const float* b, std::size_t depth_stride, std::size_t column_stride,
                std::size_t columns, std::size_t width, std::size_t depth, void* out) {
  auto* panel = static_cast<std::uint32_t*>(out);
  if (column_stride == 1) {
    for (std::size_t k = 0; k < depth; k += 2) {
      const float* row = b + k * depth_stride;
      for (std::size_t j = 0; j < width; j += kLanes) {
        const std::size_t left = columns > j ? columns - j : 0;
        __m512i pair = to_low_halves(part(row + j, left));
        if (k + 1 < depth) {
          const __m512i next = to_low_halves(part(row + depth_stride + j, left));
          pair = _mm512_or_si512(pair, _mm512_slli_epi32(next, 16));
        }
        _mm512_storeu_si512(panel + k / 2 * width + j, pair);
      }
    }
    return;
  }
  // Otherwise neighbours along the depth are neighbours in memory.
  const std::size_t pairs = (depth + 1) / 2;
  for (std::size_t j = 0; j < width; j += kLanes) {
    for (std::size_t k = 0; k < depth; k += kPairValues) {
      __m512i r[kLanes];
      const std::size_t left = depth - k;
      for (std::size_t i = 0; i < kLanes; ++i) {
        r[i] = _mm512_setzero_si512();
        if (j + i >= columns) continue;
        const float* from = b + (j + i) * column_stride + k;
        const __m512 second =
            left > kLanes ? part(from + kLanes, left - kLanes) : _mm512_setzero_ps();
        r[i] = to_pairs(part(from, left), second);
      }
      Simd::transpose(r);
      const std::size_t count = Base::lesser(kLanes, pairs - k / 2);
      for (std::size_t i = 0; i < count; ++i) {
        _mm512_storeu_si512(panel + (k / 2 + i) * width + j, r[i]);
      }
    }
  }
}

template <std::size_t V>
void tile_of(const std::uint32_t* left, const std::uint32_t* right, std::size_t depth, float* c,
             std::size_t c_stride, std::size_t rows, std::size_t columns, bool accumulate) {
  __m512 sum[kRows][V];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = _mm512_setzero_ps();
  }
  for (std::size_t k = 0; k < depth; k += 2) {
    __m512bh b[V];
#pragma GCC unroll 8
    for (std::size_t v = 0; v < V; ++v) {
      b[v] = as<__m512bh>(_mm512_loadu_si512(right + v * kLanes));
    }
    right += V * kLanes;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kRows; ++i) {
      const auto a = as<__m512bh>(_mm512_set1_epi32(static_cast<int>(left[i])));
#pragma GCC unroll 8
      for (std::size_t v = 0; v < V; ++v) sum[i][v] = _mm512_dpbf16_ps(sum[i][v], a, b[v]);
    }
    left += kRows;
  }
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kRows; ++i) {
    if (i < rows) Base::put_row<V>(sum[i], c + i * c_stride, columns, accumulate);
  }
}

void tile(const void* left, const void* right, std::size_t width, std::size_t depth, float* c,
          std::size_t c_stride, std::size_t rows, std::size_t columns, bool accumulate) {
  const auto* a = static_cast<const std::uint32_t*>(left);
  const auto* b = static_cast<const std::uint32_t*>(right);
  Base::with_vectors<1>(width / kLanes, [&]<std::size_t V>() {
    tile_of<V>(a, b, depth, c, c_stride, rows, columns, accumulate);
  });
}

}  // namespace

const KernelTable<float>& avx512_bf16_kernels() {
  static const auto table = [] {
    auto t = Base::table(KernelSet::Avx512Bf16);
    t.element_bytes = sizeof(std::uint16_t);
    t.depth_step = 2;
    t.pack_left = pack_left;
    t.pack_frozen = pack_frozen;
    t.pack_plain = pack_plain;
    t.tile = tile;
    return t;
  }();
  return table;
}

}  // namespace tuning

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

namespace tuning {
const KernelTable<float>& avx512_bf16_kernels() { return scalar_kernels(); }
}  // namespace tuning

#endif

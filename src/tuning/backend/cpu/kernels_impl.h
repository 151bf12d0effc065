// The inner loops over any set of instructions; each kernel file includes this once, inside its
// target region, and instantiates it with a Simd of its own.
#pragma once

#include "tuning/backend/cpu/row_kernels_impl.h"

namespace tuning {

template <class Simd>
struct Kernels : RowKernels<Simd> {
  using Rows = RowKernels<Simd>;
  using Rows::dot;
  using Rows::lesser;
  using Rows::round_up;
  using Rows::scale_row;
  using Real = typename Simd::Real;
  using Vec = typename Simd::Vec;
  static constexpr std::size_t kWidth = Simd::kWidth;
  static constexpr std::size_t kRows = Simd::kTileRows;
  static constexpr std::size_t kVectors = Simd::kTileVectors;

  // --- frozen matrices ---

  /// `count` values of a row, a multiple of kWidth; may run past the columns into the padding.
  static void dequantise(const FrozenMatrix& m, std::size_t row, std::size_t column,
                         std::size_t count, Real* out) {
    const std::size_t place = row * m.stride() + column;
    switch (m.format()) {
      case WeightFormat::F32:
        for (std::size_t i = 0; i < count; i += kWidth) {
          Simd::store(out + i, Simd::load_float(m.f32() + place + i));
        }
        return;
      case WeightFormat::Bf16:
        for (std::size_t i = 0; i < count; i += kWidth) {
          Simd::store(out + i, bf16(m.bf16() + place + i));
        }
        return;
      case WeightFormat::Int8: {
        const Vec scale = Simd::set(static_cast<Real>(m.row_scale(row)));
        for (std::size_t i = 0; i < count; i += kWidth) {
          Simd::store(out + i, Simd::mul(int8(m.int8() + place + i), scale));
        }
        return;
      }
      case WeightFormat::Fp4:
      case WeightFormat::Nf4:
        dequantise_4bit(m, row * m.columns() + column, count, out);
        return;
    }
  }

  static void dequantise_4bit(const FrozenMatrix& m, std::size_t first, std::size_t count,
                              Real* out) {
    const float* table = m.code_values().data();
    std::size_t i = 0;
    while (i < count) {
      const std::size_t block = (first + i) / kBlockValues;
      const std::size_t end = lesser(count, (block + 1) * kBlockValues - first);
      const Vec scale = Simd::set(static_cast<Real>(m.block_scale(block)));
      for (; i < end; i += kWidth) {
        Simd::store(out + i, Simd::mul(nibbles(m.nibbles(), first + i, table), scale));
      }
    }
  }

  static Vec bf16(const std::uint16_t* p) {
    if constexpr (kWidth == 1) {
      return static_cast<Real>(model::float_from_bfloat16(*p));
    } else {
      return Simd::from_bf16(p);
    }
  }
  static Vec int8(const std::int8_t* p) {
    if constexpr (kWidth == 1) {
      return static_cast<Real>(*p);
    } else {
      return Simd::from_int8(p);
    }
  }
  static Vec nibbles(const std::uint8_t* p, std::size_t place, const float* table) {
    if constexpr (kWidth == 1) {
      return static_cast<Real>(table[p[place / 2] >> (place % 2 == 0 ? 4 : 0) & 15]);
    } else {
      return Simd::from_nibbles(p + place / 2, table);
    }
  }

  // --- products on packed operands ---

  static void pack_left(const Real* x, std::size_t stride, std::size_t rows, std::size_t depth,
                        Real factor, void* out) {
    auto* panel = static_cast<Real*>(out);
    for (std::size_t i = 0; i < kRows; ++i) {
      if (i < rows) {
        for (std::size_t k = 0; k < depth; ++k) panel[k * kRows + i] = x[i * stride + k] * factor;
      } else {
        for (std::size_t k = 0; k < depth; ++k) panel[k * kRows + i] = 0;
      }
    }
  }

  static void pack_frozen(const FrozenMatrix& matrix, Orientation orientation, std::size_t first,
                          std::size_t width, std::size_t depth0, std::size_t depth, Real* scratch,
                          void* out) {
    auto* panel = static_cast<Real*>(out);
    if (orientation == Orientation::Columns) {
      for (std::size_t k = 0; k < depth; ++k) {
        dequantise(matrix, depth0 + k, first, width, panel + k * width);
      }
      return;
    }
    const std::size_t whole = round_up(depth, kWidth);
    for (std::size_t j = 0; j < width; j += kWidth) {
      for (std::size_t i = 0; i < kWidth; ++i) {
        const std::size_t row = first + j + i;
        Real* values = scratch + i * kPanelDepth;
        if (row < matrix.rows()) {
          dequantise(matrix, row, depth0, whole, values);
        } else {
          std::memset(values, 0, whole * sizeof(Real));
        }
      }
      for (std::size_t k = 0; k < whole; k += kWidth) {
        Vec r[kWidth];
        for (std::size_t i = 0; i < kWidth; ++i) r[i] = Simd::load(scratch + i * kPanelDepth + k);
        Simd::transpose(r);
        const std::size_t count = lesser(kWidth, depth - k);
        for (std::size_t i = 0; i < count; ++i) Simd::store(panel + (k + i) * width + j, r[i]);
      }
    }
  }

  static void pack_plain(const Real* b, std::size_t depth_stride, std::size_t column_stride,
                         std::size_t columns, std::size_t width, std::size_t depth, void* out) {
    auto* panel = static_cast<Real*>(out);
    for (std::size_t k = 0; k < depth; ++k) {
      const Real* row = b + k * depth_stride;
      Real* to = panel + k * width;
      for (std::size_t j = 0; j < columns; ++j) to[j] = row[j * column_stride];
      for (std::size_t j = columns; j < width; ++j) to[j] = 0;
    }
  }

  template <std::size_t V>
  static void tile_of(const Real* left, const Real* right, std::size_t depth, Real* c,
                      std::size_t c_stride, std::size_t rows, std::size_t columns,
                      bool accumulate) {
    Vec sum[kRows][V];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < V; ++v) sum[i][v] = Simd::zero();
    }
    for (std::size_t k = 0; k < depth; ++k) {
      Vec b[V];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < V; ++v) b[v] = Simd::load(right + v * kWidth);
      right += V * kWidth;
#pragma GCC unroll 8
      for (std::size_t i = 0; i < kRows; ++i) {
        const Vec a = Simd::set(left[i]);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < V; ++v) sum[i][v] = Simd::fma(a, b[v], sum[i][v]);
      }
      left += kRows;
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kRows; ++i) {
      if (i < rows) put_row<V>(sum[i], c + i * c_stride, columns, accumulate);
    }
  }

  /// Writes or adds `columns` of V vectors.
  template <std::size_t V>
  static void put_row(const Vec* row, Real* c, std::size_t columns, bool accumulate) {
#pragma GCC unroll 8
    for (std::size_t v = 0; v < V; ++v) {
      const std::size_t first = v * kWidth;
      if (first + kWidth <= columns) {
        Simd::store(c + first, accumulate ? Simd::add(row[v], Simd::load(c + first)) : row[v]);
      } else if (first < columns) {
        const std::size_t n = columns - first;
        const Vec old = accumulate ? Simd::load_part(c + first, n) : Simd::zero();
        Simd::store_part(c + first, Simd::add(row[v], old), n);
      }
    }
  }

  static void tile(const void* left, const void* right, std::size_t width, std::size_t depth,
                   Real* c, std::size_t c_stride, std::size_t rows, std::size_t columns,
                   bool accumulate) {
    const auto* a = static_cast<const Real*>(left);
    const auto* b = static_cast<const Real*>(right);
    with_vectors<1>(width / kWidth, [&]<std::size_t V>() {
      tile_of<V>(a, b, depth, c, c_stride, rows, columns, accumulate);
    });
  }

  /// Calls `use` with `count` as a constant.
  template <std::size_t V, class Use>
  static void with_vectors(std::size_t count, Use&& use) {
    if constexpr (V >= kVectors) {
      use.template operator()<V>();
    } else if (count == V) {
      use.template operator()<V>();
    } else {
      with_vectors<V + 1>(count, use);
    }
  }

  // --- small products on plain operands ---

  template <std::size_t R, std::size_t V, bool Part>
  static void multiply_block(const Product<Real>& p, std::size_t row, std::size_t column,
                             std::size_t rest) {
    const auto load = [&](const Real* from, std::size_t v) {
      if constexpr (Part) {
        if (v + 1 == V) return Simd::load_part(from, rest);
      }
      return Simd::load(from);
    };
    Vec sum[R][V];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < R; ++i) {
      const Real* c = p.c + (row + i) * p.c_stride + column;
#pragma GCC unroll 8
      for (std::size_t v = 0; v < V; ++v) {
        sum[i][v] = p.accumulate ? load(c + v * kWidth, v) : Simd::zero();
      }
    }
    const Real* a = p.a + row * p.a_row;
    const Real* b = p.b + column;
    for (std::size_t k = 0; k < p.depth; ++k) {
      Vec right[V];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < V; ++v) right[v] = load(b + v * kWidth, v);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < R; ++i) {
        const Vec left = Simd::set(a[i * p.a_row]);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < V; ++v) sum[i][v] = Simd::fma(left, right[v], sum[i][v]);
      }
      a += p.a_depth;
      b += p.b_stride;
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < R; ++i) {
      Real* c = p.c + (row + i) * p.c_stride + column;
#pragma GCC unroll 8
      for (std::size_t v = 0; v < V; ++v) {
        if (Part && v + 1 == V) {
          Simd::store_part(c + v * kWidth, sum[i][v], rest);
        } else {
          Simd::store(c + v * kWidth, sum[i][v]);
        }
      }
    }
  }

  template <std::size_t V, bool Part>
  static void multiply_columns(const Product<Real>& p, std::size_t column, std::size_t rest) {
    std::size_t row = 0;
    for (; row + kRows <= p.rows; row += kRows) {
      multiply_block<kRows, V, Part>(p, row, column, rest);
    }
    for (; row < p.rows; ++row) multiply_block<1, V, Part>(p, row, column, rest);
  }

  static void multiply(const Product<Real>& p) {
    constexpr std::size_t kStep = kVectors * kWidth;
    std::size_t column = 0;
    for (; column + kStep <= p.columns; column += kStep) {
      multiply_columns<kVectors, false>(p, column, 0);
    }
    const std::size_t left = p.columns - column;
    if (left == 0) return;
    const std::size_t rest = left % kWidth;
    with_vectors<1>((left + kWidth - 1) / kWidth, [&]<std::size_t V>() {
      if (rest == 0) {
        multiply_columns<V, false>(p, column, 0);
      } else {
        multiply_columns<V, true>(p, column, rest);
      }
    });
  }

  // --- attention ---

  /// to[c * kAttentionTile + r] = from[r * stride + c]; columns past `rows` up to a vector are
  /// zero.
  static void transpose_tile(const Real* from, std::size_t stride, std::size_t rows,
                             std::size_t columns, Real* to) {
    for (std::size_t r = 0; r < rows; r += kWidth) {
      for (std::size_t c = 0; c < columns; c += kWidth) {
        const std::size_t n = lesser(kWidth, columns - c);
        Vec block[kWidth];
        for (std::size_t i = 0; i < kWidth; ++i) {
          const Real* row = from + (r + i) * stride + c;
          block[i] = r + i >= rows ? Simd::zero()
                     : n == kWidth ? Simd::load(row)
                                   : Simd::load_part(row, n);
        }
        Simd::transpose(block);
        for (std::size_t i = 0; i < n; ++i)
          Simd::store(to + (c + i) * kAttentionTile + r, block[i]);
      }
    }
  }

  /// The keys of the tile at `first_key` that query `position` sees: [begin, end) within the tile.
  struct Seen {
    std::size_t begin;
    std::size_t end;
  };
  static Seen seen(const AttentionHead<Real>& head, std::size_t position, std::size_t first_key,
                   std::size_t keys) {
    const std::size_t after = position + 1;
    const std::size_t oldest = head.window != 0 && after > head.window ? after - head.window : 0;
    const std::size_t end = after > first_key ? lesser(keys, after - first_key) : 0;
    const std::size_t begin = oldest > first_key ? lesser(oldest - first_key, end) : 0;
    return {begin, end};
  }

  /// row[j] = exp(row[j] * scale - top) where seen, else 0; up to `width`. Returns the sum.
  static Real exponentials(Real* row, std::size_t width, Seen range, Real scale, Real top) {
    const Vec factor = Simd::set(scale), shift = Simd::set(-top);
    for (std::size_t j = 0; j < width; j += kWidth) {
      Simd::store(row + j, Simd::exp(Simd::fma(Simd::load(row + j), factor, shift)));
    }
    for (std::size_t j = 0; j < range.begin; ++j) row[j] = 0;
    for (std::size_t j = range.end; j < width; ++j) row[j] = 0;
    Vec sum = Simd::zero();
    for (std::size_t j = 0; j < width; j += kWidth) sum = Simd::add(sum, Simd::load(row + j));
    return Simd::sum(sum);
  }

  static Real largest_of(const Real* row, Seen range) {
    Real top = row[range.begin];
    for (std::size_t j = range.begin; j < range.end; ++j) top = row[j] > top ? row[j] : top;
    return top;
  }

  static void zero_rows(Real* rows, std::size_t stride, std::size_t count, std::size_t width) {
    for (std::size_t i = 0; i < count; ++i) std::memset(rows + i * stride, 0, width * sizeof(Real));
  }

  /// One tile of queries over all the keys they see, with a running maximum and sum.
  static void attention(const AttentionHead<Real>& head, std::size_t first, Real* scratch) {
    constexpr std::size_t kTile = kAttentionTile;
    Real* scores = scratch;
    Real* keys_t = scores + kTile * kTile;
    Real* top = keys_t + kTile * (head.dimension + 16);
    Real* total = top + kTile;
    const std::size_t rows = lesser(kTile, head.tokens - first);
    Real* out = head.out + first * head.out_stride;
    zero_rows(out, head.out_stride, rows, head.dimension);
    for (std::size_t i = 0; i < rows; ++i) {
      top[i] = -std::numeric_limits<Real>::infinity();
      total[i] = 0;
    }
    const std::size_t oldest =
        head.window != 0 && first + 1 > head.window ? first + 1 - head.window : 0;
    for (std::size_t key = oldest / kTile * kTile; key < first + rows; key += kTile) {
      const std::size_t keys = lesser(kTile, first + rows - key);
      const std::size_t width = round_up(keys, kWidth);
      transpose_tile(head.k + key * head.kv_stride, head.kv_stride, keys, head.dimension, keys_t);
      multiply({rows, width, head.dimension, head.q + first * head.q_stride, head.q_stride, 1,
                keys_t, kTile, scores, kTile, false});
      for (std::size_t i = 0; i < rows; ++i) {
        Real* row = scores + i * kTile;
        const Seen range = seen(head, first + i, key, keys);
        if (range.begin == range.end) {
          std::memset(row, 0, width * sizeof(Real));
          continue;
        }
        const Real highest = largest_of(row, range) * head.scale;
        const Real now = highest > top[i] ? highest : top[i];
        const Real shrink = std::exp(top[i] - now);
        total[i] = total[i] * shrink + exponentials(row, width, range, head.scale, now);
        if (shrink != 1) scale_row(out + i * head.out_stride, head.dimension, shrink);
        top[i] = now;
      }
      multiply({rows, head.dimension, keys, scores, kTile, 1, head.v + key * head.kv_stride,
                head.kv_stride, out, head.out_stride, true});
    }
    for (std::size_t i = 0; i < rows; ++i) {
      scale_row(out + i * head.out_stride, head.dimension, 1 / total[i]);
      head.log_sum[(first + i) * head.log_sum_stride] = top[i] + std::log(total[i]);
    }
  }

  /// One head's whole sequence: for each tile of keys all tiles of queries that see it.
  static void attention_backward(const AttentionHead<Real>& head,
                                 const AttentionHeadGradient<Real>& gradient, Real* scratch) {
    constexpr std::size_t kTile = kAttentionTile;
    zero_rows(gradient.dq, gradient.dq_stride, head.tokens, head.dimension);
    zero_rows(gradient.dk, gradient.dkv_stride, head.tokens, head.dimension);
    zero_rows(gradient.dv, gradient.dkv_stride, head.tokens, head.dimension);
    Real* keys_t = scratch + 2 * kTile * kTile;
    Real* values_t = keys_t + kTile * (head.dimension + 16);
    for (std::size_t key = 0; key < head.tokens; key += kTile) {
      const std::size_t keys = lesser(kTile, head.tokens - key);
      transpose_tile(head.k + key * head.kv_stride, head.kv_stride, keys, head.dimension, keys_t);
      transpose_tile(head.v + key * head.kv_stride, head.kv_stride, keys, head.dimension, values_t);
      for (std::size_t query = key; query < head.tokens; query += kTile) {
        if (head.window != 0 && query + 1 >= key + keys + head.window) break;
        backward_pair(head, gradient, query, key, keys, scratch);
      }
    }
  }

  static void backward_pair(const AttentionHead<Real>& head,
                            const AttentionHeadGradient<Real>& gradient, std::size_t query,
                            std::size_t key, std::size_t keys, Real* scratch) {
    constexpr std::size_t kTile = kAttentionTile;
    Real* p = scratch;
    Real* ds = p + kTile * kTile;
    const Real* keys_t = ds + kTile * kTile;
    const Real* values_t = keys_t + kTile * (head.dimension + 16);
    const std::size_t rows = lesser(kTile, head.tokens - query);
    const std::size_t width = round_up(keys, kWidth);
    const Real* q = head.q + query * head.q_stride;
    const Real* out = head.out + query * head.out_stride;
    const Real* dout = gradient.dout + query * head.out_stride;
    multiply({rows, width, head.dimension, q, head.q_stride, 1, keys_t, kTile, p, kTile, false});
    multiply(
        {rows, width, head.dimension, dout, head.out_stride, 1, values_t, kTile, ds, kTile, false});
    for (std::size_t i = 0; i < rows; ++i) {
      Real* p_row = p + i * kTile;
      Real* ds_row = ds + i * kTile;
      exponentials(p_row, width, seen(head, query + i, key, keys), head.scale,
                   head.log_sum[(query + i) * head.log_sum_stride]);
      const Vec delta =
          Simd::set(dot(out + i * head.out_stride, dout + i * head.out_stride, head.dimension));
      const Vec scale = Simd::set(head.scale);
      for (std::size_t j = 0; j < width; j += kWidth) {
        const Vec slope = Simd::mul(Simd::sub(Simd::load(ds_row + j), delta), scale);
        Simd::store(ds_row + j, Simd::mul(Simd::load(p_row + j), slope));
      }
    }
    multiply({keys, head.dimension, rows, p, 1, kTile, dout, head.out_stride,
              gradient.dv + key * gradient.dkv_stride, gradient.dkv_stride, true});
    multiply({keys, head.dimension, rows, ds, 1, kTile, q, head.q_stride,
              gradient.dk + key * gradient.dkv_stride, gradient.dkv_stride, true});
    multiply({rows, head.dimension, keys, ds, kTile, 1, head.k + key * head.kv_stride,
              head.kv_stride, gradient.dq + query * gradient.dq_stride, gradient.dq_stride, true});
  }

  static KernelTable<Real> table(KernelSet set) {
    KernelTable<Real> t;
    t.set = set;
    t.tile_rows = kRows;
    t.tile_columns = kVectors * kWidth;
    t.vector_width = kWidth;
    t.element_bytes = sizeof(Real);
    t.pack_left = pack_left;
    t.pack_frozen = pack_frozen;
    t.pack_plain = pack_plain;
    t.tile = tile;
    t.multiply = multiply;
    t.attention = attention;
    t.attention_backward = attention_backward;
    t.rms_norm = Rows::rms_norm;
    t.rms_norm_backward = Rows::rms_norm_backward;
    t.swiglu = Rows::swiglu;
    t.swiglu_backward = Rows::swiglu_backward;
    t.rotate = Rows::rotate;
    t.add = Rows::add;
    t.cross_entropy = Rows::cross_entropy;
    return t;
  }
};

}  // namespace tuning

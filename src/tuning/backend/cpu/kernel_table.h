#pragma once

#include <cstddef>
#include <cstdint>

#include "tuning/engine/types.h"
#include "tuning/quant/frozen_matrix.h"

namespace tuning {

/// How a frozen matrix W [rows, columns] enters a product. Rows: x W^T, summed over W's columns
/// (forward). Columns: dy W, summed over W's rows (backward).
enum class Orientation { Rows, Columns };

/// C [rows, columns] = A B, or C += A B. A's element (i, k) is at a[i * a_row + k * a_depth], so it
/// may be transposed; B [depth, columns] and C are row-major.
template <class Real>
struct Product {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t depth = 0;
  const Real* a = nullptr;
  std::size_t a_row = 0;
  std::size_t a_depth = 1;
  const Real* b = nullptr;
  std::size_t b_stride = 0;
  Real* c = nullptr;
  std::size_t c_stride = 0;
  bool accumulate = false;
};

/// One head of one sequence. Rows of q, k, v, out are tokens; strides in elements.
template <class Real>
struct AttentionHead {
  std::size_t tokens = 0;
  std::size_t dimension = 0;
  std::size_t window = 0;  ///< Positions seen, the own included; 0: all earlier ones.
  Real scale = 0;
  const Real* q = nullptr;
  const Real* k = nullptr;
  const Real* v = nullptr;
  std::size_t q_stride = 0;
  std::size_t kv_stride = 0;
  Real* out = nullptr;
  std::size_t out_stride = 0;
  /// Logarithm of each row's sum of exponentials; rows `log_sum_stride` apart.
  Real* log_sum = nullptr;
  std::size_t log_sum_stride = 0;
};

/// What the backward pass adds to AttentionHead: dout in; dq, dk and dv out (overwritten).
template <class Real>
struct AttentionHeadGradient {
  const Real* dout = nullptr;  ///< As `out`.
  Real* dq = nullptr;
  std::size_t dq_stride = 0;
  Real* dk = nullptr;
  Real* dv = nullptr;
  std::size_t dkv_stride = 0;
};

/// Rows of a tile of queries and of keys.
inline constexpr std::size_t kAttentionTile = 64;

/// The inner loops, for one set of instructions. Pure functions on the caller's memory; any thread.
///
/// Products with frozen matrices run on packed operands: the left one in panels of `tile_rows`
/// rows, [depth][tile_rows]; the right one in panels of up to `tile_columns` columns,
/// [depth][width]. `depth_step` neighbours along the depth lie together, and depths are rounded up
/// to it with zeros.
template <class Real>
struct KernelTable {
  KernelSet set = KernelSet::Scalar;
  std::size_t tile_rows = 0;
  std::size_t tile_columns = 0;
  std::size_t vector_width = 0;
  std::size_t element_bytes = 0;  ///< Of packed operands.
  std::size_t depth_step = 1;

  /// `rows` (at most tile_rows) rows of x, times `factor`, into one left panel.
  void (*pack_left)(const Real* x, std::size_t stride, std::size_t rows, std::size_t depth,
                    Real factor, void* out);
  /// Columns [first, first + width) of the product's right side and depths [depth0, depth0 +
  /// depth). `scratch` holds right_scratch_values() values.
  void (*pack_frozen)(const FrozenMatrix& matrix, Orientation orientation, std::size_t first,
                      std::size_t width, std::size_t depth0, std::size_t depth, Real* scratch,
                      void* out);
  /// The same from plain numbers: element (depth k, column j) is at b[k * depth_stride +
  /// j * column_stride] for j < columns; the others are zero.
  void (*pack_plain)(const Real* b, std::size_t depth_stride, std::size_t column_stride,
                     std::size_t columns, std::size_t width, std::size_t depth, void* out);
  /// c [rows, columns] = or += left panel times right panel.
  void (*tile)(const void* left, const void* right, std::size_t width, std::size_t depth, Real* c,
               std::size_t c_stride, std::size_t rows, std::size_t columns, bool accumulate);

  void (*multiply)(const Product<Real>& product);
  /// `scratch` of both holds attention_scratch_values(dimension) values.
  void (*attention)(const AttentionHead<Real>& head, std::size_t first_query, Real* scratch);
  void (*attention_backward)(const AttentionHead<Real>& head,
                             const AttentionHeadGradient<Real>& gradient, Real* scratch);

  /// y = x / rms(x) * weight; `inverse` gets 1 / rms.
  void (*rms_norm)(std::size_t width, const Real* x, const float* weight, Real epsilon, Real* y,
                   Real* inverse);
  /// dx += gradient of rms_norm.
  void (*rms_norm_backward)(std::size_t width, const Real* x, const float* weight, Real inverse,
                            const Real* dy, Real* dx);
  /// out = silu(gate) * up
  void (*swiglu)(std::size_t count, const Real* gate, const Real* up, Real* out);
  void (*swiglu_backward)(std::size_t count, const Real* gate, const Real* up, const Real* dout,
                          Real* dgate, Real* dup);
  /// Rotates pairs (i, i + half) of each of `heads` heads by the angles given; `sign` -1 turns
  /// back.
  void (*rotate)(std::size_t heads, std::size_t dimension, std::size_t half, const Real* cosine,
                 const Real* sine, Real sign, Real* x);
  /// y += x
  void (*add)(std::size_t count, const Real* x, Real* y);
  /// Turns a row of logits into `scale` times the gradient of its cross entropy; returns the loss.
  double (*cross_entropy)(std::size_t count, std::size_t label, Real scale, Real* logits);
};

/// Depth of one right panel.
inline constexpr std::size_t kPanelDepth = 512;

inline std::size_t right_scratch_values() { return 16 * kPanelDepth; }
inline std::size_t attention_scratch_values(std::size_t dimension) {
  return 2 * kAttentionTile * kAttentionTile + 3 * kAttentionTile * (dimension + 16) +
         4 * kAttentionTile;
}

const KernelTable<float>& scalar_kernels();
/// The same code in double precision: what finite differences check is what the others compute.
const KernelTable<double>& scalar_kernels_double();
const KernelTable<float>& avx2_kernels();
const KernelTable<float>& avx512_kernels();
const KernelTable<float>& avx512_bf16_kernels();

/// Whether this processor and operating system can run `kernels`.
bool supports(KernelSet kernels);
/// The best set that they can run.
KernelSet best_kernels();

}  // namespace tuning

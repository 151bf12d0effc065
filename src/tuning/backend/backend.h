#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "tuning/engine/types.h"
#include "tuning/quant/frozen_matrix.h"

namespace tuning {

/// A frozen linear y = x W^T + bias with, where rank is not 0, a trainable pair beside it:
/// y += scale (x A^T) B^T, A [rank, inputs], B [outputs, rank].
template <class Real>
struct Linear {
  const FrozenMatrix* weight = nullptr;  ///< [outputs, inputs]
  const float* bias = nullptr;           ///< May be absent.
  std::size_t rank = 0;
  Real scale = 0;
  const Real* a = nullptr;
  const Real* b = nullptr;
  Real* gradient_a = nullptr;  ///< Added to.
  Real* gradient_b = nullptr;
  /// What A is multiplied with when it is not x itself (dropout).
  const Real* pair_input = nullptr;
  /// scale (x A^T) [rows, rank]: written by the forward, read by the backward pass.
  Real* hidden = nullptr;

  /// Forward: written, or added to; null: only `hidden` is wanted.
  Real* y = nullptr;
  bool accumulate = false;
  /// Backward: the gradient of y.
  const Real* dy = nullptr;
  std::size_t y_stride = 0;  ///< Of y and dy.
  /// Backward with pair_input: gets its gradient [rows, inputs]; without: it is part of dx.
  Real* pair_dx = nullptr;
};

/// The attention of one block over a batch. q, k and v lie in one buffer [tokens, width]: first
/// all heads' queries, then keys, then values.
template <class Real>
struct Attention {
  /// Where each sequence begins, and the number of tokens at the end.
  std::span<const std::size_t> starts;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t dimension = 0;
  std::size_t window = 0;  ///< 0: none
  const Real* qkv = nullptr;
  Real* out = nullptr;      ///< [tokens, heads * dimension]
  Real* log_sum = nullptr;  ///< [tokens, heads]

  std::size_t width() const { return (heads + 2 * kv_heads) * dimension; }
};

/// Angles by position: [positions, half].
template <class Real>
struct Rotation {
  std::size_t half = 0;
  std::vector<Real> cosine;
  std::vector<Real> sine;
};

/// The operators that a model is made of, forward and backward. Pointers are to memory that the
/// implementation computes on; for a processor that is ordinary memory. Matrices are row-major and,
/// where no stride is given, dense; rows are tokens. One call at a time.
///
/// Every implementation gives the same numbers for the same call, bit for bit, however many threads
/// it has. CpuBackend<double> is the reference that finite differences are taken of.
template <class Real>
class Backend {
 public:
  virtual ~Backend() = default;

  virtual void embed(const FrozenMatrix& table, std::span<const TokenId> tokens, Real* out) = 0;
  virtual void rms_norm(std::size_t rows, std::size_t width, const Real* x, const float* weight,
                        double epsilon, Real* y, Real* inverse) = 0;
  /// dx += gradient
  virtual void rms_norm_backward(std::size_t rows, std::size_t width, const Real* x,
                                 const float* weight, const Real* inverse, const Real* dy,
                                 Real* dx) = 0;
  /// Several linears of one input [rows, inputs].
  virtual void linears(std::size_t rows, const Real* x, std::span<const Linear<Real>> linears) = 0;
  /// dx = the sum of their input gradients (null: not wanted), and the pairs' gradients.
  virtual void linears_backward(std::size_t rows, const Real* x,
                                std::span<const Linear<Real>> linears, Real* dx) = 0;
  enum class Turn { Forward, Back };
  /// Rotates the first `heads` heads of each row (queries, then keys) by its position in its
  /// sequence.
  virtual void rotate(const Rotation<Real>& rotation, std::span<const std::size_t> starts,
                      std::size_t heads, std::size_t dimension, std::size_t stride, Turn turn,
                      Real* x) = 0;
  virtual void attention(const Attention<Real>& attention) = 0;
  /// dqkv [tokens, width] from the gradient of `out`.
  virtual void attention_backward(const Attention<Real>& attention, const Real* dout,
                                  Real* dqkv) = 0;
  /// out [rows, width] from gate and up, side by side in [rows, 2 width].
  virtual void swiglu(std::size_t rows, std::size_t width, const Real* gate_up, Real* out) = 0;
  virtual void swiglu_backward(std::size_t rows, std::size_t width, const Real* gate_up,
                               const Real* dout, Real* dgate_up) = 0;
  /// Turns logits [rows, count] into `scale` times the gradient of the sum of their cross
  /// entropies; returns that sum.
  virtual double cross_entropy(std::size_t rows, std::size_t count, std::span<const TokenId> labels,
                               double scale, Real* logits) = 0;
  /// out = x where a number drawn from (key, place) is at least `probability`, scaled up to keep
  /// the mean; elsewhere 0. With `add`, out += instead.
  virtual void dropout(std::size_t count, const Real* x, double probability, std::uint64_t key,
                       bool add, Real* out) = 0;
};

}  // namespace tuning

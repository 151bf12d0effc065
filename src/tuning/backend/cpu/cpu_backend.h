#pragma once

#include <memory>
#include <span>
#include <vector>

#include "tuning/backend/aligned_buffer.h"
#include "tuning/backend/backend.h"
#include "tuning/backend/cpu/kernel_table.h"
#include "tuning/backend/cpu/thread_pool.h"

namespace tuning {

/// The operators on the processor: shares rows, heads and panels of columns out to the pool's
/// threads and lets the kernels compute them. Every number is computed by one thread in an order
/// that does not depend on their count.
template <class Real>
class CpuBackend final : public Backend<Real> {
 public:
  using Turn = typename Backend<Real>::Turn;

  /// `pool` must outlive the object.
  CpuBackend(const KernelTable<Real>& kernels, ThreadPool& pool);

  void embed(const FrozenMatrix& table, std::span<const TokenId> tokens, Real* out) override;
  void rms_norm(std::size_t rows, std::size_t width, const Real* x, const float* weight,
                double epsilon, Real* y, Real* inverse) override;
  void rms_norm_backward(std::size_t rows, std::size_t width, const Real* x, const float* weight,
                         const Real* inverse, const Real* dy, Real* dx) override;
  void linears(std::size_t rows, const Real* x, std::span<const Linear<Real>> linears) override;
  void linears_backward(std::size_t rows, const Real* x, std::span<const Linear<Real>> linears,
                        Real* dx) override;
  void rotate(const Rotation<Real>& rotation, std::span<const std::size_t> starts,
              std::size_t heads, std::size_t dimension, std::size_t stride, Turn turn,
              Real* x) override;
  void attention(const Attention<Real>& attention) override;
  void attention_backward(const Attention<Real>& attention, const Real* dout, Real* dqkv) override;
  void swiglu(std::size_t rows, std::size_t width, const Real* gate_up, Real* out) override;
  void swiglu_backward(std::size_t rows, std::size_t width, const Real* gate_up, const Real* dout,
                       Real* dgate_up) override;
  double cross_entropy(std::size_t rows, std::size_t count, std::span<const TokenId> labels,
                       double scale, Real* logits) override;
  void dropout(std::size_t count, const Real* x, double probability, std::uint64_t key, bool add,
               Real* out) override;

 private:
  /// A left operand in panels of tile_rows rows.
  struct Packed {
    AlignedBuffer buffer;
    std::size_t panel_bytes = 0;
    std::size_t panels = 0;
  };
  /// One linear's operands of one call.
  struct Operands {
    Packed input;                ///< pair_input, or dy.
    Packed hidden;               ///< The pair's inner activations, or their gradient.
    std::vector<Real> gradient;  ///< Of the inner activations, scaled.
  };
  struct Worker {
    AlignedBuffer panel;
    std::vector<Real> scratch;
  };

  template <class Body>
  void each_row(std::size_t rows, Body&& body);
  void prepare(Packed& packed, std::size_t rows, std::size_t depth) const;
  void pack(Packed& packed, const Real* x, std::size_t stride, std::size_t rows, std::size_t depth);
  void project(const Packed& left, std::size_t rows, std::size_t depth, const Real* right,
               std::size_t depth_stride, std::size_t column_stride, std::size_t rank, Real scale,
               Real* out, Packed& packed_out);
  struct Panel;
  void frozen_product(const Panel& panel, const Packed& left, const FrozenMatrix& matrix,
                      Orientation orientation, Worker& worker) const;
  void plain_product(const Panel& panel, const Packed& left, const Real* right,
                     std::size_t depth_stride, std::size_t column_stride, std::size_t depth,
                     Worker& worker) const;
  void tiles(const Panel& panel, const Packed& left, std::size_t depth0, std::size_t depth,
             bool accumulate, Worker& worker) const;
  std::size_t panels_per_task(std::size_t row_panels, std::size_t column_panels) const;
  void forward_panel(const Linear<Real>& linear, const Packed& input, const Packed& hidden,
                     Panel panel, Worker& worker) const;
  void input_gradient_panel(std::span<const Linear<Real>> linears, Panel panel, Worker& worker);
  void gradient_of_b(const Linear<Real>& linear, std::size_t rows, std::size_t part) const;
  void gradient_of_a(const Linear<Real>& linear, std::size_t rows, const Real* x,
                     const Operands& operands, std::size_t part) const;
  AttentionHead<Real> head_of(const Attention<Real>& attention, std::size_t sequence,
                              std::size_t head) const;

  const KernelTable<Real>& kernels_;
  ThreadPool& pool_;
  std::vector<Worker> workers_;
  Packed input_;
  std::vector<Operands> operands_;
  std::vector<Real> dkv_;  ///< Gradients of keys and values, head by head.
  std::vector<double> losses_;
};

}  // namespace tuning

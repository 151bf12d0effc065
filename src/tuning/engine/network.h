#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "tuning/backend/backend.h"
#include "tuning/engine/model_weights.h"
#include "tuning/engine/types.h"
#include "tuning/lora/lora_config.h"

namespace tuning {

/// Random numbers that depend on what they are for, not on when they are drawn.
struct DropoutPlan {
  double probability = 0;  ///< 0: none
  std::uint64_t key = 0;   ///< Another one for each pass.
};

/// Runs the model with its pairs over batches, forward and backward. Holds the trainable numbers
/// and their gradients. In double it is what finite differences are taken of.
template <class Real>
class Network {
 public:
  struct Options {
    /// Blocks from this one on keep their activations; those below compute them again.
    std::size_t first_kept_block = 0;
  };

  /// All three must outlive the object.
  Network(const ModelWeights& weights, const std::vector<LoraTarget>& targets,
          Backend<Real>& backend);

  /// A then B of each target.
  std::span<Real> parameters() { return parameters_; }
  std::span<Real> gradients() { return gradients_; }
  std::span<const Real> parameters() const { return parameters_; }
  std::span<const Real> gradients() const { return gradients_; }

  void set_options(Options options);

  /// The sum of the cross entropies of all labels of `batch`; adds `loss_scale` times its gradient
  /// to gradients(). Errors: Cancelled, Timeout (gradients() then hold part of it).
  base::Result<double> forward_backward(const base::Context& ctx, const Batch& batch,
                                        double loss_scale, const DropoutPlan& dropout);
  /// The same sum without gradients and dropout.
  base::Result<double> loss(const base::Context& ctx, const Batch& batch);
  /// Logits at the last position of each sequence, one after the other.
  base::Result<std::vector<Real>> last_logits(const base::Context& ctx, const Batch& batch);

 private:
  /// Where a target's numbers lie; no target: rank 0.
  struct Place {
    std::size_t rank = 0;
    Real scale = 0;
    std::size_t a = 0;
    std::size_t b = 0;
  };
  /// What the backward pass of one block needs besides its input.
  struct Activations {
    std::vector<Real> qkv;
    std::vector<Real> log_sum;
    std::vector<Real> attention;
    std::vector<Real> middle;  ///< After the attention.
    std::vector<Real> gate_up;
    std::vector<std::vector<Real>> hidden;  ///< By linear.
  };
  enum class Purpose { Full, Again };

  void lay_out(const Batch& batch);
  void make_rotation(std::size_t longest);
  base::Status forward(const base::Context& ctx, const Batch& batch, bool keep_all);
  void block_forward(std::size_t block, Activations& activations, Purpose purpose);
  void block_backward(std::size_t block, Activations& activations, Real* dx);
  void attention_backward(std::size_t block, Activations& activations, Real* dx);
  /// The linears [first, first + count) of a block, their results side by side in y.
  void run_group(std::size_t block, std::size_t first, std::size_t count, const Real* x,
                 Activations& activations, Real* y, bool accumulate);
  void run_group_backward(std::size_t block, std::size_t first, std::size_t count, const Real* x,
                          Activations& activations, const Real* dy, Real* dx);
  Linear<Real> linear_of(std::size_t block, std::size_t index, Activations& activations);
  bool group_is_trained(std::size_t block, std::size_t first, std::size_t count) const;
  Attention<Real> attention_of(Activations& activations) const;
  Activations& activations_of(std::size_t block);
  double head_loss(const Batch& batch, double loss_scale, Real* dx);
  std::uint64_t dropout_key(std::size_t block, std::size_t linear) const;

  const ModelWeights& weights_;
  const Architecture& shape_;
  Backend<Real>& backend_;
  std::vector<LinearShape> linear_shapes_;
  std::vector<std::vector<Place>> places_;  ///< By block and linear.
  std::size_t first_trained_block_ = 0;
  std::vector<Real> parameters_;
  std::vector<Real> gradients_;
  Options options_;
  DropoutPlan dropout_;

  // One pass.
  std::size_t tokens_ = 0;
  std::vector<std::size_t> starts_;
  std::vector<TokenId> ids_;
  Rotation<Real> rotation_;
  bool rotation_is_long_ = false;
  std::vector<std::vector<Real>> inputs_;  ///< Of each block, and of the final norm.
  std::vector<Activations> kept_;
  Activations shared_;
  std::vector<Real> normed_, inverse_, dnormed_, activated_, dactivated_, dgate_up_, dattention_,
      dqkv_, logits_, dropped_, dpair_;
};

}  // namespace tuning

#include "tuning/engine/network.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tuning/backend/cpu/cpu_backend.h"
#include "tuning/engine/tiny_model.h"

namespace tuning {
namespace {

constexpr ModelOptions kExact{.linear_format = WeightFormat::F32,
                              .dense_format = WeightFormat::F32};

LoraConfig all_linears(std::size_t rank) {
  return {.rank = rank, .alpha = 6, .target_modules = {"all-linear"}};
}

template <class Real>
void randomise(std::span<Real> parameters) {
  std::mt19937 generator(3);
  std::normal_distribution<double> normal(0, 0.2);
  for (Real& value : parameters) value = static_cast<Real>(normal(generator));
}

/// The largest error of the gradient, relative to the largest gradient, at some parameters of every
/// matrix.
double gradient_error(const Architecture& shape, const LoraConfig& lora, const Batch& batch,
                      const DropoutPlan& dropout = {}, std::size_t first_kept_block = 0) {
  const auto weights = tiny_weights(shape, kExact);
  const auto targets = *resolve_targets(lora, shape);
  ThreadPool pool(2);
  CpuBackend<double> backend(scalar_kernels_double(), pool);
  Network<double> network(*weights, targets, backend);
  network.set_options({.first_kept_block = first_kept_block});
  randomise(network.parameters());
  const base::Context ctx;
  EXPECT_TRUE(network.forward_backward(ctx, batch, 0.5, dropout));
  const std::vector<double> gradients(network.gradients().begin(), network.gradients().end());
  double largest = 0, worst = 0;
  for (const double gradient : gradients) largest = std::max(largest, std::fabs(gradient));
  EXPECT_GT(largest, 1e-3);
  const auto loss_with = [&](std::size_t at, double value) {
    network.parameters()[at] = value;
    return *network.forward_backward(ctx, batch, 0.5, dropout);
  };
  constexpr double kStep = 1e-5;
  constexpr std::size_t kStride = 37;  // Some of every matrix: none is smaller.
  for (std::size_t i = 0; i < gradients.size(); i += kStride) {
    const double old = network.parameters()[i];
    const double slope =
        0.5 * (loss_with(i, old + kStep) - loss_with(i, old - kStep)) / (2 * kStep);
    network.parameters()[i] = old;
    worst = std::max(worst, std::fabs(slope - gradients[i]) / largest);
  }
  return worst;
}

TEST(Network, GradientsAreFiniteDifferencesForEveryFamily) {
  for (const Family family : {Family::Llama, Family::Mistral, Family::Qwen2, Family::Phi3}) {
    EXPECT_LT(gradient_error(tiny_architecture(family), all_linears(3), tiny_batch({9, 4})), 1e-7)
        << name_of(family);
  }
}

TEST(Network, GradientsHoldAcrossTilesOfAttentionAndWindows) {
  Architecture shape = tiny_architecture(Family::Mistral);
  shape.layers = 1;
  EXPECT_LT(gradient_error(shape, all_linears(2), tiny_batch({70})), 1e-7);
  shape.sliding_window = 5;
  EXPECT_LT(gradient_error(shape, all_linears(2), tiny_batch({70, 3})), 1e-7);
}

TEST(Network, GradientsHoldWithLongRopePartialRotationAndDropout) {
  Architecture shape = tiny_architecture(Family::Phi3);
  shape.rope.rotated_dimensions = 6;
  shape.rope.short_factors = {1, 1.5, 2};
  shape.rope.long_factors = {2, 4, 8};
  shape.rope.original_context_tokens = 6;
  shape.rope.attention_factor = 1.2;
  EXPECT_LT(gradient_error(shape, all_linears(2), tiny_batch({5, 4})), 1e-7);
  EXPECT_LT(gradient_error(shape, all_linears(2), tiny_batch({9})), 1e-7);
  EXPECT_LT(gradient_error(shape, all_linears(2), tiny_batch({9}), {0.3, 77}), 1e-7);
}

TEST(Network, GradientsHoldWhenBlocksAreComputedAgain) {
  const Architecture shape = tiny_architecture(Family::Llama);
  for (const std::size_t first_kept : {1u, 2u, 3u}) {
    EXPECT_LT(gradient_error(shape, all_linears(2), tiny_batch({7}), {0.2, 5}, first_kept), 1e-7);
  }
}

TEST(Network, GradientsHoldWhenOnlySomeLinearsAreTrained) {
  const Architecture shape = tiny_architecture(Family::Llama);
  LoraConfig lora{.rank = 3, .target_modules = {"up_proj", "v_proj"}};
  EXPECT_LT(gradient_error(shape, lora, tiny_batch({7})), 1e-7);
  lora.layers_to_transform = {1};
  EXPECT_LT(gradient_error(shape, lora, tiny_batch({7}), {}, 2), 1e-7);
  EXPECT_LT(gradient_error(shape, {.rank = 3, .target_modules = {"down_proj"}}, tiny_batch({7})),
            1e-7);
}

/// Loss and gradients in float with `kernels` against double.
void compare(const KernelTable<float>& kernels, const ModelOptions& options, double loss_tolerance,
             double gradient_tolerance) {
  Architecture shape = tiny_architecture(Family::Llama);
  shape.hidden_size = 128;
  shape.intermediate_size = 192;
  shape.heads = 4;
  shape.head_dimension = 20;
  shape.rope.rotated_dimensions = 20;
  const auto weights = tiny_weights(shape, options);
  const auto targets = *resolve_targets(all_linears(9), shape);
  const Batch batch = tiny_batch({70, 3, 21});
  const base::Context ctx;
  ThreadPool pool(3);
  CpuBackend<double> exact_backend(scalar_kernels_double(), pool);
  Network<double> exact(*weights, targets, exact_backend);
  CpuBackend<float> backend(kernels, pool);
  Network<float> network(*weights, targets, backend);
  randomise(network.parameters());
  for (std::size_t i = 0; i < exact.parameters().size(); ++i) {
    exact.parameters()[i] = network.parameters()[i];
  }
  const double expected = *exact.forward_backward(ctx, batch, 0.1, {0.1, 9});
  const double loss = *network.forward_backward(ctx, batch, 0.1, {0.1, 9});
  EXPECT_NEAR(loss, expected, loss_tolerance * expected);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < exact.gradients().size(); ++i) {
    difference += std::pow(exact.gradients()[i] - static_cast<double>(network.gradients()[i]), 2);
    size += std::pow(exact.gradients()[i], 2);
  }
  EXPECT_LT(std::sqrt(difference / size), gradient_tolerance);
}

TEST(Network, KernelsAgreeWithDoublePrecision) {
  for (const WeightFormat format : {WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8,
                                    WeightFormat::Fp4, WeightFormat::Nf4}) {
    SCOPED_TRACE(name_of(format));
    const ModelOptions options{.linear_format = format, .dense_format = WeightFormat::F32};
    compare(scalar_kernels(), options, 1e-6, 3e-5);
    if (supports(KernelSet::Avx2)) compare(avx2_kernels(), options, 1e-6, 3e-5);
    if (supports(KernelSet::Avx512)) compare(avx512_kernels(), options, 1e-6, 3e-5);
    if (supports(KernelSet::Avx512Bf16)) compare(avx512_bf16_kernels(), options, 1e-2, 6e-2);
  }
}

}  // namespace
}  // namespace tuning

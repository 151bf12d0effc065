#include "inference/engine/matmul/matmul.h"

#include <ggml.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace inference {
namespace {

struct Case {
  std::int64_t rows, tokens, blocks;
};

std::vector<std::uint8_t> quantize(ggml_type type, const std::vector<float>& values,
                                   std::int64_t row_values) {
  const auto rows = static_cast<std::int64_t>(values.size()) / row_values;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(rows) * ggml_row_size(type, row_values));
  if (type == GGML_TYPE_Q8_1) {
    // ggml has no public quantiser for this one: half scale, half scale * sum, 32 values.
    std::uint8_t* out = bytes.data();
    for (std::size_t at = 0; at < values.size(); at += 32, out += 36) {
      float largest = 0;
      for (std::size_t i = 0; i < 32; ++i) largest = std::max(largest, std::abs(values[at + i]));
      const float scale = largest / 127;
      int sum = 0;
      for (std::size_t i = 0; i < 32; ++i) {
        const int value = scale == 0 ? 0 : static_cast<int>(std::lround(values[at + i] / scale));
        sum += value;
        out[4 + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(value));
      }
      const ggml_fp16_t halves[2] = {ggml_fp32_to_fp16(scale),
                                     ggml_fp32_to_fp16(scale * static_cast<float>(sum))};
      std::copy_n(reinterpret_cast<const std::uint8_t*>(halves), 4, out);
    }
    return bytes;
  }
  ggml_quantize_chunk(type, values.data(), bytes.data(), 0, rows, row_values, nullptr);
  return bytes;
}

std::vector<float> dequantize(ggml_type type, const std::vector<std::uint8_t>& bytes,
                              std::size_t count) {
  std::vector<float> values(count);
  if (type == GGML_TYPE_Q8_1) {
    for (std::size_t at = 0; at < count; ++at) {
      const std::uint8_t* block = bytes.data() + at / 32 * 36;
      ggml_fp16_t scale;
      std::copy_n(block, 2, reinterpret_cast<std::uint8_t*>(&scale));
      values[at] = ggml_fp16_to_fp32(scale) *
                   static_cast<float>(static_cast<std::int8_t>(block[4 + at % 32]));
    }
    return values;
  }
  ggml_get_type_traits(type)->to_float(bytes.data(), values.data(),
                                       static_cast<std::int64_t>(count));
  return values;
}

void check(ggml_type weight_type, ggml_type activation_type, void (*multiply)(const MatmulTask&),
           const Case& size) {
  std::mt19937 random(static_cast<unsigned>(size.rows + size.tokens * 7 + size.blocks));
  std::normal_distribution<float> normal(0.1F, 1.0F);
  const std::int64_t k = size.blocks * 32;
  std::vector<float> w(static_cast<std::size_t>(size.rows * k)),
      x(static_cast<std::size_t>(size.tokens * k));
  for (float& value : w) value = normal(random);
  for (float& value : x) value = normal(random);
  const auto weights = quantize(weight_type, w, k);
  const auto activations = quantize(activation_type, x, k);
  w = dequantize(weight_type, weights, w.size());
  x = dequantize(activation_type, activations, x.size());
  std::vector<float> result(static_cast<std::size_t>(size.tokens * size.rows), -1e9F);
  constexpr int kThreads = 3;
  for (int thread = 0; thread < kThreads; ++thread) {
    multiply({.rows = size.rows,
              .tokens = size.tokens,
              .blocks = size.blocks,
              .weights = weights.data(),
              .weights_row_bytes = ggml_row_size(weight_type, k),
              .activations = activations.data(),
              .activations_row_bytes = ggml_row_size(activation_type, k),
              .result = result.data(),
              .result_stride = size.rows,
              .thread = thread,
              .threads = kThreads});
  }
  for (std::int64_t token = 0; token < size.tokens; ++token) {
    for (std::int64_t row = 0; row < size.rows; ++row) {
      double sum = 0, magnitude = 0;
      for (std::int64_t i = 0; i < k; ++i) {
        const double product = static_cast<double>(w[static_cast<std::size_t>(row * k + i)]) *
                               static_cast<double>(x[static_cast<std::size_t>(token * k + i)]);
        sum += product;
        magnitude += std::abs(product);
      }
      // The sum of a Q8_1 block is kept as a half, rounded apart from its scale.
      const double allowed = magnitude * (activation_type == GGML_TYPE_Q8_1 ? 2e-3 : 1e-5);
      ASSERT_NEAR(result[static_cast<std::size_t>(token * size.rows + row)], sum, allowed)
          << "row " << row << " token " << token << " of " << size.rows << "x" << size.tokens << "x"
          << k;
    }
  }
}

class Matmul : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!has_fast_matmul()) GTEST_SKIP() << "this processor has no AVX-512 VNNI";
  }
};

TEST_P(Matmul, Q4_1) { check(GGML_TYPE_Q4_1, GGML_TYPE_Q8_1, matmul_q4_1, GetParam()); }
TEST_P(Matmul, Q8_0) { check(GGML_TYPE_Q8_0, GGML_TYPE_Q8_0, matmul_q8_0, GetParam()); }

INSTANTIATE_TEST_SUITE_P(Sizes, Matmul,
                         testing::Values(Case{16, 1, 1}, Case{16, 1, 4}, Case{192, 1, 18},
                                         Case{64, 2, 18}, Case{48, 3, 5}, Case{17, 1, 2},
                                         Case{31, 9, 6}, Case{64, 4, 48}, Case{80, 8, 18},
                                         Case{33, 15, 7}, Case{576, 32, 18}));

}  // namespace
}  // namespace inference

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tuning/backend/cpu/cpu_backend.h"

namespace tuning {
namespace {

std::vector<float> numbers(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> result(count);
  for (float& value : result) value = normal(generator);
  return result;
}

struct Named {
  const KernelTable<float>& kernels;
  double tolerance;
};

std::vector<Named> all_kernels() {
  std::vector<Named> result = {{scalar_kernels(), 1e-5}};
  if (supports(KernelSet::Avx2)) result.push_back({avx2_kernels(), 1e-5});
  if (supports(KernelSet::Avx512)) result.push_back({avx512_kernels(), 1e-5});
  if (supports(KernelSet::Avx512Bf16)) result.push_back({avx512_bf16_kernels(), 2e-2});
  return result;
}

/// Root of the mean square of the difference, relative to that of `expected`.
double distance(const std::vector<float>& values, const std::vector<double>& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(values[i]) - expected[i], 2);
    size += std::pow(expected[i], 2);
  }
  return std::sqrt(difference / size);
}

/// x W^T and dy W of odd and even sizes, all formats and kernels.
TEST(CpuKernels, MultiplyWithFrozenMatricesOfAnyShape) {
  struct Shape {
    std::size_t rows, inputs, outputs;
  };
  ThreadPool pool(2);
  for (const Shape& shape : {Shape{1, 1, 1},
                             {3, 64, 50},
                             {17, 37, 129},
                             {9, 576, 192},
                             {40, 1100, 20},
                             {8, 128, 1111}}) {
    const auto values = numbers(shape.inputs * shape.outputs, 1);
    const auto x = numbers(shape.rows * shape.inputs, 2);
    const auto dy = numbers(shape.rows * shape.outputs, 3);
    for (const WeightFormat format : {WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8,
                                      WeightFormat::Fp4, WeightFormat::Nf4}) {
      const auto matrix =
          FrozenMatrix::from_values(values, shape.outputs, shape.inputs, {format, true});
      std::vector<double> y(shape.rows * shape.outputs), dx(shape.rows * shape.inputs);
      std::vector<float> row(shape.inputs);
      for (std::size_t o = 0; o < shape.outputs; ++o) {
        matrix.read(o, 0, row);
        for (std::size_t r = 0; r < shape.rows; ++r) {
          for (std::size_t i = 0; i < shape.inputs; ++i) {
            y[r * shape.outputs + o] +=
                static_cast<double>(x[r * shape.inputs + i]) * static_cast<double>(row[i]);
            dx[r * shape.inputs + i] +=
                static_cast<double>(dy[r * shape.outputs + o]) * static_cast<double>(row[i]);
          }
        }
      }
      for (const Named& named : all_kernels()) {
        SCOPED_TRACE(testing::Message()
                     << name_of(named.kernels.set) << ' ' << name_of(format) << ' ' << shape.rows
                     << 'x' << shape.inputs << 'x' << shape.outputs);
        CpuBackend<float> backend(named.kernels, pool);
        std::vector<float> got_y(y.size()), got_dx(dx.size());
        Linear<float> linear;
        linear.weight = &matrix;
        linear.y = got_y.data();
        linear.y_stride = shape.outputs;
        backend.linears(shape.rows, x.data(), {&linear, 1});
        EXPECT_LT(distance(got_y, y), named.tolerance);
        linear.dy = dy.data();
        backend.linears_backward(shape.rows, x.data(), {&linear, 1}, got_dx.data());
        EXPECT_LT(distance(got_dx, dx), named.tolerance);
      }
    }
  }
}

TEST(CpuKernels, ComputeExponentialsToTheLastDigits) {
  for (const Named& named : all_kernels()) {
    // softmax over two values, seen through the loss: log(1 + exp(x)).
    for (float x = -60; x < 60; x += 0.37f) {
      std::vector<float> logits(33, -1e4f);
      logits[0] = 0;
      logits[32] = x;
      const double loss = named.kernels.cross_entropy(33, 0, 1, logits.data());
      const double expected = std::log1p(std::exp(static_cast<double>(x)));
      EXPECT_NEAR(loss, expected, 1e-6 * (1 + expected)) << name_of(named.kernels.set) << ' ' << x;
      EXPECT_NEAR(logits[32], 1 / (1 + std::exp(-static_cast<double>(x))), 1e-6);
    }
  }
}

TEST(CpuKernels, NamesWhatTheProcessorHas) {
  EXPECT_TRUE(supports(KernelSet::Scalar));
  EXPECT_TRUE(supports(best_kernels()));
  EXPECT_NE(best_kernels(), KernelSet::Auto);
}

}  // namespace
}  // namespace tuning

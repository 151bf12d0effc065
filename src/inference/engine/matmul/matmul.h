#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace inference {

/// Weights and activations as ggml stores them: rows of blocks of 32 values.
struct MatmulTask {
  std::int64_t rows = 0;    ///< Of the weights.
  std::int64_t tokens = 0;  ///< Columns of the activations.
  std::int64_t blocks = 0;  ///< Of one row.
  const void* weights = nullptr;
  std::size_t weights_row_bytes = 0;
  const void* activations = nullptr;
  std::size_t activations_row_bytes = 0;
  float* result = nullptr;         ///< [tokens][rows]
  std::int64_t result_stride = 0;  ///< In floats.
  int thread = 0;                  ///< This one of...
  int threads = 1;                 ///< ...so many that work on the task.
};

/// Whether the processor has what the kernels below need (AVX-512 with VNNI).
bool has_fast_matmul();

// result[token][row] = sum over k of weights[row][k] * activations[token][k], this thread's share
// of the rows. 16 rows are transposed in registers, so that one instruction takes four products of
// each of 16 rows, and are reused for all tokens; products within a block are exact, as in ggml.

/// Q4_1 weights with Q8_1 activations.
void matmul_q4_1(const MatmulTask& task);
/// Q8_0 weights with Q8_0 activations.
void matmul_q8_0(const MatmulTask& task);

/// What computes matrix products in this process, for the log: `avx512-vnni` or `ggml`.
std::string_view matmul_name();

}  // namespace inference

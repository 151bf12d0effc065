#include <ggml-cpu.h>
#include <ggml.h>

#include "inference/engine/matmul/matmul.h"

// ggml asks `llamafile_sgemm` first for every matrix product. The linker option
// --wrap=llamafile_sgemm sends these calls here; what is not ours goes on to the original. Both
// names are given by the linker and by ggml.

struct ggml_threadpool;

namespace {

/// The head of ggml's own struct of this name, which no public header has. The pin of llama.cpp
/// fixes it; the unit test of the decoder would fail if it changed.
struct ComputeParams {
  int thread;
  int threads;
};

constexpr std::int64_t kPanelRows = 16;

}  // namespace

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
bool __real_llamafile_sgemm(const ComputeParams* params, std::int64_t m, std::int64_t n,
                            std::int64_t k, const void* a, std::int64_t lda, const void* b,
                            std::int64_t ldb, void* c, std::int64_t ldc, int a_type, int b_type,
                            int c_type);

bool __wrap_llamafile_sgemm(const ComputeParams* params, std::int64_t m, std::int64_t n,
                            std::int64_t k, const void* a, std::int64_t lda, const void* b,
                            std::int64_t ldb, void* c, std::int64_t ldc, int a_type, int b_type,
                            int c_type) {
  // NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
  const bool q4_1 = a_type == GGML_TYPE_Q4_1 && b_type == GGML_TYPE_Q8_1;
  const bool q8_0 = a_type == GGML_TYPE_Q8_0 && b_type == GGML_TYPE_Q8_0;
  static const bool fast = inference::has_fast_matmul();
  if (!fast || (!q4_1 && !q8_0) || c_type != GGML_TYPE_F32 || m < kPanelRows) {
    return __real_llamafile_sgemm(params, m, n, k, a, lda, b, ldb, c, ldc, a_type, b_type, c_type);
  }
  const auto block_bytes = [](int type) { return ggml_type_size(static_cast<ggml_type>(type)); };
  const inference::MatmulTask task{
      .rows = m,
      .tokens = n,
      .blocks = k,
      .weights = a,
      .weights_row_bytes = static_cast<std::size_t>(lda) * block_bytes(a_type),
      .activations = b,
      .activations_row_bytes = static_cast<std::size_t>(ldb) * block_bytes(b_type),
      .result = static_cast<float*>(c),
      .result_stride = ldc,
      .thread = params->thread,
      .threads = params->threads};
  if (q4_1) {
    inference::matmul_q4_1(task);
  } else {
    inference::matmul_q8_0(task);
  }
  return true;
}
}

namespace inference {

#if defined(__x86_64__)
bool has_fast_matmul() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
#else
bool has_fast_matmul() { return false; }
void matmul_q4_1(const MatmulTask& /*task*/) {}
void matmul_q8_0(const MatmulTask& /*task*/) {}
#endif

std::string_view matmul_name() { return has_fast_matmul() ? "avx512-vnni" : "ggml"; }

}  // namespace inference

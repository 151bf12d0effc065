#include "tuning/backend/cpu/kernel_includes.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
// g++ 12 reports its own intrinsics' deliberately undefined values.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#include "tuning/backend/cpu/kernels_impl.h"
#include "tuning/backend/cpu/simd_avx512.h"

namespace tuning {
namespace {
struct Avx512Tag;
}

const KernelTable<float>& avx512_kernels() {
  static const auto table = Kernels<Avx512Simd<Avx512Tag>>::table(KernelSet::Avx512);
  return table;
}

}  // namespace tuning

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

namespace tuning {
const KernelTable<float>& avx512_kernels() { return scalar_kernels(); }
}  // namespace tuning

#endif

#include "tuning/backend/cpu/kernel_includes.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include "tuning/backend/cpu/kernels_impl.h"
#include "tuning/backend/cpu/simd_avx2.h"

namespace tuning {

const KernelTable<float>& avx2_kernels() {
  static const auto table = Kernels<Avx2Simd>::table(KernelSet::Avx2);
  return table;
}

}  // namespace tuning

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

namespace tuning {
const KernelTable<float>& avx2_kernels() { return scalar_kernels(); }
}  // namespace tuning

#endif

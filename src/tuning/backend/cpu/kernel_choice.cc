#include "tuning/backend/cpu/kernel_table.h"

namespace tuning {

bool supports(KernelSet kernels) {
#if defined(__x86_64__)
  // These look at what the operating system saves, too.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  switch (kernels) {
    case KernelSet::Auto:
    case KernelSet::Scalar:
      return true;
    case KernelSet::Avx2:
      return avx2;
    case KernelSet::Avx512:
      return avx512;
    case KernelSet::Avx512Bf16:
      return avx512 && __builtin_cpu_supports("avx512bf16");
  }
  return false;
#else
  return kernels == KernelSet::Auto || kernels == KernelSet::Scalar;
#endif
}

KernelSet best_kernels() {
  for (const KernelSet set : {KernelSet::Avx512Bf16, KernelSet::Avx512, KernelSet::Avx2}) {
    if (supports(set)) return set;
  }
  return KernelSet::Scalar;
}

}  // namespace tuning

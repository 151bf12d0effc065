#include "tuning/backend/cpu/kernel_includes.h"
// The above first.
#include "tuning/backend/cpu/kernels_impl.h"
#include "tuning/backend/cpu/simd_scalar.h"

namespace tuning {

const KernelTable<float>& scalar_kernels() {
  static const auto table = Kernels<ScalarSimd<float>>::table(KernelSet::Scalar);
  return table;
}

const KernelTable<double>& scalar_kernels_double() {
  static const auto table = Kernels<ScalarSimd<double>>::table(KernelSet::Scalar);
  return table;
}

}  // namespace tuning

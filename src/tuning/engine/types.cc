#include "tuning/engine/types.h"

namespace tuning {

std::string_view name_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::F32:
      return "f32";
    case WeightFormat::Bf16:
      return "bf16";
    case WeightFormat::Int8:
      return "int8";
    case WeightFormat::Fp4:
      return "fp4";
    case WeightFormat::Nf4:
      return "nf4";
  }
  return "unknown";
}

std::string_view name_of(KernelSet kernels) {
  switch (kernels) {
    case KernelSet::Auto:
      return "auto";
    case KernelSet::Scalar:
      return "scalar";
    case KernelSet::Avx2:
      return "avx2";
    case KernelSet::Avx512:
      return "avx512";
    case KernelSet::Avx512Bf16:
      return "avx512_bf16";
  }
  return "unknown";
}

}  // namespace tuning

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace tuning {

using TokenId = std::int32_t;

/// A position whose label is this one adds nothing to the loss.
inline constexpr TokenId kIgnoredLabel = -100;

/// One example. `labels[i]` is what should stand at position i (Hugging Face's convention: usually
/// `tokens` itself with the prompt set to kIgnoredLabel); position i - 1 is trained to say it.
/// labels[0] has nothing before it and is never used. Both have the same length.
struct Sequence {
  std::vector<TokenId> tokens;
  std::vector<TokenId> labels;
};

/// Sequences that go through the model together. They may differ in length: nothing is padded and
/// each attends to itself only. Packing is putting more of them into one batch.
using Batch = std::vector<Sequence>;

/// How a frozen matrix is kept in memory. The 4-bit formats are those of bitsandbytes, blocks of
/// 64 values; Int8 has one scale a row.
enum class WeightFormat { F32, Bf16, Int8, Fp4, Nf4 };

/// `nf4`, as configuration files spell it.
std::string_view name_of(WeightFormat format);

/// Which instructions compute. Auto takes the best that this processor has.
enum class KernelSet { Auto, Scalar, Avx2, Avx512, Avx512Bf16 };

/// `avx512_bf16`
std::string_view name_of(KernelSet kernels);

}  // namespace tuning

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/result.h"
#include "model/gguf/gguf_file.h"

namespace model {

/// Whether `dequantise` knows the type: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K,
/// Q6_K.
bool can_dequantise(const GgufType& type);

/// Turns stored blocks into `out.size()` floats, equal to ggml's own.
/// Errors: Invalid for other types and when `bytes` does not hold as many elements.
base::Status dequantise(const GgufType& type, std::span<const std::byte> bytes,
                        std::span<float> out);

}  // namespace model

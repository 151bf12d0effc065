#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "model/gguf/gguf_file.h"

namespace model {

/// Whether `quantise` knows the type: F32, F16, BF16, Q8_0, Q4_0, Q4_1.
bool can_quantise(const GgufType& type);

/// Stores `values`, whole blocks of them, as ggml's reference does. Errors: Invalid for other
/// types.
base::Status quantise(const GgufType& type, std::span<const float> values,
                      std::span<std::byte> out);

}  // namespace model

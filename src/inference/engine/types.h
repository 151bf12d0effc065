#pragma once

#include <cstdint>

namespace inference {

/// Index into the model's vocabulary.
using TokenId = std::int32_t;
/// Index of a sequence in the decoder's cache.
using SequenceId = std::int32_t;

}  // namespace inference

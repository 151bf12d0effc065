#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "model/peft/peft_adapter.h"

namespace model {

/// A low-rank pair beside one matrix of a GGUF model; the scale is part of `b`.
struct LoraMatrix {
  std::string tensor;  ///< `blk.0.attn_q.weight`
  /// F32 where the adapter has that, else F16, which halves what a token costs.
  DataType type = DataType::F32;
  std::uint64_t rank = 0;
  std::uint64_t inputs = 0;
  std::uint64_t outputs = 0;
  std::vector<float> a;  ///< [rank, inputs]
  std::vector<float> b;  ///< [outputs, rank]
};

/// An adapter in the terms of a GGUF model.
struct GgufLora {
  std::string architecture;
  std::uint64_t largest_rank = 0;
  std::vector<LoraMatrix> matrices;
  std::uint64_t bytes() const;
};

/// Largest adapter that is loaded.
inline constexpr std::uint64_t kMaxAdapterBytes = std::uint64_t{2} << 30;

/// Fits `adapter` to the model of `base`: names, order of rows, scale. Errors: Invalid when it is
/// an adapter of another model (names and shapes in the message), of an architecture that is not
/// supported, too large, or holds values that are not numbers.
base::Result<GgufLora> fit_to_model(const PeftAdapter& adapter, const GgufHeader& base);

/// Writes what llama.cpp reads as an adapter. Errors: system errors.
base::Status write_lora(int fd, const GgufLora& lora);

}  // namespace model

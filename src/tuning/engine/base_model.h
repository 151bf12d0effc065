#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/context.h"
#include "base/result.h"
#include "tuning/engine/architecture.h"
#include "tuning/engine/types.h"

namespace tuning {

struct ModelWeights;

struct ModelOptions {
  /// The linears of the blocks.
  WeightFormat linear_format = WeightFormat::Nf4;
  /// Quantise the scales of the 4-bit formats too (bnb_4bit_use_double_quant).
  bool double_quant = true;
  /// Embedding and head, which no quantisation touches: F32 or Bf16.
  WeightFormat dense_format = WeightFormat::Bf16;
};

/// A model's frozen weights and its shape. Immutable once loaded: any thread, any number of
/// trainers at a time.
class BaseModel {
 public:
  /// `path`: a .gguf file (its weights are dequantised first) or a Hugging Face folder with
  /// config.json and safetensors. Matrices are converted one by one: at no time is the whole model
  /// held in full precision.
  /// Errors: NotFound; Invalid naming the tensor or member that is wrong; Cancelled.
  static base::Result<BaseModel> load(const base::Context& ctx, const std::filesystem::path& path,
                                      const ModelOptions& options);
  /// Only the shape, from the same kinds of `path`, in no time: for planning memory.
  static base::Result<Architecture> read_architecture(const std::filesystem::path& path);

  /// For tests: weights made elsewhere.
  explicit BaseModel(std::unique_ptr<const ModelWeights> weights);
  ~BaseModel();
  BaseModel(BaseModel&&) noexcept;
  BaseModel& operator=(BaseModel&&) noexcept;

  const Architecture& architecture() const;
  const ModelOptions& options() const;
  const ModelWeights& weights() const { return *weights_; }
  std::uint64_t weight_bytes() const;
  /// What was read: `gguf, dequantised from Q4_1` or `safetensors, BF16`.
  const std::string& origin() const;

 private:
  std::unique_ptr<const ModelWeights> weights_;
};

}  // namespace tuning

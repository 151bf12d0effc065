#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/context.h"
#include "base/result.h"

/// Models between Hugging Face folders (`config.json`, safetensors, `tokenizer.json`) and GGUF
/// files, for the families llama, mistral, qwen2 and phi-3. Memory needed: one tensor at a time.
namespace model {

struct Converted {
  std::string architecture;
  std::size_t tensors = 0;
  std::uint64_t bytes = 0;  ///< Written.
};

/// Called after every tensor.
using ConvertProgress = std::function<void(std::size_t done, std::size_t all)>;

struct ToGgufOptions {
  /// `F32`, `F16`, `BF16`, `Q8_0`, `Q4_0` or `Q4_1`; empty keeps the matrices' own type. Vectors
  /// are F32 in any case, and the embedding is Q8_0 where the matrices have four bits.
  std::string type;
  std::string name;  ///< `general.name`; empty takes the folder's.
};

/// Writes `file`, which appears when it is whole. Errors: NotFound, Invalid (what is missing, of an
/// unknown form, or not supported), Cancelled, system errors.
base::Result<Converted> convert_to_gguf(const base::Context& ctx,
                                        const std::filesystem::path& folder,
                                        const std::filesystem::path& file,
                                        const ToGgufOptions& options,
                                        const ConvertProgress& progress = {});

struct ToHuggingFaceOptions {
  /// `F32`, `F16` or `BF16`. Weights that are quantised in the file are rounded to it.
  std::string type = "BF16";
};

/// Writes the files of `folder`, which is made; the weights last. Errors: as above.
base::Result<Converted> convert_to_hugging_face(const base::Context& ctx,
                                                const std::filesystem::path& file,
                                                const std::filesystem::path& folder,
                                                const ToHuggingFaceOptions& options,
                                                const ConvertProgress& progress = {});

}  // namespace model

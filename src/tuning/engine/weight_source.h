#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tuning/engine/architecture.h"

namespace tuning {

/// A model on disk, read tensor by tensor under Hugging Face's names and in its order of rows.
/// Immutable; any thread.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const Architecture& architecture() const = 0;
  /// What the files are, for the log.
  virtual const std::string& description() const = 0;
  virtual bool has(std::string_view name) const = 0;
  /// `rows` x `columns` values; `rows` is 1 for a vector. Errors: NotFound; Invalid for another
  /// shape, a type that cannot be read, and values that are not finite.
  virtual base::Result<std::vector<float>> read(std::string_view name, std::size_t rows,
                                                std::size_t columns) const = 0;
};

/// `path`: a .gguf file or a Hugging Face folder. Errors: NotFound; Invalid naming what is wrong.
base::Result<std::unique_ptr<WeightSource>> open_weights(const std::filesystem::path& path);

}  // namespace tuning

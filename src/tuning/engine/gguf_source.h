#pragma once

#include "tuning/engine/weight_source.h"

namespace tuning {

/// Errors: NotFound; Invalid for other architectures, types of weights and kinds of RoPE scaling.
base::Result<std::unique_ptr<WeightSource>> open_gguf(const std::filesystem::path& path);

/// Errors: Invalid naming the tensor.
base::Status check_finite(std::string_view name, const std::vector<float>& values);

}  // namespace tuning

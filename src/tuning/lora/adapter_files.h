#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuning/lora/lora_config.h"

namespace tuning {

/// Writes `adapter_model.safetensors`, then `adapter_config.json`, as PEFT saves them, each whole
/// or not at all. `parameters`: A [rank, inputs] then B [outputs, rank] of each target. Errors:
/// system errors.
base::Status write_adapter_files(const std::filesystem::path& folder, const LoraConfig& config,
                                 const std::vector<LoraTarget>& targets,
                                 std::span<const float> parameters,
                                 const std::string& base_model_name);

/// The parameters of `targets` from such a folder. Errors: NotFound; Invalid naming the tensor that
/// is missing or of another shape, and those that no target wants.
base::Result<std::vector<float>> read_adapter_files(const std::filesystem::path& folder,
                                                    const std::vector<LoraTarget>& targets);

/// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`
std::string lora_tensor_name(const std::string& module, char matrix);

}  // namespace tuning

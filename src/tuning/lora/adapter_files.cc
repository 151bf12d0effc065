#include "tuning/lora/adapter_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/file.h"
#include "json/value.h"
#include "model/safetensors/safetensors.h"

namespace tuning {
namespace {

json::Value number(double value) {
  if (std::floor(value) == value && std::fabs(value) < 1e15) {
    return json::Value(static_cast<std::int64_t>(value));
  }
  return json::Value(value);
}

/// What was asked for, or, where that was a choice, the names it came to.
json::Value target_modules(const LoraConfig& config, const std::vector<LoraTarget>& targets) {
  const bool all = config.target_modules.empty() ||
                   std::find(config.target_modules.begin(), config.target_modules.end(),
                             "all-linear") != config.target_modules.end();
  if (config.target_is_pattern && !all) return json::Value(config.target_modules.front());
  std::set<std::string> names(config.target_modules.begin(), config.target_modules.end());
  if (all) {
    names.clear();
    for (const LoraTarget& target : targets) {
      names.insert(target.name.substr(target.name.rfind('.') + 1));
    }
  }
  json::Array result;
  for (const std::string& name : names) result.emplace_back(name);
  return result;
}

json::Object config_json(const LoraConfig& config, const std::vector<LoraTarget>& targets,
                         const std::string& base_model_name) {
  json::Object result;
  json::Object alphas, ranks;
  for (const auto& [pattern, alpha] : config.alpha_pattern) alphas[pattern] = number(alpha);
  for (const auto& [pattern, rank] : config.rank_pattern) ranks[pattern] = rank;
  result["alpha_pattern"] = alphas;
  result["auto_mapping"] = nullptr;
  result["base_model_name_or_path"] = base_model_name;
  result["bias"] = "none";
  result["fan_in_fan_out"] = false;
  result["inference_mode"] = true;
  result["init_lora_weights"] = true;
  result["layers_pattern"] = nullptr;
  result["layers_to_transform"] = nullptr;
  if (!config.layers_to_transform.empty()) {
    json::Array layers;
    for (const std::size_t layer : config.layers_to_transform) layers.emplace_back(layer);
    result["layers_to_transform"] = layers;
  }
  result["lora_alpha"] = number(config.alpha);
  result["lora_dropout"] = number(config.dropout);
  result["modules_to_save"] = nullptr;
  result["peft_type"] = "LORA";
  result["r"] = config.rank;
  result["rank_pattern"] = ranks;
  result["revision"] = nullptr;
  result["target_modules"] = target_modules(config, targets);
  result["task_type"] = "CAUSAL_LM";
  result["use_dora"] = false;
  result["use_rslora"] = config.rslora;
  return result;
}

/// Calls `use(name, rows, columns, place)` for A and B of each target.
template <class Use>
base::Status each_matrix(const std::vector<LoraTarget>& targets, Use&& use) {
  std::size_t place = 0;
  for (const LoraTarget& target : targets) {
    TRY(use(lora_tensor_name(target.name, 'A'), target.rank, target.inputs, place));
    place += target.rank * target.inputs;
    TRY(use(lora_tensor_name(target.name, 'B'), target.outputs, target.rank, place));
    place += target.outputs * target.rank;
  }
  return {};
}

}  // namespace

std::string lora_tensor_name(const std::string& module, char matrix) {
  return fmt::format("base_model.model.{}.lora_{}.weight", module, matrix);
}

base::Status write_adapter_files(const std::filesystem::path& folder, const LoraConfig& config,
                                 const std::vector<LoraTarget>& targets,
                                 std::span<const float> parameters,
                                 const std::string& base_model_name) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return base::system_error(folder.string(), error.value());
  std::vector<model::TensorView> tensors;
  TRY(each_matrix(targets,
                  [&](std::string name, std::size_t rows, std::size_t columns,
                      std::size_t place) -> base::Status {
                    model::TensorView tensor;
                    tensor.info = {std::move(name), model::DataType::F32, {rows, columns}};
                    tensor.bytes = std::as_bytes(parameters.subspan(place, rows * columns));
                    tensors.push_back(std::move(tensor));
                    return {};
                  }));
  TRY(model::write_safetensors(folder / "adapter_model.safetensors", tensors, {{"format", "pt"}}));
  constexpr mode_t kReadable = 0644;
  return base::write_file_atomic(
      folder / "adapter_config.json",
      json::dump_pretty(config_json(config, targets, base_model_name)) + "\n", kReadable,
      base::Durability::Synced);
}

base::Result<std::vector<float>> read_adapter_files(const std::filesystem::path& folder,
                                                    const std::vector<LoraTarget>& targets) {
  const auto file = TRY(model::Safetensors::open(folder / "adapter_model.safetensors"));
  std::vector<float> result(parameter_count(targets));
  const auto fill = [&](const std::string& name, std::size_t rows, std::size_t columns,
                        std::size_t place) -> base::Status {
    const model::TensorView* tensor = TRY(file.get(name));
    if (tensor->info.shape != std::vector<std::uint64_t>{rows, columns}) {
      return base::Error(base::ErrorCode::Invalid,
                         fmt::format("{}: {} where [{}, {}] is expected", name,
                                     tensor->info.description(), rows, columns));
    }
    const auto values = TRY(tensor->floats());
    std::copy(values.begin(), values.end(), result.begin() + static_cast<std::ptrdiff_t>(place));
    return {};
  };
  TRY(each_matrix(targets, fill));
  if (file.tensors().size() != 2 * targets.size()) {
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("{} holds {} tensors where the targets have {}", folder.string(),
                                   file.tensors().size(), 2 * targets.size()));
  }
  return result;
}

}  // namespace tuning

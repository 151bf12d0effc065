#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "json/value.h"
#include "model/safetensors/safetensors.h"

namespace model {

/// What `adapter_config.json` says, as far as it changes what an adapter computes.
struct PeftConfig {
  std::string base_model;  ///< `base_model_name_or_path`, for messages only.
  double alpha = 8;
  bool rslora = false;  ///< Scale by alpha / sqrt(rank) instead of alpha / rank.
  /// Alphas of the modules that a regular expression matches at their end, first match first.
  std::vector<std::pair<std::string, double>> alpha_pattern;
};

/// Errors: Invalid, naming the member, for what is no LoRA adapter and for kinds of LoRA that are
/// more than a product of two matrices beside a linear layer (DoRA, trained biases, whole modules).
base::Result<PeftConfig> parse_peft_config(const json::Value& config);

/// One adapted linear layer: y += scale * B (A x).
struct LoraModule {
  std::string name;  ///< `model.layers.0.self_attn.q_proj`
  TensorView a;      ///< [rank, inputs]
  TensorView b;      ///< [outputs, rank]
  double scale = 0;

  std::uint64_t rank() const { return a.info.shape[0]; }
  std::uint64_t inputs() const { return a.info.shape[1]; }
  std::uint64_t outputs() const { return b.info.shape[0]; }
};

/// A LoRA adapter as PEFT saves it. Immutable; any thread.
class PeftAdapter {
 public:
  /// `folder` holds `adapter_config.json` and `adapter_model.safetensors`. Errors: NotFound (what
  /// is missing), Invalid (what is wrong, or what cannot be served and why).
  static base::Result<PeftAdapter> open(const std::filesystem::path& folder);

  const PeftConfig& config() const { return config_; }
  /// Sorted by name; at least one. They live as long as this.
  const std::vector<LoraModule>& modules() const { return modules_; }
  std::uint64_t largest_rank() const;

 private:
  PeftAdapter(PeftConfig config, Safetensors tensors)
      : config_(std::move(config)), tensors_(std::move(tensors)) {}
  base::Status find_modules();

  PeftConfig config_;
  Safetensors tensors_;
  std::vector<LoraModule> modules_;
};

}  // namespace model

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace model {

/// Generation defaults a model's authors give; absent ones fall back to the server's.
struct SamplingDefaults {
  std::optional<double> temperature{};
  std::optional<double> top_p{};
  std::optional<int> top_k{};
};

/// One entry of the preset catalogue: what is known of a model before its files are seen. The facts
/// come from the public model cards and upstream's catalogue (v0.3 and v0.12).
struct Preset {
  std::string name;   ///< What users write: `phi-3-mini-4k-instruct`.
  std::string hf_id;  ///< Hugging Face id, another name for the same.
  std::string architecture{};
  double weights_gib = 0;      ///< Size of the weight files as published; 0 when unknown.
  std::string disk{};          ///< Storage a node should have: `87Gi`.
  std::string quantization{};  ///< "" for 16-bit weights.
  std::int64_t context_tokens = 0;
  std::int64_t kv_bytes_per_token = 0;
  std::string attention{};  ///< MHA, MQA, GQA or MLA.
  bool instruct = false;    ///< Answers in turns: prompts get its chat template.
  bool tunable = false;
  std::string tag = "latest";     ///< Of the model image.
  std::string access = "public";  ///< `private`: the user builds the image.
  SamplingDefaults sampling{};

  std::int64_t weights_bytes() const {
    return static_cast<std::int64_t>(weights_gib * 1024 * 1024 * 1024);
  }
};

/// Every preset, by name.
std::span<const Preset> presets();

/// The preset of that name, alias or Hugging Face id, without regard to case; null when there is
/// none.
const Preset* find_preset(std::string_view name);

/// The preset of that name; for an id of the Hugging Face hub that the catalogue lacks,
/// `org/model`, one that knows only its name (as upstream the last part, or `org-model` where the
/// catalogue has that already) and leaves the rest to the files.
std::optional<Preset> resolve_preset(std::string_view name);

/// The name that an unknown one was probably meant to be; "" when nothing is near.
std::string_view suggest_preset(std::string_view name);

/// `REGISTRY/kaito-NAME:TAG`, or `kaito-NAME:TAG` for an empty registry.
std::string image_reference(const Preset& preset, std::string_view registry);

/// `vllm.max-model-len` of a ConfigMap's `inference_config.yaml`: the context length the user
/// chose.
std::optional<std::int64_t> max_model_len(const std::map<std::string, std::string>& config_data);

}  // namespace model

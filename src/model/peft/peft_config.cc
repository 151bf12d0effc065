#include <fmt/format.h>

#include "model/peft/peft_adapter.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t kMaxPatterns = 10'000;

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

/// Members that mean nothing to an answer when they are absent, null, false or empty.
bool is_unset(const json::Value* value) {
  if (!value || value->is_null()) return true;
  if (const bool* flag = value->if_bool()) return !*flag;
  if (const json::Array* array = value->if_array()) return array->empty();
  if (const json::Object* object = value->if_object()) return object->empty();
  if (const json::String* text = value->if_string()) return text->empty();
  return false;
}

struct Refusal {
  std::string_view member;
  std::string_view reason;
};
constexpr Refusal kRefusals[] = {
    {"use_dora",
     "DoRA adapters change the size of whole weights; merge the adapter into the model"},
    {"use_qalora", "QALoRA adapters cannot be served; merge the adapter into the model"},
    {"use_bdlora", "block-diagonal adapters cannot be served; merge the adapter into the model"},
    {"modules_to_save", "it replaces whole modules; merge the adapter into the model"},
    {"fan_in_fan_out", "transposed layers cannot be served; merge the adapter into the model"},
    {"lora_bias", "trained biases cannot be served; train with lora_bias false"},
    {"layer_replication", "it adds layers to the model; merge the adapter into the model"},
    {"target_parameters", "it adapts single parameters; merge the adapter into the model"},
    {"trainable_token_indices", "it changes embeddings; merge the adapter into the model"},
    {"alora_invocation_tokens", "it is an activated adapter, which needs its own kind of request"},
    {"arrow_config", "routing between adapters is not supported"},
};

Result<double> read_alpha(const json::Value& value, std::string_view member) {
  double alpha = 0;
  if (value.is_number()) {
    alpha = value.to_number<double>();
  } else {
    return invalid(fmt::format("{} should be a number", member));
  }
  if (!(alpha > 0 && alpha < 1e6)) return invalid(fmt::format("{} is out of range", member));
  return alpha;
}

Result<std::vector<std::pair<std::string, double>>> read_alpha_pattern(const json::Value& value) {
  std::vector<std::pair<std::string, double>> out;
  const json::Object* object = value.if_object();
  if (!object || object->size() > kMaxPatterns)
    return invalid("alpha_pattern should be an object of numbers");
  for (const auto& member : *object) {
    std::string pattern(member.key());
    const double alpha = TRY(read_alpha(member.value(), fmt::format("alpha_pattern.{}", pattern)));
    out.emplace_back(std::move(pattern), alpha);
  }
  return out;
}

}  // namespace

Result<PeftConfig> parse_peft_config(const json::Value& document) {
  const json::Object* object = document.if_object();
  if (!object) return invalid("should be an object");
  const std::string_view type = json::find_string(document, "peft_type");
  if (type != "LORA") {
    return invalid(fmt::format("peft_type is {}, only LORA adapters can be served",
                               type.empty() ? "missing" : type));
  }
  for (const Refusal& one : kRefusals)
    if (!is_unset(object->if_contains(one.member)))
      return invalid(fmt::format("{} is set: {}", one.member, one.reason));
  if (const std::string_view bias = json::find_string(document, "bias");
      !bias.empty() && bias != "none")
    return invalid(
        fmt::format("bias is {}: trained biases cannot be served; train with bias none", bias));
  PeftConfig config;
  config.base_model = json::find_string(document, "base_model_name_or_path");
  const json::Value* rslora = object->if_contains("use_rslora");
  config.rslora = !is_unset(rslora);
  if (rslora && !rslora->is_null() && !rslora->is_bool())
    return invalid("use_rslora should be true or false");
  const json::Value* alpha = object->if_contains("lora_alpha");
  if (!alpha) return invalid("lora_alpha is missing");
  config.alpha = TRY(read_alpha(*alpha, "lora_alpha"));
  if (const json::Value* pattern = object->if_contains("alpha_pattern"); !is_unset(pattern))
    config.alpha_pattern = TRY(read_alpha_pattern(*pattern));
  return config;
}

}  // namespace model

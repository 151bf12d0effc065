#include "model/peft/peft_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <regex>

#include "base/file.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

constexpr std::string_view kConfigFile = "adapter_config.json";
constexpr std::string_view kWeightsFile = "adapter_model.safetensors";
constexpr std::string_view kOldWeightsFile = "adapter_model.bin";
constexpr std::size_t kMaxConfigBytes = 4 << 20;
constexpr std::size_t kMaxPatternBytes = 256;
constexpr std::size_t kMaxNameBytes = 256;
constexpr std::string_view kPrefix = "base_model.model.";

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

struct TensorName {
  std::string_view module;
  char side = 'A';
};

/// `base_model.model.<module>.lora_A.weight`, or with the adapter's name before `.weight`.
Result<TensorName> split_name(std::string_view name) {
  std::string_view rest = name;
  if (!rest.starts_with(kPrefix) || name.size() > kMaxNameBytes)
    return invalid(
        fmt::format("tensor {} is none of a LoRA adapter", name.substr(0, kMaxNameBytes)));
  rest.remove_prefix(kPrefix.size());
  if (rest.find(".lora_magnitude_vector") != std::string_view::npos)
    return invalid(fmt::format("tensor {} is of a DoRA adapter; merge it into the model", name));
  if (rest.find(".lora_embedding_") != std::string_view::npos)
    return invalid(fmt::format("tensor {} adapts the embedding; train linear layers only", name));
  for (const char side : {'A', 'B'}) {
    const std::string marker = fmt::format(".lora_{}.", side);
    const auto at = rest.rfind(marker);
    if (at == std::string_view::npos || !rest.ends_with("weight")) continue;
    return TensorName{rest.substr(0, at), side};
  }
  return invalid(
      fmt::format("tensor {} replaces a part of the model, which cannot be served; merge "
                  "the adapter into the model",
                  name));
}

/// Chooses each module's alpha.
class Alphas {
 public:
  static Result<Alphas> create(const PeftConfig& config) {
    Alphas alphas(config);
    for (const auto& [pattern, alpha] : config.alpha_pattern) {
      if (pattern.size() > kMaxPatternBytes)
        return invalid(
            fmt::format("alpha_pattern: a pattern of {} bytes is too long", pattern.size()));
      try {
        // PEFT anchors patterns that begin with ^ at the start, all others at a dot.
        alphas.patterns_.emplace_back(
            std::regex(pattern.starts_with('^') ? pattern : fmt::format("(.*\\.)?({})", pattern)),
            alpha);
      } catch (const std::regex_error& failure) {
        return invalid(fmt::format("alpha_pattern: `{}` is no regular expression: {}", pattern,
                                   failure.what()));
      }
    }
    return alphas;
  }
  Result<double> of(const std::string& module) const {
    try {
      for (const auto& [pattern, alpha] : patterns_)
        if (std::regex_match(module, pattern)) return alpha;
    } catch (const std::regex_error& failure) {
      return invalid(fmt::format("alpha_pattern is too complex: {}", failure.what()));
    }
    return fallback_;
  }

 private:
  explicit Alphas(const PeftConfig& config) : fallback_(config.alpha) {}
  double fallback_;
  std::vector<std::pair<std::regex, double>> patterns_;
};

base::Status check_shapes(const LoraModule& module) {
  const auto& a = module.a.info;
  const auto& b = module.b.info;
  if (a.shape.size() != 2 || b.shape.size() != 2 || a.elements() == 0 || b.elements() == 0 ||
      a.shape[0] != b.shape[1]) {
    return invalid(
        fmt::format("{}: lora_A is {} and lora_B {}, which are no pair of [rank, inputs] "
                    "and [outputs, rank]",
                    module.name, a.description(), b.description()));
  }
  return {};
}

}  // namespace

Result<PeftAdapter> PeftAdapter::open(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / kConfigFile;
  const std::filesystem::path weights_path = folder / kWeightsFile;
  const auto text = base::read_file(config_path, kMaxConfigBytes);
  if (!text && text.error().code() == ErrorCode::NotFound)
    return Error(ErrorCode::NotFound, fmt::format("{} holds no {}; an adapter is a folder as PEFT "
                                                  "saves it",
                                                  folder.string(), kConfigFile));
  if (!text) return text.error();
  const auto document = json::parse(*text);
  if (!document) return Error(document.error()).context(kConfigFile);
  PeftConfig config = TRY(base::with_context(parse_peft_config(*document), kConfigFile));
  std::error_code ignored;
  if (!std::filesystem::exists(weights_path, ignored)) {
    const bool old = std::filesystem::exists(folder / kOldWeightsFile, ignored);
    return Error(ErrorCode::NotFound,
                 fmt::format("{} holds no {}{}", folder.string(), kWeightsFile,
                             old ? fmt::format("; {} is not read, save the adapter as safetensors",
                                               kOldWeightsFile)
                                 : ""));
  }
  Safetensors tensors = TRY(Safetensors::open(weights_path));
  PeftAdapter adapter(std::move(config), std::move(tensors));
  TRY(base::with_context(adapter.find_modules(), kWeightsFile));
  return adapter;
}

base::Status PeftAdapter::find_modules() {
  struct Pair {
    const TensorView* a = nullptr;
    const TensorView* b = nullptr;
  };
  std::map<std::string, Pair> pairs;
  for (const TensorView& tensor : tensors_.tensors()) {
    const TensorName name = TRY(split_name(tensor.info.name));
    Pair& pair = pairs[std::string(name.module)];
    const TensorView*& place = name.side == 'A' ? pair.a : pair.b;
    if (place)
      return invalid(fmt::format("{} and {} are the same part of {}", place->info.name,
                                 tensor.info.name, name.module));
    place = &tensor;
  }
  if (pairs.empty()) return invalid("holds no tensors");
  const Alphas alphas = TRY(Alphas::create(config_));
  for (const auto& [name, pair] : pairs) {
    if (!pair.a || !pair.b)
      return invalid(fmt::format("{} has lora_{} only", name, pair.a ? 'A' : 'B'));
    LoraModule module{.name = name, .a = *pair.a, .b = *pair.b};
    TRY(check_shapes(module));
    const auto rank = static_cast<double>(module.rank());
    const double alpha = TRY(alphas.of(name));
    module.scale = alpha / (config_.rslora ? std::sqrt(rank) : rank);
    modules_.push_back(std::move(module));
  }
  return {};
}

std::uint64_t PeftAdapter::largest_rank() const {
  std::uint64_t largest = 0;
  for (const LoraModule& module : modules_) largest = std::max(largest, module.rank());
  return largest;
}

}  // namespace model

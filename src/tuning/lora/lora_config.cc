#include "tuning/lora/lora_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>

namespace tuning {
namespace {

constexpr std::size_t kMaxRank = 1024;
constexpr std::size_t kMaxPatternBytes = 1000;

base::Error invalid(std::string message) { return {base::ErrorCode::Invalid, std::move(message)}; }

base::Result<std::regex> compile(const std::string& pattern, std::string_view field) {
  if (pattern.size() > kMaxPatternBytes) {
    return invalid(fmt::format("{}: a pattern of {} bytes", field, pattern.size()));
  }
  try {
    return std::regex(pattern, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error&) {
    return invalid(fmt::format("{}: \"{}\" is no regular expression", field, pattern));
  }
}

std::vector<std::string> default_targets(Family family) {
  if (family == Family::Phi3) return {"qkv_proj"};
  return {"q_proj", "v_proj"};
}

bool names(const std::string& target, const std::string& module) {
  return module == target || module.ends_with("." + target);
}

/// Decides for one module after another; made once per configuration.
class Chooser {
 public:
  static base::Result<Chooser> create(const LoraConfig& config, Family family) {
    Chooser chooser;
    chooser.targets_ =
        config.target_modules.empty() ? default_targets(family) : config.target_modules;
    chooser.all_ = std::find(chooser.targets_.begin(), chooser.targets_.end(), "all-linear") !=
                   chooser.targets_.end();
    if (config.target_is_pattern && !chooser.all_) {
      if (chooser.targets_.size() != 1) return invalid("target_modules: one pattern is expected");
      chooser.pattern_ = TRY(compile(chooser.targets_.front(), "target_modules"));
      chooser.is_pattern_ = true;
    }
    return chooser;
  }

  bool takes(const std::string& module) const {
    if (all_) return true;
    if (is_pattern_) return std::regex_match(module, pattern_);
    return std::any_of(targets_.begin(), targets_.end(),
                       [&](const std::string& target) { return names(target, module); });
  }

  std::vector<std::string> wanted() const { return targets_; }

 private:
  std::vector<std::string> targets_;
  std::regex pattern_;
  bool all_ = false;
  bool is_pattern_ = false;
};

/// The value of the first pattern that matches the end of `module` at a dot, or `otherwise`.
template <class T>
base::Result<T> matched(const std::map<std::string, T>& patterns, const std::string& module,
                        T otherwise, std::string_view field) {
  for (const auto& [pattern, value] : patterns) {
    const auto expression = TRY(compile(fmt::format("(.*\\.)?({})", pattern), field));
    if (std::regex_match(module, expression)) return value;
  }
  return otherwise;
}

base::Status check_values(const LoraConfig& config, const Architecture& architecture) {
  if (config.rank == 0 || config.rank > kMaxRank) {
    return invalid(fmt::format("r: {} is not in 1..{}", config.rank, kMaxRank));
  }
  if (!(config.alpha > 0) || !std::isfinite(config.alpha)) {
    return invalid("lora_alpha: must be a positive number");
  }
  if (!(config.dropout >= 0 && config.dropout < 1)) {
    return invalid("lora_dropout: must be in [0, 1)");
  }
  for (const std::size_t layer : config.layers_to_transform) {
    if (layer >= architecture.layers) {
      return invalid(fmt::format("layers_to_transform: {} where the model has {} layers", layer,
                                 architecture.layers));
    }
  }
  return {};
}

base::Error no_such_module(const std::vector<std::string>& wanted,
                           const std::vector<LinearShape>& linears) {
  std::vector<std::string_view> known;
  for (const LinearShape& linear : linears) {
    known.push_back(linear.name.substr(linear.name.rfind('.') + 1));
  }
  return invalid(fmt::format("target_modules: {} names no linear of this model; it has {}",
                             fmt::join(wanted, ", "), fmt::join(known, ", ")));
}

}  // namespace

base::Result<std::vector<LoraTarget>> resolve_targets(const LoraConfig& config,
                                                      const Architecture& architecture) {
  TRY(check_values(config, architecture));
  const Chooser chooser = TRY(Chooser::create(config, architecture.family));
  const std::set<std::size_t> layers(config.layers_to_transform.begin(),
                                     config.layers_to_transform.end());
  const auto linears = block_linears(architecture);
  std::vector<LoraTarget> result;
  for (std::size_t layer = 0; layer < architecture.layers; ++layer) {
    if (!layers.empty() && !layers.contains(layer)) continue;
    for (std::size_t i = 0; i < linears.size(); ++i) {
      LoraTarget target{.layer = layer,
                        .linear = i,
                        .name = linear_name(layer, linears[i].name),
                        .inputs = linears[i].inputs,
                        .outputs = linears[i].outputs};
      if (!chooser.takes(target.name)) continue;
      target.rank = TRY(matched(config.rank_pattern, target.name, config.rank, "rank_pattern"));
      const double alpha =
          TRY(matched(config.alpha_pattern, target.name, config.alpha, "alpha_pattern"));
      if (target.rank == 0 || target.rank > kMaxRank) {
        return invalid(fmt::format("rank_pattern: {} is not in 1..{}", target.rank, kMaxRank));
      }
      const auto rank = static_cast<double>(target.rank);
      target.scale = alpha / (config.rslora ? std::sqrt(rank) : rank);
      result.push_back(std::move(target));
    }
  }
  if (result.empty()) return no_such_module(chooser.wanted(), linears);
  return result;
}

std::vector<std::string> unmatched_targets(const LoraConfig& config,
                                           const Architecture& architecture) {
  std::vector<std::string> result;
  if (config.target_is_pattern) return result;
  const auto linears = block_linears(architecture);
  for (const std::string& target : config.target_modules) {
    if (target == "all-linear") continue;
    bool found = false;
    for (std::size_t layer = 0; layer < architecture.layers && !found; ++layer) {
      for (const LinearShape& linear : linears) {
        found = found || names(target, linear_name(layer, linear.name));
      }
    }
    if (!found) result.push_back(target);
  }
  return result;
}

std::size_t parameter_count(const std::vector<LoraTarget>& targets) {
  std::size_t count = 0;
  for (const LoraTarget& target : targets) {
    count += target.rank * (target.inputs + target.outputs);
  }
  return count;
}

}  // namespace tuning

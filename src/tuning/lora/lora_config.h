#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "tuning/engine/architecture.h"

namespace tuning {

/// Which linears get a low-rank pair and how; members as in PEFT's LoraConfig.
struct LoraConfig {
  std::size_t rank = 8;
  double alpha = 8;
  bool rslora = false;  ///< Scale by alpha / sqrt(rank) instead of alpha / rank.
  double dropout = 0;   ///< Of the pair's input, in [0, 1).
  /// Names: `q_proj`, `self_attn.q_proj`, a full name, `all-linear`, or one regular expression that
  /// matches full names whole when `target_is_pattern`. Empty: PEFT's choice for the family (q_proj
  /// and v_proj; qkv_proj for phi-3).
  std::vector<std::string> target_modules;
  bool target_is_pattern = false;
  /// Only these blocks; empty: all.
  std::vector<std::size_t> layers_to_transform;
  /// Exceptions by module name (or a regular expression of its end, as PEFT matches them).
  std::map<std::string, std::size_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;
};

/// One chosen linear.
struct LoraTarget {
  std::size_t layer = 0;
  std::size_t linear = 0;  ///< Into block_linears().
  std::string name;        ///< `model.layers.0.self_attn.q_proj`
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  std::size_t rank = 0;
  double scale = 0;  ///< alpha / rank, or alpha / sqrt(rank)
};

/// The chosen linears, block by block. Errors: Invalid for values out of range and for a target
/// that names no linear of the model; the message lists the names there are.
base::Result<std::vector<LoraTarget>> resolve_targets(const LoraConfig& config,
                                                      const Architecture& architecture);

/// The entries of `target_modules` that name no linear of the model while others do: PEFT passes
/// over them, a user wants to know.
std::vector<std::string> unmatched_targets(const LoraConfig& config,
                                           const Architecture& architecture);

/// Trainable numbers of `targets`.
std::size_t parameter_count(const std::vector<LoraTarget>& targets);

}  // namespace tuning

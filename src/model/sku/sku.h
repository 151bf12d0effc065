#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace model {

/// A cloud's instance type and the GPUs in it.
struct Sku {
  std::string_view name;
  std::int64_t gpu_count = 0;
  std::int64_t gpu_memory_gib = 0;  ///< Of the whole machine.
  std::string_view gpu_model;
  double compute_capability = 0;  ///< CUDA; 0 for other makers.

  std::int64_t gpu_memory_bytes() const { return gpu_memory_gib << 30; }
};

/// Known instance types of `cloud` (azure, aws, arc); `local` knows those of all clouds.
std::span<const Sku> skus(std::string_view cloud);

/// The instance type of that name, without regard to case. For azure and local, names outside the
/// table that begin with Standard_N or Standard_D are unknown, not wrong: see `is_plausible_sku`.
std::optional<Sku> find_sku(std::string_view cloud, std::string_view name);

/// Whether admission lets an unknown name pass: azure (and local) accept `Standard_N...` and
/// `Standard_D...`, since the cloud adds types faster than any table.
bool is_plausible_sku(std::string_view cloud, std::string_view name);

}  // namespace model

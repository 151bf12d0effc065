#include "model/estimator/estimator.h"

#include <fmt/format.h>

#include <cmath>

namespace model {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kMemoryUtilization = 0.84;
constexpr double kWeightExpansion = 1.02;
constexpr double kBaseReserveGiB = 2.3;
constexpr double kWeightOverhead = 1.05;

}  // namespace

base::Result<std::int64_t> estimate_nodes(const EstimateInputs& in) {
  if (in.weights_gib <= 0 || in.gpus_per_node <= 0 || in.gpu_memory_gib <= 0) {
    return base::Error(base::ErrorCode::Invalid,
                       "estimating needs the size of the weights and the memory of the GPUs");
  }
  const double per_gpu = std::floor(static_cast<double>(in.gpu_memory_gib) * kGiB /
                                    static_cast<double>(in.gpus_per_node));
  const double usable = per_gpu * kMemoryUtilization;
  const double cache = static_cast<double>(in.context_tokens) *
                       static_cast<double>(in.kv_bytes_per_token) /
                       static_cast<double>(in.gpus_per_node);
  const double reserve = kBaseReserveGiB * kGiB + cache;
  if (usable <= reserve) {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("a GPU with {:.1f} GiB is too small: {:.1f} GiB are needed beside the weights",
                    per_gpu / kGiB, reserve / kGiB));
  }
  const double room = (usable - reserve) / kWeightOverhead;
  const auto gpus = static_cast<std::int64_t>(in.weights_gib * kGiB * kWeightExpansion / room) + 1;
  return (gpus + in.gpus_per_node - 1) / in.gpus_per_node;
}

}  // namespace model

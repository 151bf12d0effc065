#pragma once

#include <cstdint>

#include "base/result.h"

namespace model {

/// What a runtime that spreads one model over nodes (vLLM) needs to know.
struct EstimateInputs {
  double weights_gib = 0;
  std::int64_t kv_bytes_per_token = 0;
  std::int64_t context_tokens = 2048;
  std::int64_t gpus_per_node = 1;
  std::int64_t gpu_memory_gib = 0;  ///< Of the whole node.
};

/// Nodes needed: GPU memory x 0.84 less 2.3 GiB and the KV cache, divided by 1.05, is the room for
/// weights x 1.02. Source: upstream's estimator v0.12; checked against its published table in
/// model_test.cc. Errors: Invalid when not even the reserve fits a GPU, or an input is not
/// positive.
base::Result<std::int64_t> estimate_nodes(const EstimateInputs& inputs);

}  // namespace model

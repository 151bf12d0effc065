#pragma once

#include <string>
#include <vector>

#include "tuning/engine/architecture.h"
#include "tuning/engine/base_model.h"
#include "tuning/quant/frozen_matrix.h"

namespace tuning {

struct BlockWeights {
  std::vector<float> attention_norm;
  std::vector<float> mlp_norm;
  std::vector<FrozenMatrix> linears;       ///< In the order of block_linears().
  std::vector<std::vector<float>> biases;  ///< The same; empty where there is none.
};

/// All that a model is made of.
struct ModelWeights {
  Architecture architecture;
  ModelOptions options;
  std::string origin;
  FrozenMatrix embedding;
  FrozenMatrix head;  ///< Empty when the embedding serves.
  std::vector<float> final_norm;
  std::vector<BlockWeights> blocks;

  const FrozenMatrix& head_matrix() const { return architecture.tied_head ? embedding : head; }
  std::uint64_t bytes() const;
};

}  // namespace tuning

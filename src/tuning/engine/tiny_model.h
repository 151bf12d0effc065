// A tiny model of random numbers for tests.
#pragma once

#include <cmath>
#include <memory>
#include <random>

#include "tuning/engine/model_weights.h"
#include "tuning/engine/types.h"

namespace tuning {

inline Architecture tiny_architecture(Family family) {
  Architecture shape;
  shape.family = family;
  shape.vocabulary_size = 50;
  shape.hidden_size = 24;
  shape.intermediate_size = 40;
  shape.layers = 3;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dimension = 8;
  shape.context_tokens = 128;
  shape.tied_head = family == Family::Qwen2;
  shape.attention_bias = family == Family::Qwen2;
  shape.fused = family == Family::Phi3;
  shape.rope.rotated_dimensions = 8;
  return shape;
}

inline std::unique_ptr<ModelWeights> tiny_weights(const Architecture& shape,
                                                  const ModelOptions& options) {
  std::mt19937 generator(17);
  const auto numbers = [&](std::size_t count, float size, float mean = 0) {
    std::normal_distribution<float> normal(mean, size);
    std::vector<float> result(count);
    for (float& value : result) value = normal(generator);
    return result;
  };
  auto weights = std::make_unique<ModelWeights>();
  weights->architecture = shape;
  weights->options = options;
  const auto dense = [&] {
    return FrozenMatrix::from_values(numbers(shape.vocabulary_size * shape.hidden_size, 0.5f),
                                     shape.vocabulary_size, shape.hidden_size,
                                     {options.dense_format, false});
  };
  weights->embedding = dense();
  if (!shape.tied_head) weights->head = dense();
  weights->final_norm = numbers(shape.hidden_size, 0.1f, 1);
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    BlockWeights block;
    block.attention_norm = numbers(shape.hidden_size, 0.1f, 1);
    block.mlp_norm = numbers(shape.hidden_size, 0.1f, 1);
    const auto linears = block_linears(shape);
    for (std::size_t i = 0; i < linears.size(); ++i) {
      const auto& linear = linears[i];
      const float size = 1 / std::sqrt(static_cast<float>(linear.inputs));
      block.linears.push_back(
          FrozenMatrix::from_values(numbers(linear.inputs * linear.outputs, size), linear.outputs,
                                    linear.inputs, {options.linear_format, options.double_quant}));
      block.biases.push_back(shape.attention_bias && i < 3 ? numbers(linear.outputs, 0.2f)
                                                           : std::vector<float>());
    }
    weights->blocks.push_back(std::move(block));
  }
  return weights;
}

inline Batch tiny_batch(std::initializer_list<std::size_t> lengths) {
  std::mt19937 generator(5);
  std::uniform_int_distribution<TokenId> token(0, 49);
  Batch batch;
  for (const std::size_t length : lengths) {
    Sequence sequence;
    for (std::size_t i = 0; i < length; ++i) {
      sequence.tokens.push_back(token(generator));
      sequence.labels.push_back(i % 4 == 1 ? kIgnoredLabel : sequence.tokens.back());
    }
    batch.push_back(std::move(sequence));
  }
  return batch;
}

}  // namespace tuning

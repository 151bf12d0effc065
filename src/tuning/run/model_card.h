#pragma once

#include <cstdint>
#include <string>

#include "tuning/config/training_config.h"
#include "tuning/run/training_run.h"

namespace tuning {

/// What the card of an adapter tells besides its settings.
struct CardFacts {
  std::string base_model;
  std::string base_origin;  ///< `gguf, dequantised from Q4_1`
  std::size_t parameters = 0;
  std::size_t rows = 0;
  std::size_t cut_rows = 0;
  std::string data;     ///< Names of the files.
  std::string program;  ///< `kaito-tuner 0.1.0`
};

/// The adapter's README.md: what it is made of and from, and how to use it. Pure.
std::string model_card(const TrainingConfig& config, const CardFacts& facts,
                       const TrainingRun::Summary& summary);

}  // namespace tuning

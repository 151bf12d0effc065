#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace tuning {

/// What the program is doing, in the order in which it does it.
enum class Phase { Fetching, Preparing, Loading, Training, Writing, Completed, Failed };
/// `training`
std::string_view name_of(Phase phase);

/// Where a run stands, for people, for the log, for metrics and for the operator. A value.
struct Progress {
  Phase phase = Phase::Preparing;
  std::size_t step = 0;
  std::size_t total_steps = 0;
  double epoch = 0;
  double loss = 0;           ///< Of the last step.
  double smoothed_loss = 0;  ///< Exponential mean; what a person wants to see.
  std::optional<double> evaluation_loss;
  double gradient_norm = 0;
  double learning_rate = 0;
  std::size_t tokens = 0;  ///< Of this run of the program.
  double tokens_per_second = 0;
  double seconds = 0;  ///< Of this run of the program.
  double seconds_left = 0;
  std::size_t resumed_from = 0;  ///< The step of the checkpoint it went on from.
  std::string message;           ///< Why it failed.
};

/// One JSON object in a line, without line end.
std::string to_json_line(const Progress& progress);
/// `step 120/300, loss 1.31, 182 tokens/s, 40 s left`
std::string to_text(const Progress& progress);

}  // namespace tuning

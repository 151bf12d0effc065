#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"
#include "tuning/config/training_config.h"
#include "tuning/data/encode.h"
#include "tuning/engine/trainer.h"
#include "tuning/run/divergence.h"
#include "tuning/run/progress.h"
#include "tuning/run/run_plan.h"
#include "tuning/run/training_log.h"

namespace tuning {

inline constexpr const char* kTrainingLogFile = "training_log.jsonl";
/// Followed by the run's fingerprint: a checkpoint of other settings is simply not found.
inline constexpr const char* kResumePrefix = ".resume-";
inline constexpr const char* kCompletedFile = "fine_tuning_completed.txt";

/// The loop around the trainer: batches in their order, the log, evaluation, checkpoints, and going
/// on from one. A run that was killed at any moment and started again gives the same adapter bit
/// for bit: the order of rows follows from the seed and the step, the rest is in the checkpoint.
class TrainingRun {
 public:
  struct Deps {
    Trainer& trainer;
    const base::Clock& clock;
    std::function<void(const Progress&)> on_progress;
  };
  struct Settings {
    TrainingSettings training;
    bool shuffle = true;
    std::size_t vocabulary_size = 0;
    std::filesystem::path output;  ///< The folder is there.
    /// Hexadecimal digits that stand for this very run: settings, model and rows.
    std::string fingerprint;
    std::chrono::milliseconds checkpoint_interval{60'000};
    AdapterMetadata metadata;
  };
  struct Summary {
    std::size_t steps = 0;
    std::size_t tokens = 0;
    double first_loss = 0;
    double last_loss = 0;  ///< Smoothed.
    std::optional<double> evaluation_loss;
    double seconds = 0;
  };

  /// `rows` are trained on, `evaluation` only looked at; both outlive the run.
  TrainingRun(Deps deps, Settings settings, const std::vector<Sequence>& rows,
              const std::vector<Sequence>& evaluation);

  const StepPlan& plan() const { return plan_; }

  /// Trains to the end, from the last checkpoint of this run if there is one. Errors: Cancelled
  /// when stopped, with a checkpoint on disk; Internal when the loss is not finite or diverges;
  /// what the trainer and the disk report.
  base::Result<Summary> run(const base::Context& ctx);
  /// Removes what only an unfinished run needs.
  void remove_checkpoints();

 private:
  base::Status resume(const base::Context& ctx);
  base::Status restore(std::string_view state);
  std::string state() const;
  std::vector<Batch> micro_batches(std::size_t step);
  base::Status take(const StepStats& stats);
  base::Status after_step(const base::Context& ctx);
  base::Status evaluate(const base::Context& ctx);
  base::Status save_folder(const base::Context& ctx);
  void save_resume_point(const base::Context& ctx);
  std::filesystem::path resume_file() const;
  base::Error explain(base::Error error) const;

  Deps deps_;
  Settings settings_;
  const std::vector<Sequence>& rows_;
  const std::vector<Sequence>& evaluation_;
  BatchOptions batch_options_;
  StepPlan plan_;
  DivergenceGuard guard_;
  std::optional<TrainingLog> log_;
  std::vector<std::size_t> lengths_;
  std::vector<std::vector<std::size_t>> batches_;  ///< Of epoch batches_epoch_.
  std::optional<std::size_t> batches_epoch_;
  Progress progress_;
  double first_loss_ = 0;
  base::SteadyTime started_{};
  base::SteadyTime saved_{};
  double steps_seconds_ = 0;  ///< Of the steps of this run of the program.
  std::size_t steps_here_ = 0;
};

/// How the rows of a set become batches and steps, and the most tokens of a batch.
BatchOptions batch_options_of(const TrainingSettings& training, bool shuffle);
StepPlan step_plan_of(const std::vector<Sequence>& rows, const TrainingSettings& training,
                      bool shuffle);
std::size_t largest_batch_tokens(const std::vector<Sequence>& rows, const BatchOptions& options);

}  // namespace tuning

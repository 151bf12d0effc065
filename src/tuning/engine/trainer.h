#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "tuning/engine/base_model.h"
#include "tuning/engine/trainer_options.h"
#include "tuning/engine/types.h"
#include "tuning/lora/lora_config.h"
#include "tuning/optimizer/optimizer_config.h"

namespace tuning {

/// What one optimizer step did.
struct StepStats {
  std::size_t step = 0;      ///< Steps done so far, this one included.
  double loss = 0;           ///< Mean over all labels of the step, before the update.
  double gradient_norm = 0;  ///< Before clipping.
  double learning_rate = 0;
  std::size_t tokens = 0;
  std::size_t loss_tokens = 0;  ///< Positions with a label.
  double seconds = 0;
};

struct EvaluationStats {
  double loss = 0;
  std::size_t loss_tokens = 0;
};

/// What adapter_config.json and the adapter's metadata say besides the configuration.
struct AdapterMetadata {
  std::string base_model_name;  ///< `base_model_name_or_path`
};

/// A frozen base with trainable low-rank pairs, its optimizer and its place in the schedule. One
/// thread at a time; it computes on threads of its own. With equal inputs, options and kernels two
/// trainers give the same numbers bit for bit, whatever the number of threads.
class Trainer {
 public:
  /// `model` must outlive the trainer. Errors: Invalid (targets, options; kernels that the
  /// processor lacks).
  static base::Result<Trainer> create(const BaseModel& model, const LoraConfig& lora,
                                      const OptimizerConfig& optimizer,
                                      const TrainerOptions& options);
  ~Trainer();
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;

  /// One optimizer step over the labels of all `micro_batches` (gradient accumulation when there
  /// are several). Errors: Invalid for tokens outside the vocabulary, too long sequences or no
  /// label at all, naming micro-batch and sequence; Cancelled or Timeout, the trainer unchanged;
  /// Internal when loss or gradient are not finite, the trainer unchanged.
  base::Result<StepStats> step(const base::Context& ctx, std::span<const Batch> micro_batches);
  /// The loss of `batches` without dropout; changes nothing.
  base::Result<EvaluationStats> evaluate(const base::Context& ctx, std::span<const Batch> batches);
  /// Logits after the last token of `tokens`, without dropout.
  base::Result<std::vector<float>> logits(const base::Context& ctx,
                                          std::span<const TokenId> tokens);

  std::size_t steps_done() const;
  const std::vector<LoraTarget>& targets() const;
  std::size_t trainable_parameters() const;
  /// The kernels in use, never Auto.
  KernelSet kernels() const;
  std::size_t threads() const;

  /// Writes everything a later run needs to go on bit for bit, with `caller_state` (where the
  /// caller is in its data; any text) into one file that appears whole or not at all.
  /// Errors: system errors.
  base::Status save_checkpoint(const std::filesystem::path& path,
                               std::string_view caller_state) const;
  /// Takes up where `path` was saved; gives the caller's state back. Errors: NotFound; Invalid when
  /// the file is damaged or of other targets or another model, the trainer unchanged.
  base::Result<std::string> load_checkpoint(const std::filesystem::path& path);

  /// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT does; the folder is made.
  base::Status write_adapter(const std::filesystem::path& folder,
                             const AdapterMetadata& metadata) const;
  /// Starts from an adapter of the same shape instead of from nothing. Errors: Invalid naming the
  /// tensor that is missing or of another shape.
  base::Status load_adapter(const std::filesystem::path& folder);

  /// The trainable numbers: A then B of each target, in the order of `targets`.
  std::span<const float> parameters() const;
  /// For tests that compare gradients with a reference: of the last micro-batches, before clipping.
  std::span<const float> gradients() const;

 private:
  struct State;
  explicit Trainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tuning

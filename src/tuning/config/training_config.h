#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/codec.h"

/// What `training_config.yaml` says, as plain values. Key names and defaults are upstream's (the
/// classes it fills are named in brackets); a member's comment says what differs.
namespace tuning {

enum class Precision { BFloat16, Float32 };
/// How the frozen base weights are kept in memory.
enum class BaseFormat { Plain, Nf4, Fp4, Int8 };
/// `constant_with_warmup` is Constant with warm-up steps, `constant` is without.
enum class LearningRateSchedule { Constant, Linear, Cosine };
/// When something happens during training: never, at the end of each epoch, or every N steps.
enum class Rhythm { No, Epoch, Steps };
/// How several short rows share one sequence.
enum class Packing { None, BestFit, Wrapped };

/// [ModelConfig]
struct ModelSettings {
  std::string path;  ///< `pretrained_model_name_or_path`; empty: where the program is told to look.
  std::optional<Precision> precision;  ///< `torch_dtype`; nothing: as the files have it.
  std::string chat_template;           ///< A file, or the template itself; empty: the model's own.
};

/// [BitsAndBytesConfig]
struct QuantizationSettings {
  BaseFormat format = BaseFormat::Plain;
  bool double_quantization = false;
  Precision compute = Precision::Float32;
};

/// [LoraConfig of PEFT]
struct LoraSettings {
  std::int64_t rank = 8;
  double alpha = 8;
  double dropout = 0;
  bool rank_stabilized = false;             ///< `use_rslora`: scale alpha / sqrt(rank).
  std::vector<std::string> target_modules;  ///< Names or suffixes; empty: the model's default.
  std::string target_pattern;               ///< `target_modules` as one text: a regular expression.
  bool all_linear = false;                  ///< `target_modules: all-linear`.
  std::vector<std::int64_t> layers;         ///< `layers_to_transform`; empty: all.
  std::map<std::string, std::int64_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;
};

/// [SFTConfig of TRL, on TrainingArguments of transformers]
struct TrainingSettings {
  std::string output_dir;  ///< Empty: where the program is told to write.
  std::int64_t batch_size =
      1;  ///< `per_device_train_batch_size`; TRL's own default is 8, the templates say 1.
  std::int64_t accumulation_steps = 1;
  double epochs = 3;
  std::int64_t max_steps = -1;  ///< Positive: overrides `epochs`.
  double learning_rate = 2e-5;
  LearningRateSchedule schedule = LearningRateSchedule::Linear;
  std::int64_t warmup_steps = 0;
  double warmup_ratio = 0;  ///< Used when `warmup_steps` is 0.
  double weight_decay = 0;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  double max_gradient_norm = 1;  ///< 0: no clipping.
  std::uint64_t seed = 42;
  std::optional<std::uint64_t> data_seed;  ///< Order of the rows; nothing: `seed`.
  std::int64_t logging_steps = 10;
  Rhythm save = Rhythm::No;
  std::int64_t save_steps = 500;
  std::int64_t save_total_limit = 2;  ///< Checkpoints kept.
  Rhythm evaluation = Rhythm::No;
  std::int64_t evaluation_steps = 500;
  bool gradient_checkpointing = true;  ///< Of use where memory is short; the planner decides.
  std::int64_t max_length = 1024;      ///< Tokens of one row; longer ones are cut at their end.
  Packing packing = Packing::None;
  std::string text_column = "text";  ///< `dataset_text_field`.
  bool completion_only_loss =
      false;                         ///< Prompt tokens of prompt + completion rows are not learned.
  bool assistant_only_loss = false;  ///< Only the assistant's turns of `messages` rows are learned.
};

/// [DatasetConfig]
struct DatasetSettings {
  std::string path;       ///< Below the data folder; empty: the first data file there.
  std::string extension;  ///< csv, json, jsonl, parquet; empty: by the file's name.
  bool shuffle = true;
  std::uint64_t shuffle_seed = 42;
  std::string context_column;  ///< With it, rows are `context_column` + `response_column`.
  std::string response_column = "text";
  std::string messages_column;
  double train_share = 0.8;  ///< `train_test_split`; 1: nothing is kept for evaluation.
};

struct TrainingConfig {
  ModelSettings model;
  QuantizationSettings quantization;
  LoraSettings lora;
  TrainingSettings training;
  DatasetSettings dataset;
};

struct ParsedConfig {
  TrainingConfig config;
  /// Every mistake: the key's path (`training_config.LoraConfig.rr`) and what to do about it.
  std::vector<json::FieldError> errors;
  /// Settings that are understood but do less than upstream's, for the log.
  std::vector<std::string> notes;
};

/// Checks and decodes the text of a `training_config.yaml`. Pure.
ParsedConfig parse_training_config(std::string_view yaml);

/// The same from a file. Errors: NotFound, Invalid naming every mistake in one message.
base::Result<ParsedConfig> read_training_config(const std::filesystem::path& file);

}  // namespace tuning

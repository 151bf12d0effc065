#include "apps/tuner/tune.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <system_error>

#include "apps/server/memory.h"
#include "base/file.h"
#include "base/sha256.h"
#include "json/codec.h"
#include "model/text/chat_template.h"
#include "model/text/hugging_face_vocabulary.h"
#include "model/text/vocabulary.h"
#include "tuning/config/templates.h"
#include "tuning/config/training_config.h"
#include "tuning/data/dataset.h"
#include "tuning/data/encode.h"
#include "tuning/data/fetch.h"
#include "tuning/data/find_data.h"
#include "tuning/engine/base_model.h"
#include "tuning/engine/memory_plan.h"
#include "tuning/engine/trainer.h"
#include "tuning/run/model_card.h"
#include "tuning/run/run_plan.h"
#include "tuning/run/training_run.h"

namespace tuner {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::ErrorCode;
using base::Result;
using tuning::Phase;

constexpr std::size_t kMaxTemplateBytes = 1 << 20;
constexpr std::size_t kMaxCaBytes = 16 << 20;
constexpr const char* kDefaultModel = "/workspace/weights";
constexpr const char* kDefaultOutput = "/mnt/output";
constexpr const char* kDuckDbLibrary = "libduckdb.so";
constexpr const char* kCompletedPrefix = ".completed-";
constexpr std::size_t kFingerprintDigits = 16;
/// Of the memory that is free; the rest is for the data, the page cache and what was forgotten.
constexpr double kMemoryShare = 0.9;

/// One run, stage by stage. `code` says what kind of failure the present stage has.
class Tuner {
 public:
  Tuner(const Options& options, const base::Clock& clock, Status& status)
      : options_(options), clock_(clock), status_(status) {}

  Result<void> run(const base::Context& ctx);
  ExitCode code() const { return code_; }

 private:
  Result<void> fetch(const base::Context& ctx);
  Result<std::string> config_text(const base::Context& ctx) const;
  bool is_qlora() const;
  Result<void> read_config(const base::Context& ctx);
  Result<void> read_model_shape(const base::Context& ctx);
  Result<void> read_text(const base::Context& ctx);
  Result<std::string> template_source() const;
  Result<void> read_data(const base::Context& ctx);
  Result<void> plan(const base::Context& ctx);
  std::string fingerprint() const;
  bool already_completed(const base::Context& ctx) const;
  Result<tuning::Trainer> make_trainer(const base::Context& ctx, const tuning::BaseModel& model);
  Result<void> train(const base::Context& ctx);
  Result<void> write(const tuning::BaseModel& model, const tuning::Trainer& trainer,
                     const tuning::TrainingRun::Summary& summary);
  tuning::AdapterMetadata metadata() const;
  tuning::KernelSet kernels() const;
  fs::path duckdb_library() const;
  std::vector<std::string> default_targets() const;

  const Options& options_;
  const base::Clock& clock_;
  Status& status_;
  ExitCode code_ = ExitCode::Failed;

  std::string config_text_;
  tuning::TrainingConfig config_;
  fs::path model_path_;
  fs::path output_;
  tuning::Architecture architecture_;
  std::unique_ptr<model::Vocabulary> vocabulary_;
  std::unique_ptr<model::ChatTemplate> chat_template_;
  std::vector<std::string> data_files_;
  tuning::EncodedRows rows_;
  tuning::EncodedRows evaluation_;
  tuning::LoraConfig lora_;
  std::vector<tuning::LoraTarget> targets_;
  tuning::MemoryPlan memory_;
  std::string fingerprint_;
};

Result<void> Tuner::run(const base::Context& ctx) {
  if (options_.command == Command::Fetch || !options_.urls.empty()) TRY(fetch(ctx));
  if (options_.command == Command::Fetch) return {};
  status_.enter(Phase::Preparing);
  TRY(read_config(ctx));
  TRY(read_model_shape(ctx));
  TRY(read_text(ctx));
  TRY(read_data(ctx));
  TRY(plan(ctx));
  if (options_.command == Command::Plan) return {};
  fingerprint_ = fingerprint();
  if (already_completed(ctx)) return {};
  return train(ctx);
}

Result<void> Tuner::fetch(const base::Context& ctx) {
  code_ = ExitCode::Data;
  status_.enter(Phase::Fetching);
  tuning::FetchOptions fetch;
  fetch.folder = options_.data_dir;
  fetch.allow_local_addresses = options_.allow_local_addresses;
  fetch.max_bytes = options_.max_download_mib << 20;
  if (!options_.extra_ca_file.empty()) {
    fetch.extra_ca_pem = TRY(base::with_context(
        base::read_file(options_.extra_ca_file, kMaxCaBytes), "--extra-ca-file"));
  }
  if (options_.urls.empty()) {
    code_ = ExitCode::Configuration;
    return Error(ErrorCode::Invalid, "nothing to fetch: give --url");
  }
  TRY(tuning::fetch_files(ctx, options_.urls, fetch));
  return {};
}

/// The file, or the shipped template of the method when there is none.
Result<std::string> Tuner::config_text(const base::Context& ctx) const {
  std::error_code error;
  if (options_.method.empty() || fs::exists(options_.config, error))
    return base::read_file(options_.config, kMaxTemplateBytes);
  const auto method = is_qlora() ? tuning::Method::Qlora : tuning::Method::Lora;
  ctx.log().info("there is no configuration; the template of the method is used",
                 {{"config", options_.config.string()}, {"method", options_.method}});
  return std::string(tuning::shipped_template(method));
}

bool Tuner::is_qlora() const {
  return options_.method.starts_with('q') || options_.method.starts_with('Q');
}

Result<void> Tuner::read_config(const base::Context& ctx) {
  code_ = ExitCode::Configuration;
  config_text_ = TRY(config_text(ctx));
  tuning::ParsedConfig parsed = tuning::parse_training_config(config_text_);
  if (!parsed.errors.empty()) {
    return Error(ErrorCode::Invalid,
                 fmt::format("{}: {}", options_.config.string(), json::to_string(parsed.errors)));
  }
  config_ = std::move(parsed.config);
  for (const std::string& note : parsed.notes) ctx.log().warn("setting", {{"note", note}});
  const bool quantized = config_.quantization.format != tuning::BaseFormat::Plain;
  if (!options_.method.empty() && quantized != is_qlora()) {
    return Error(ErrorCode::Invalid,
                 fmt::format("--method {}: QuantizationConfig says {}", options_.method,
                             quantized ? "load_in_4bit or load_in_8bit; for lora set both to false"
                                       : "neither load_in_4bit nor load_in_8bit; set one to true"));
  }
  model_path_ = options_.model;
  if (model_path_.empty()) model_path_ = config_.model.path;
  if (model_path_.empty()) model_path_ = kDefaultModel;
  output_ = options_.output_dir;
  if (output_.empty()) output_ = config_.training.output_dir;
  if (output_.empty()) output_ = kDefaultOutput;
  return {};
}

/// The only .gguf file of a folder; nothing when there is none.
Result<std::optional<fs::path>> gguf_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == ".gguf") files.push_back(entry->path());
  if (error) return base::system_error(fmt::format("reading {}", folder.string()), error.value());
  if (files.empty()) return std::optional<fs::path>();
  if (files.size() == 1) return std::optional(files.front());
  return Error(ErrorCode::Invalid, fmt::format("{} holds {} .gguf files; name one with --model",
                                               folder.string(), files.size()));
}

Result<void> Tuner::read_model_shape(const base::Context&) {
  code_ = ExitCode::Configuration;
  std::error_code error;
  if (!fs::exists(model_path_, error)) {
    return Error(ErrorCode::NotFound, fmt::format("there is no model at {}; name it with --model",
                                                  model_path_.string()));
  }
  if (fs::is_directory(model_path_) && !fs::exists(model_path_ / "config.json")) {
    const auto file = TRY(gguf_in(model_path_));
    if (!file) {
      return Error(ErrorCode::NotFound, fmt::format("{} holds neither config.json nor a .gguf file",
                                                    model_path_.string()));
    }
    model_path_ = *file;
  }
  architecture_ = TRY(tuning::BaseModel::read_architecture(model_path_));
  const auto most = static_cast<std::int64_t>(architecture_.context_tokens);
  config_.training.max_length = std::min(config_.training.max_length, most);
  return {};
}

Result<void> Tuner::read_text(const base::Context& ctx) {
  code_ = ExitCode::Configuration;
  const fs::path file = options_.tokenizer.empty() ? model_path_ : options_.tokenizer;
  const base::Logger log = ctx.log().named("model");
  vocabulary_ = TRY(fs::is_directory(file) ? model::load_hugging_face_vocabulary(
                                                 file, architecture_.vocabulary_size, log)
                                           : model::Vocabulary::load(file, log));
  if (static_cast<std::size_t>(vocabulary_->size()) > architecture_.vocabulary_size) {
    return Error(ErrorCode::Invalid,
                 fmt::format("{} has {} tokens, the model only {}; they do not belong together",
                             file.string(), vocabulary_->size(), architecture_.vocabulary_size));
  }
  const std::string source = TRY(template_source());
  if (source.empty()) return {};
  chat_template_ = TRY(
      model::ChatTemplate::parse(source, {.begin = vocabulary_->text_of(vocabulary_->begin_token()),
                                          .end = vocabulary_->text_of(vocabulary_->end_token())}));
  return {};
}

Result<std::string> Tuner::template_source() const {
  const std::string& setting = config_.model.chat_template;
  if (setting.empty()) return vocabulary_->chat_template();
  if (setting.find("{%") != std::string::npos || setting.find("{{") != std::string::npos)
    return setting;
  return base::with_context(base::read_file(setting, kMaxTemplateBytes),
                            "ModelConfig.chat_template");
}

void log_rows(const base::Context& ctx, const tuning::EncodedRows& rows, std::int64_t max_length) {
  ctx.log().info("rows", {{"rows", rows.sequences.size()},
                          {"tokens", rows.tokens},
                          {"learned", rows.loss_tokens},
                          {"longest", rows.longest}});
  if (rows.cut > 0) {
    ctx.log().warn("rows are longer than max_length and lose their end",
                   {{"rows", rows.cut},
                    {"first", rows.first_cut},
                    {"longest", rows.longest_row},
                    {"maxLength", max_length}});
  }
  if (rows.dropped > 0)
    ctx.log().warn("rows have nothing left to learn and are left out", {{"rows", rows.dropped}});
}

Result<void> Tuner::read_data(const base::Context& ctx) {
  code_ = ExitCode::Data;
  const tuning::FoundData found = TRY(tuning::find_data(options_.data_dir, config_.dataset));
  for (const fs::path& file : found.files) data_files_.push_back(file.filename().string());
  ctx.log().info("data", {{"files", fmt::format("{}", fmt::join(data_files_, ", "))},
                          {"format", tuning::name_of(found.format)}});
  const tuning::Dataset dataset =
      TRY(tuning::load_dataset(ctx, found, config_.dataset, config_.training.text_column,
                               {.duckdb_library = duckdb_library()}));
  const tuning::Split split =
      tuning::split_rows(dataset.records.size(), {.train_share = config_.dataset.train_share,
                                                  .seed = config_.dataset.shuffle_seed,
                                                  .shuffle = config_.dataset.shuffle});
  const tuning::Encoder encoder(
      *vocabulary_, chat_template_.get(),
      {.max_length = static_cast<std::size_t>(config_.training.max_length),
       .completion_only_loss = config_.training.completion_only_loss,
       .assistant_only_loss = config_.training.assistant_only_loss});
  rows_ = TRY(tuning::encode_rows(ctx, encoder, dataset, split.train));
  evaluation_ = TRY(tuning::encode_rows(ctx, encoder, dataset, split.evaluation));
  if (config_.training.packing == tuning::Packing::Wrapped) {
    rows_.sequences =
        tuning::wrap(rows_.sequences, static_cast<std::size_t>(config_.training.max_length));
  }
  log_rows(ctx, rows_, config_.training.max_length);
  return {};
}

Result<void> Tuner::plan(const base::Context& ctx) {
  code_ = ExitCode::Configuration;
  lora_ = tuning::to_lora_config(config_.lora, architecture_, default_targets());
  targets_ = TRY(base::with_context(tuning::resolve_targets(lora_, architecture_), "LoraConfig"));
  const auto batches = tuning::batch_options_of(config_.training, config_.dataset.shuffle);
  const std::uint64_t free =
      options_.memory_mib > 0
          ? options_.memory_mib << 20
          : static_cast<std::uint64_t>(kMemoryShare *
                                       static_cast<double>(server::available_memory_bytes()));
  memory_ = tuning::plan_memory(
      architecture_, targets_,
      {.model = tuning::to_model_options(config_.model, config_.quantization),
       .batch_tokens = tuning::largest_batch_tokens(rows_.sequences, batches),
       .sequence_tokens = rows_.longest,
       .recompute = config_.training.gradient_checkpointing ? tuning::Recompute::Auto
                                                            : tuning::Recompute::Off,
       .threads = options_.threads > 0 ? static_cast<std::size_t>(options_.threads) : 2,
       .available_bytes = free});
  ctx.log().info("memory", {{"weightsMiB", memory_.weights_bytes >> 20},
                            {"adapterMiB", memory_.adapter_bytes >> 20},
                            {"optimizerMiB", memory_.optimizer_bytes >> 20},
                            {"activationsMiB", memory_.activation_bytes >> 20},
                            {"lossMiB", memory_.loss_bytes >> 20},
                            {"totalMiB", memory_.total_bytes() >> 20},
                            {"freeMiB", free >> 20},
                            {"recompute", memory_.recompute != tuning::Recompute::Off}});
  if (memory_.fits) return {};
  code_ = ExitCode::Memory;
  return Error(
      ErrorCode::Invalid,
      fmt::format("the run needs {} MiB of memory and {} MiB are free: {}",
                  memory_.total_bytes() >> 20, free >> 20,
                  memory_.advice.empty() ? "use a machine with more"
                                         : fmt::format("{}", fmt::join(memory_.advice, "; or "))));
}

/// What decides the adapter's bits, but for the machine: settings, model and tokens.
std::string Tuner::fingerprint() const {
  base::Sha256 hash;
  hash.update(config_text_);
  std::error_code error;
  const auto size = fs::is_directory(model_path_) ? 0 : fs::file_size(model_path_, error);
  hash.update(fmt::format("\n{} {} {}\n", model_path_.filename().string(), size,
                          fmt::join(default_targets(), ",")));
  for (const tuning::Sequence& row : rows_.sequences) {
    for (const auto* values : {&row.tokens, &row.labels}) {
      hash.update({reinterpret_cast<const char*>(values->data()),
                   values->size() * sizeof(tuning::TokenId)});
    }
    hash.update("/");
  }
  return hash.finish_hex().substr(0, kFingerprintDigits);
}

/// A Job may start the program again after it was done, because the push failed for example.
bool Tuner::already_completed(const base::Context& ctx) const {
  if (!fs::exists(output_ / (kCompletedPrefix + fingerprint_)) ||
      !fs::exists(output_ / tuning::kCompletedFile))
    return false;
  ctx.log().info("this run was completed before", {{"output", output_.string()}});
  status_.enter(Phase::Completed);
  return true;
}

tuning::KernelSet Tuner::kernels() const {
  if (options_.kernels != tuning::KernelSet::Auto) return options_.kernels;
  if (!tuning::wants_float32(config_.model, config_.quantization)) return tuning::KernelSet::Auto;
  // The best that multiply 32-bit numbers.
  if (__builtin_cpu_supports("avx512f") != 0) return tuning::KernelSet::Avx512;
  if (__builtin_cpu_supports("avx2") != 0) return tuning::KernelSet::Avx2;
  return tuning::KernelSet::Scalar;
}

/// Named, beside the program, in the lib folder next to its own, or where the system looks.
fs::path Tuner::duckdb_library() const {
  if (!options_.duckdb_library.empty()) return options_.duckdb_library;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& candidate :
       {folder / kDuckDbLibrary, folder / ".." / "lib" / kDuckDbLibrary})
    if (fs::exists(candidate, error)) return candidate;
  return {};
}

/// What upstream sets for the phi-3 presets; the engine knows a default for all others.
std::vector<std::string> Tuner::default_targets() const {
  if (!options_.default_targets.empty() || !options_.preset.starts_with("phi-3"))
    return options_.default_targets;
  return {"k_proj", "q_proj", "v_proj", "o_proj", "gate_proj", "down_proj", "up_proj"};
}

tuning::AdapterMetadata Tuner::metadata() const {
  std::string name = options_.base_model.empty() ? options_.preset : options_.base_model;
  if (name.empty()) name = model_path_.stem().string();
  return {.base_model_name = name};
}

Result<tuning::Trainer> Tuner::make_trainer(const base::Context& ctx,
                                            const tuning::BaseModel& model) {
  code_ = ExitCode::Configuration;
  const tuning::StepPlan steps =
      tuning::step_plan_of(rows_.sequences, config_.training, config_.dataset.shuffle);
  tuning::Trainer trainer = TRY(
      tuning::Trainer::create(model, lora_, tuning::to_optimizer_config(config_.training, steps),
                              {.threads = static_cast<std::size_t>(options_.threads),
                               .kernels = kernels(),
                               .recompute = memory_.recompute,
                               .activation_budget_bytes = memory_.activation_budget_bytes,
                               .seed = config_.training.seed}));
  ctx.log().info("model", {{"origin", model.origin()},
                           {"weightsMiB", model.weight_bytes() >> 20},
                           {"trainable", trainer.trainable_parameters()},
                           {"modules", trainer.targets().size()},
                           {"kernels", tuning::name_of(trainer.kernels())},
                           {"threads", trainer.threads()}});
  return trainer;
}

Result<void> Tuner::train(const base::Context& ctx) {
  code_ = ExitCode::Failed;
  std::error_code error;
  fs::create_directories(output_, error);
  if (error) return base::system_error(fmt::format("creating {}", output_.string()), error.value());
  // Whoever waits for this file must not take an older run's adapter.
  fs::remove(output_ / tuning::kCompletedFile, error);
  status_.enter(Phase::Loading);
  const tuning::BaseModel model = TRY(tuning::BaseModel::load(
      ctx, model_path_, tuning::to_model_options(config_.model, config_.quantization)));
  tuning::Trainer trainer = TRY(make_trainer(ctx, model));
  code_ = ExitCode::Diverged;
  tuning::TrainingRun run(
      {.trainer = trainer,
       .clock = clock_,
       .on_progress = [&](const tuning::Progress& progress) { status_.update(progress); }},
      {.training = config_.training,
       .shuffle = config_.dataset.shuffle,
       .vocabulary_size = architecture_.vocabulary_size,
       .output = output_,
       .fingerprint = fingerprint_,
       .checkpoint_interval =
           std::chrono::milliseconds(static_cast<std::int64_t>(options_.checkpoint_seconds * 1000)),
       .metadata = metadata()},
      rows_.sequences, evaluation_.sequences);
  ctx.log().info("training", {{"steps", run.plan().total_steps},
                              {"stepsPerEpoch", run.plan().steps_per_epoch}});
  const auto summary = TRY(run.run(ctx));
  code_ = ExitCode::Failed;
  TRY(write(model, trainer, summary));
  run.remove_checkpoints();
  ctx.log().info("completed", {{"output", output_.string()},
                               {"steps", summary.steps},
                               {"seconds", fmt::format("{:.1f}", summary.seconds)},
                               {"loss", fmt::format("{:.4f}", summary.last_loss)}});
  status_.enter(Phase::Completed);
  return {};
}

Result<void> Tuner::write(const tuning::BaseModel& model, const tuning::Trainer& trainer,
                          const tuning::TrainingRun::Summary& summary) {
  status_.enter(Phase::Writing);
  TRY(trainer.write_adapter(output_, metadata()));
  const tuning::CardFacts facts{.base_model = metadata().base_model_name,
                                .base_origin = model.origin(),
                                .parameters = trainer.trainable_parameters(),
                                .rows = rows_.sequences.size(),
                                .cut_rows = rows_.cut,
                                .data = fmt::format("{}", fmt::join(data_files_, ", ")),
                                .program = "kaito-tuner " KAITO_VERSION};
  TRY(base::write_file_atomic(output_ / "README.md", tuning::model_card(config_, facts, summary),
                              0644));
  TRY(base::write_file_atomic(output_ / (kCompletedPrefix + fingerprint_), "", 0644));
  // Last: who sees it may take the adapter.
  const std::time_t now = std::chrono::system_clock::to_time_t(clock_.now());
  return base::write_file_atomic(
      output_ / tuning::kCompletedFile,
      fmt::format("Fine-Tuning completed at {:%Y-%m-%d-%H-%M-%S}\n", fmt::gmtime(now)), 0644,
      base::Durability::Synced);
}

/// A failure that another attempt may cure is told apart from one that stays.
ExitCode exit_code_of(const Error& error, ExitCode stage) {
  if (error.code() == ErrorCode::Cancelled) return ExitCode::Stopped;
  if (base::is_retryable(error.code())) return ExitCode::Failed;
  if (stage == ExitCode::Diverged && error.code() != ErrorCode::Internal) return ExitCode::Failed;
  return stage;
}

}  // namespace

Outcome tune(const base::Context& ctx, const Options& options, const base::Clock& clock,
             Status& status) {
  Tuner tuner(options, clock, status);
  const auto ended = tuner.run(ctx);
  if (ended) return {};
  const Outcome outcome{exit_code_of(ended.error(), tuner.code()), ended.error().message()};
  status.fail(outcome.message);
  return outcome;
}

}  // namespace tuner

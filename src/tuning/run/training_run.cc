#include "tuning/run/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <system_error>

#include "json/value.h"

namespace tuning {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

constexpr double kSmoothing = 0.9;
constexpr std::string_view kCheckpointPrefix = "checkpoint-";

double seconds_between(base::SteadyTime from, base::SteadyTime to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Folders `checkpoint-N` in `output` by N.
std::map<std::size_t, fs::path> checkpoint_folders(const fs::path& output) {
  std::map<std::size_t, fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(output, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kCheckpointPrefix)) continue;
    const std::string number = name.substr(kCheckpointPrefix.size());
    if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos) continue;
    if (number.size() < 12) found[std::stoul(number)] = entry->path();
  }
  return found;
}

std::vector<std::size_t> lengths_of(const std::vector<Sequence>& rows) {
  std::vector<std::size_t> lengths;
  lengths.reserve(rows.size());
  for (const Sequence& row : rows) lengths.push_back(row.tokens.size());
  return lengths;
}

}  // namespace

BatchOptions batch_options_of(const TrainingSettings& training, bool shuffle) {
  return {.batch_size = static_cast<std::size_t>(training.batch_size),
          .max_length = static_cast<std::size_t>(training.max_length),
          .packing = training.packing,
          .seed = training.data_seed.value_or(training.seed),
          .shuffle = shuffle};
}

StepPlan step_plan_of(const std::vector<Sequence>& rows, const TrainingSettings& training,
                      bool shuffle) {
  const BatchOptions options = batch_options_of(training, shuffle);
  return plan_steps(epoch_batches(lengths_of(rows), options, 0).size(), training);
}

std::size_t largest_batch_tokens(const std::vector<Sequence>& rows, const BatchOptions& options) {
  std::vector<std::size_t> lengths = lengths_of(rows);
  if (options.packing == Packing::BestFit) {
    const auto bins = epoch_batches(lengths, options, 0).size() * options.batch_size;
    return std::min(bins, options.batch_size) * options.max_length;
  }
  std::sort(lengths.rbegin(), lengths.rend());
  if (lengths.size() > options.batch_size) lengths.resize(options.batch_size);
  std::size_t sum = 0;
  for (const std::size_t length : lengths) sum += length;
  return sum;
}

TrainingRun::TrainingRun(Deps deps, Settings settings, const std::vector<Sequence>& rows,
                         const std::vector<Sequence>& evaluation)
    : deps_(std::move(deps)),
      settings_(std::move(settings)),
      rows_(rows),
      evaluation_(evaluation),
      batch_options_(batch_options_of(settings_.training, settings_.shuffle)),
      plan_(step_plan_of(rows, settings_.training, settings_.shuffle)),
      guard_(settings_.vocabulary_size, plan_.warmup_steps),
      lengths_(lengths_of(rows)) {
  progress_.total_steps = plan_.total_steps;
}

Result<TrainingRun::Summary> TrainingRun::run(const base::Context& ctx) {
  started_ = saved_ = deps_.clock.steady();
  TRY(resume(ctx));
  progress_.phase = Phase::Training;
  progress_.step = deps_.trainer.steps_done();
  deps_.on_progress(progress_);
  while (deps_.trainer.steps_done() < plan_.total_steps) {
    auto stats = deps_.trainer.step(ctx, micro_batches(deps_.trainer.steps_done()));
    if (!stats) {
      const ErrorCode code = stats.error().code();
      if (code == ErrorCode::Cancelled || code == ErrorCode::Timeout) save_resume_point(ctx);
      return explain(std::move(stats).error());
    }
    TRY(take(*stats));
    TRY(after_step(ctx));
  }
  if (!evaluation_.empty()) TRY(evaluate(ctx));
  return Summary{.steps = plan_.total_steps,
                 .tokens = progress_.tokens,
                 .first_loss = first_loss_,
                 .last_loss = progress_.smoothed_loss,
                 .evaluation_loss = progress_.evaluation_loss,
                 .seconds = seconds_between(started_, deps_.clock.steady())};
}

std::vector<Batch> TrainingRun::micro_batches(std::size_t step) {
  const std::size_t epoch = step / plan_.steps_per_epoch;
  if (batches_epoch_ != epoch) {
    batches_ = epoch_batches(lengths_, batch_options_, epoch);
    batches_epoch_ = epoch;
  }
  const auto accumulation = static_cast<std::size_t>(settings_.training.accumulation_steps);
  const std::size_t first = step % plan_.steps_per_epoch * accumulation;
  std::vector<Batch> chosen;
  for (std::size_t i = first; i < std::min(first + accumulation, batches_.size()); ++i) {
    Batch& batch = chosen.emplace_back();
    for (const std::size_t row : batches_[i]) batch.push_back(rows_[row]);
  }
  return chosen;
}

Status TrainingRun::take(const StepStats& stats) {
  progress_.step = stats.step;
  progress_.epoch = static_cast<double>(stats.step) / static_cast<double>(plan_.steps_per_epoch);
  progress_.loss = stats.loss;
  if (first_loss_ == 0) first_loss_ = progress_.smoothed_loss = stats.loss;
  progress_.smoothed_loss = kSmoothing * progress_.smoothed_loss + (1 - kSmoothing) * stats.loss;
  progress_.gradient_norm = stats.gradient_norm;
  progress_.learning_rate = stats.learning_rate;
  progress_.tokens += stats.tokens;
  steps_seconds_ += stats.seconds;
  ++steps_here_;
  progress_.seconds = seconds_between(started_, deps_.clock.steady());
  progress_.tokens_per_second =
      static_cast<double>(progress_.tokens) / std::max(1e-9, steps_seconds_);
  progress_.seconds_left = steps_seconds_ / static_cast<double>(steps_here_) *
                           static_cast<double>(plan_.total_steps - stats.step);
  TRY(log_->append(to_json_line(progress_)));
  deps_.on_progress(progress_);
  return guard_.take(stats.step, stats.loss, first_loss_);
}

Status TrainingRun::after_step(const base::Context& ctx) {
  const TrainingSettings& training = settings_.training;
  const auto due = [&](Rhythm rhythm, std::int64_t every) {
    if (rhythm == Rhythm::Steps) return progress_.step % static_cast<std::size_t>(every) == 0;
    return rhythm == Rhythm::Epoch && progress_.step % plan_.steps_per_epoch == 0;
  };
  const bool last = progress_.step == plan_.total_steps;
  if (!last && !evaluation_.empty() && due(training.evaluation, training.evaluation_steps))
    TRY(evaluate(ctx));
  if (due(training.save, training.save_steps)) TRY(save_folder(ctx));
  if (!last && deps_.clock.steady() - saved_ >= settings_.checkpoint_interval)
    save_resume_point(ctx);
  return {};
}

Status TrainingRun::evaluate(const base::Context& ctx) {
  const BatchOptions in_order{.batch_size = batch_options_.batch_size, .shuffle = false};
  std::vector<Batch> batches;
  for (const auto& rows : epoch_batches(lengths_of(evaluation_), in_order, 0)) {
    Batch& batch = batches.emplace_back();
    for (const std::size_t row : rows) batch.push_back(evaluation_[row]);
  }
  const EvaluationStats stats = TRY(deps_.trainer.evaluate(ctx, batches));
  progress_.evaluation_loss = stats.loss;
  deps_.on_progress(progress_);
  return log_->append(to_json_line(progress_));
}

Status TrainingRun::save_folder(const base::Context& ctx) {
  const fs::path folder = settings_.output / fmt::format("{}{}", kCheckpointPrefix, progress_.step);
  TRY(deps_.trainer.write_adapter(folder, settings_.metadata));
  ctx.log().info("saved", {{"folder", folder.string()}});
  auto folders = checkpoint_folders(settings_.output);
  while (folders.size() > static_cast<std::size_t>(settings_.training.save_total_limit)) {
    std::error_code ignored;
    fs::remove_all(folders.begin()->second, ignored);
    folders.erase(folders.begin());
  }
  return {};
}

/// A full disk must not end a run that may still finish: the failure is only told.
void TrainingRun::save_resume_point(const base::Context& ctx) {
  const auto begin = deps_.clock.steady();
  const auto saved = deps_.trainer.save_checkpoint(resume_file(), state());
  saved_ = deps_.clock.steady();
  if (!saved) {
    ctx.log().warn("no checkpoint could be written", {{"error", saved.error().message()}});
    return;
  }
  ctx.log().debug("checkpoint",
                  {{"step", progress_.step}, {"seconds", seconds_between(begin, saved_)}});
}

std::string TrainingRun::state() const {
  return json::dump(json::Object{{"logBytes", log_ ? log_->bytes() : 0},
                                 {"firstLoss", first_loss_},
                                 {"smoothedLoss", progress_.smoothed_loss}});
}

Status TrainingRun::restore(std::string_view state) {
  const json::Value value = TRY(json::parse(state));
  const auto number = [&](const char* name) {
    const json::Value* found = json::find(value, name);
    return found != nullptr && found->is_number() ? found->to_number<double>() : 0.0;
  };
  first_loss_ = number("firstLoss");
  progress_.smoothed_loss = number("smoothedLoss");
  progress_.resumed_from = deps_.trainer.steps_done();
  log_ = TRY(TrainingLog::open(settings_.output / kTrainingLogFile,
                               static_cast<std::uint64_t>(number("logBytes"))));
  return {};
}

Status TrainingRun::resume(const base::Context& ctx) {
  const fs::path file = resume_file();
  if (fs::exists(file)) {
    const auto state = deps_.trainer.load_checkpoint(file);
    if (state) {
      TRY(restore(*state));
      ctx.log().info("going on from a checkpoint", {{"step", progress_.resumed_from}});
      return {};
    }
    ctx.log().warn("the checkpoint cannot be used; training starts anew",
                   {{"file", file.string()}, {"error", state.error().message()}});
  }
  log_ = TRY(TrainingLog::open(settings_.output / kTrainingLogFile, 0));
  return {};
}

fs::path TrainingRun::resume_file() const {
  constexpr std::size_t kShownDigits = 16;
  return settings_.output / (kResumePrefix + settings_.fingerprint.substr(0, kShownDigits));
}

void TrainingRun::remove_checkpoints() {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(settings_.output, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().filename().string().starts_with(kResumePrefix)) files.push_back(*entry);
  for (const fs::path& file : files) fs::remove(file, error);
}

Error TrainingRun::explain(Error error) const {
  if (error.code() != ErrorCode::Internal) return error;
  return Error(ErrorCode::Internal,
               fmt::format("training stopped at step {} of {}: {}; lower "
                           "TrainingArguments.learning_rate, or look for rows that are no text",
                           deps_.trainer.steps_done() + 1, plan_.total_steps, error.message()));
}

}  // namespace tuning

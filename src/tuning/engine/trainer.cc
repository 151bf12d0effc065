#include "tuning/engine/trainer.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "base/sha256.h"
#include "tuning/backend/cpu/cpu_backend.h"
#include "tuning/checkpoint/checkpoint.h"
#include "tuning/engine/limits.h"
#include "tuning/engine/memory_plan.h"
#include "tuning/engine/model_weights.h"
#include "tuning/engine/network.h"
#include "tuning/engine/random.h"
#include "tuning/engine/thread_choice.h"
#include "tuning/lora/adapter_files.h"
#include "tuning/optimizer/adamw.h"

namespace tuning {
namespace {

constexpr std::size_t kParametersPerTask = 1 << 14;

base::Error invalid(std::string message) { return {base::ErrorCode::Invalid, std::move(message)}; }

const KernelTable<float>& kernels_of(KernelSet set) {
  switch (set) {
    case KernelSet::Avx512Bf16:
      return avx512_bf16_kernels();
    case KernelSet::Avx512:
      return avx512_kernels();
    case KernelSet::Avx2:
      return avx2_kernels();
    case KernelSet::Auto:
    case KernelSet::Scalar:
      break;
  }
  return scalar_kernels();
}

/// PEFT's start: A uniform in +-1 / sqrt(inputs), B zero.
void initialise(const std::vector<LoraTarget>& targets, std::uint64_t seed,
                std::span<float> parameters) {
  std::size_t place = 0;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    const LoraTarget& target = targets[t];
    const double bound = 1 / std::sqrt(static_cast<double>(target.inputs));
    const std::uint64_t key = random_key(seed, t);
    const std::size_t size = target.rank * target.inputs;
    for (std::size_t i = 0; i < size; ++i) {
      parameters[place + i] = static_cast<float>((2 * random_unit(key + i) - 1) * bound);
    }
    place += size + target.rank * target.outputs;
  }
}

std::size_t label_count(const Batch& batch) {
  std::size_t count = 0;
  for (const Sequence& sequence : batch) {
    for (std::size_t i = 1; i < sequence.labels.size(); ++i) {
      count += sequence.labels[i] != kIgnoredLabel;
    }
  }
  return count;
}

std::size_t token_count(const Batch& batch) {
  std::size_t count = 0;
  for (const Sequence& sequence : batch) count += sequence.tokens.size();
  return count;
}

/// What is wrong with one sequence, or "".
std::string fault_of(const Sequence& sequence, const Architecture& shape) {
  const auto known = [&](TokenId token) {
    return token >= 0 && static_cast<std::size_t>(token) < shape.vocabulary_size;
  };
  if (sequence.tokens.empty()) return "is empty";
  if (sequence.labels.size() != sequence.tokens.size()) {
    return fmt::format("has {} tokens and {} labels", sequence.tokens.size(),
                       sequence.labels.size());
  }
  if (sequence.tokens.size() > shape.context_tokens) {
    return fmt::format("has {} tokens where the model's context has {}", sequence.tokens.size(),
                       shape.context_tokens);
  }
  for (const TokenId token : sequence.tokens) {
    if (!known(token)) return fmt::format("holds token {}, not in the vocabulary", token);
  }
  for (const TokenId label : sequence.labels) {
    if (label != kIgnoredLabel && !known(label)) {
      return fmt::format("holds label {}, not in the vocabulary", label);
    }
  }
  return {};
}

base::Status check(std::span<const Batch> batches, const Architecture& shape) {
  for (std::size_t b = 0; b < batches.size(); ++b) {
    for (std::size_t s = 0; s < batches[b].size(); ++s) {
      const std::string fault = fault_of(batches[b][s], shape);
      if (!fault.empty()) return invalid(fmt::format("batch {}: sequence {} {}", b, s, fault));
    }
    if (token_count(batches[b]) > kMaxBatchTokens) {
      return invalid(fmt::format("batch {}: more than {} tokens", b, kMaxBatchTokens));
    }
  }
  return {};
}

/// Tells models and targets apart: names, sizes, scales and all the norms' weights.
std::string fingerprint(const ModelWeights& weights, const std::vector<LoraTarget>& targets) {
  base::Sha256 hash;
  const auto add = [&](const std::vector<float>& values) {
    hash.update({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  };
  const Architecture& a = weights.architecture;
  hash.update(fmt::format("{} {} {} {} {} {} {} {} {}", name_of(a.family), a.vocabulary_size,
                          a.hidden_size, a.intermediate_size, a.layers, a.heads, a.kv_heads,
                          name_of(weights.options.linear_format), weights.options.double_quant));
  add(weights.final_norm);
  for (const BlockWeights& block : weights.blocks) {
    add(block.attention_norm);
    add(block.mlp_norm);
  }
  for (const LoraTarget& target : targets) {
    hash.update(fmt::format("{} {} {};", target.name, target.rank, target.scale));
  }
  return hash.finish_hex();
}

}  // namespace

struct Trainer::State {
  const ModelWeights& weights;
  LoraConfig lora;
  OptimizerConfig optimizer;
  TrainerOptions options;
  std::vector<LoraTarget> targets;
  KernelSet kernels;
  ThreadPool pool;
  ThreadChoice thread_choice;
  CpuBackend<float> backend;
  Network<float> network;
  AdamwState adamw;

  State(const ModelWeights& model, const LoraConfig& lora_config,
        const OptimizerConfig& optimizer_config, const TrainerOptions& trainer_options,
        std::vector<LoraTarget> chosen, KernelSet set)
      : weights(model),
        lora(lora_config),
        optimizer(optimizer_config),
        options(trainer_options),
        targets(std::move(chosen)),
        kernels(set),
        pool(trainer_options.threads),
        thread_choice(pool.threads()),
        backend(kernels_of(set), pool),
        network(model, targets, backend) {
    adamw.first.resize(network.parameters().size());
    adamw.second.resize(network.parameters().size());
    initialise(targets, options.seed, network.parameters());
  }

  void choose_kept_blocks(std::size_t tokens) {
    const std::size_t kept = tuning::kept_blocks(weights.architecture, targets, options.recompute,
                                                 options.activation_budget_bytes, tokens);
    network.set_options({.first_kept_block = weights.architecture.layers - kept});
  }

  /// Fills the gradients; returns the sum of the losses.
  base::Result<double> accumulate(const base::Context& ctx, std::span<const Batch> batches,
                                  std::size_t labels) {
    std::fill(network.gradients().begin(), network.gradients().end(), 0.0f);
    double sum = 0;
    for (std::size_t i = 0; i < batches.size(); ++i) {
      choose_kept_blocks(token_count(batches[i]));
      const DropoutPlan dropout{lora.dropout,
                                random_key(options.seed ^ (adamw.steps << 20), targets.size() + i)};
      sum += TRY(
          network.forward_backward(ctx, batches[i], 1.0 / static_cast<double>(labels), dropout));
    }
    return sum;
  }

  double gradient_norm() {
    const auto gradients = network.gradients();
    const std::size_t tasks = (gradients.size() + kParametersPerTask - 1) / kParametersPerTask;
    std::vector<double> squares(tasks);
    pool.run(tasks, [&](std::size_t task, std::size_t) {
      const std::size_t end = std::min(gradients.size(), (task + 1) * kParametersPerTask);
      double sum = 0;
      for (std::size_t i = task * kParametersPerTask; i < end; ++i) {
        sum += static_cast<double>(gradients[i]) * static_cast<double>(gradients[i]);
      }
      squares[task] = sum;
    });
    double sum = 0;
    for (const double square : squares) sum += square;
    return std::sqrt(sum);
  }

  void update(double norm) {
    // The small number and the order are torch.nn.utils.clip_grad_norm_'s.
    const double limit = optimizer.max_gradient_norm;
    const double scale = limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1;
    const AdamwStep step = adamw_step(optimizer, adamw.steps, scale);
    const auto parameters = network.parameters();
    const auto gradients = network.gradients();
    pool.run((parameters.size() + kParametersPerTask - 1) / kParametersPerTask,
             [&](std::size_t task, std::size_t) {
               const std::size_t first = task * kParametersPerTask;
               const std::size_t count = std::min(kParametersPerTask, parameters.size() - first);
               adamw_update(step, gradients.subspan(first, count), parameters.subspan(first, count),
                            std::span(adamw.first).subspan(first, count),
                            std::span(adamw.second).subspan(first, count));
             });
    ++adamw.steps;
  }
};

base::Result<Trainer> Trainer::create(const BaseModel& model, const LoraConfig& lora,
                                      const OptimizerConfig& optimizer,
                                      const TrainerOptions& options) {
  TRY(tuning::check(optimizer));
  auto targets = TRY(resolve_targets(lora, model.architecture()));
  const KernelSet kernels = options.kernels == KernelSet::Auto ? best_kernels() : options.kernels;
  if (!supports(kernels)) {
    return invalid(fmt::format("kernels: this processor has no {}; the best it has is {}",
                               name_of(kernels), name_of(best_kernels())));
  }
  return Trainer(std::make_unique<State>(model.weights(), lora, optimizer, options,
                                         std::move(targets), kernels));
}

Trainer::Trainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;

base::Result<StepStats> Trainer::step(const base::Context& ctx,
                                      std::span<const Batch> micro_batches) {
  const auto started = std::chrono::steady_clock::now();
  TRY(check(micro_batches, state_->weights.architecture));
  StepStats stats;
  for (const Batch& batch : micro_batches) {
    stats.tokens += token_count(batch);
    stats.loss_tokens += label_count(batch);
  }
  if (stats.loss_tokens == 0) return invalid("no position of the batch has a label");
  if (state_->options.adapt_threads) state_->pool.set_limit(state_->thread_choice.next());
  const double sum = TRY(state_->accumulate(ctx, micro_batches, stats.loss_tokens));
  stats.loss = sum / static_cast<double>(stats.loss_tokens);
  stats.gradient_norm = state_->gradient_norm();
  if (!std::isfinite(stats.loss) || !std::isfinite(stats.gradient_norm)) {
    return base::Error(
        base::ErrorCode::Internal,
        fmt::format("step {}: loss {}, gradient norm {}: the run has diverged; lower the learning "
                    "rate or look at the data",
                    state_->adamw.steps + 1, stats.loss, stats.gradient_norm));
  }
  stats.learning_rate = learning_rate_at(state_->optimizer, state_->adamw.steps);
  state_->update(stats.gradient_norm);
  stats.step = state_->adamw.steps;
  stats.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (state_->options.adapt_threads) {
    state_->thread_choice.record(stats.seconds / static_cast<double>(stats.tokens));
  }
  return stats;
}

base::Result<EvaluationStats> Trainer::evaluate(const base::Context& ctx,
                                                std::span<const Batch> batches) {
  TRY(check(batches, state_->weights.architecture));
  EvaluationStats stats;
  double sum = 0;
  for (const Batch& batch : batches) {
    stats.loss_tokens += label_count(batch);
    sum += TRY(state_->network.loss(ctx, batch));
  }
  if (stats.loss_tokens == 0) return invalid("no position of the batches has a label");
  stats.loss = sum / static_cast<double>(stats.loss_tokens);
  return stats;
}

base::Result<std::vector<float>> Trainer::logits(const base::Context& ctx,
                                                 std::span<const TokenId> tokens) {
  Sequence sequence;
  sequence.tokens.assign(tokens.begin(), tokens.end());
  sequence.labels = sequence.tokens;
  const Batch batch{std::move(sequence)};
  TRY(check({&batch, 1}, state_->weights.architecture));
  return state_->network.last_logits(ctx, batch);
}

std::size_t Trainer::steps_done() const { return state_->adamw.steps; }
const std::vector<LoraTarget>& Trainer::targets() const { return state_->targets; }
std::size_t Trainer::trainable_parameters() const { return state_->network.parameters().size(); }
KernelSet Trainer::kernels() const { return state_->kernels; }
std::size_t Trainer::threads() const { return state_->pool.threads(); }
std::span<const float> Trainer::parameters() const { return state_->network.parameters(); }
std::span<const float> Trainer::gradients() const { return state_->network.gradients(); }

base::Status Trainer::save_checkpoint(const std::filesystem::path& path,
                                      std::string_view caller_state) const {
  const std::string print = fingerprint(state_->weights, state_->targets);
  return write_checkpoint(path, {.steps = state_->adamw.steps,
                                 .fingerprint = print,
                                 .caller_state = caller_state,
                                 .parameters = state_->network.parameters(),
                                 .first_moments = state_->adamw.first,
                                 .second_moments = state_->adamw.second});
}

base::Result<std::string> Trainer::load_checkpoint(const std::filesystem::path& path) {
  Checkpoint checkpoint = TRY(read_checkpoint(path));
  const auto parameters = state_->network.parameters();
  if (checkpoint.fingerprint != fingerprint(state_->weights, state_->targets) ||
      checkpoint.parameters.size() != parameters.size()) {
    return invalid(fmt::format(
        "{}: belongs to another model or to other target modules; remove it to start anew",
        path.string()));
  }
  std::copy(checkpoint.parameters.begin(), checkpoint.parameters.end(), parameters.begin());
  state_->adamw.first = std::move(checkpoint.first_moments);
  state_->adamw.second = std::move(checkpoint.second_moments);
  state_->adamw.steps = checkpoint.steps;
  return std::move(checkpoint.caller_state);
}

base::Status Trainer::write_adapter(const std::filesystem::path& folder,
                                    const AdapterMetadata& metadata) const {
  return write_adapter_files(folder, state_->lora, state_->targets, state_->network.parameters(),
                             metadata.base_model_name);
}

base::Status Trainer::load_adapter(const std::filesystem::path& folder) {
  const auto values = TRY(read_adapter_files(folder, state_->targets));
  std::copy(values.begin(), values.end(), state_->network.parameters().begin());
  return {};
}

}  // namespace tuning

#include "tuning/engine/base_model.h"

#include <fmt/format.h>

#include <atomic>
#include <optional>

#include "tuning/backend/cpu/thread_pool.h"
#include "tuning/engine/model_weights.h"
#include "tuning/engine/weight_source.h"

namespace tuning {
namespace {

/// One tensor that has to be read, and what to do with it.
struct Job {
  std::string name;
  std::size_t rows;
  std::size_t columns;
  /// Where a matrix goes, in its format; else the values go to `vector`.
  FrozenMatrix* matrix = nullptr;
  MatrixFormat format;
  std::vector<float>* vector = nullptr;
};

/// Adds everything of block `layer` to `jobs`.
void plan_block(const ModelWeights& weights, std::size_t layer, BlockWeights& block,
                std::vector<Job>& jobs) {
  const Architecture& shape = weights.architecture;
  const auto linears = block_linears(shape);
  block.linears.resize(linears.size());
  block.biases.resize(linears.size());
  const MatrixFormat format{weights.options.linear_format, weights.options.double_quant};
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const std::string name = linear_name(layer, linears[i].name);
    jobs.push_back({.name = name + ".weight",
                    .rows = linears[i].outputs,
                    .columns = linears[i].inputs,
                    .matrix = &block.linears[i],
                    .format = format});
    if (shape.attention_bias && i < 3) {
      jobs.push_back({.name = name + ".bias",
                      .rows = 1,
                      .columns = linears[i].outputs,
                      .vector = &block.biases[i]});
    }
  }
  const auto norm = [&](std::string_view name, std::vector<float>& to) {
    jobs.push_back({.name = fmt::format("model.layers.{}.{}.weight", layer, name),
                    .rows = 1,
                    .columns = shape.hidden_size,
                    .vector = &to});
  };
  norm("input_layernorm", block.attention_norm);
  norm("post_attention_layernorm", block.mlp_norm);
}

std::vector<Job> plan_jobs(ModelWeights& weights) {
  const Architecture& shape = weights.architecture;
  std::vector<Job> jobs;
  const MatrixFormat dense{weights.options.dense_format, false};
  const auto vocabulary = [&](std::string name, FrozenMatrix& to) {
    jobs.push_back({.name = std::move(name),
                    .rows = shape.vocabulary_size,
                    .columns = shape.hidden_size,
                    .matrix = &to,
                    .format = dense});
  };
  vocabulary("model.embed_tokens.weight", weights.embedding);
  if (!shape.tied_head) vocabulary("lm_head.weight", weights.head);
  jobs.push_back({.name = "model.norm.weight",
                  .rows = 1,
                  .columns = shape.hidden_size,
                  .vector = &weights.final_norm});
  weights.blocks.resize(shape.layers);
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    plan_block(weights, layer, weights.blocks[layer], jobs);
  }
  return jobs;
}

base::Status run(const base::Context& ctx, const WeightSource& source, const Job& job) {
  TRY(ctx.check());
  auto values = TRY(source.read(job.name, job.rows, job.columns));
  if (job.matrix == nullptr) {
    *job.vector = std::move(values);
  } else {
    *job.matrix = FrozenMatrix::from_values(values, job.rows, job.columns, job.format);
  }
  return {};
}

}  // namespace

std::uint64_t ModelWeights::bytes() const {
  std::uint64_t sum = embedding.bytes() + head.bytes() + final_norm.size() * sizeof(float);
  for (const BlockWeights& block : blocks) {
    sum += (block.attention_norm.size() + block.mlp_norm.size()) * sizeof(float);
    for (const auto& bias : block.biases) sum += bias.size() * sizeof(float);
    for (const auto& matrix : block.linears) sum += matrix.bytes();
  }
  return sum;
}

base::Result<BaseModel> BaseModel::load(const base::Context& ctx, const std::filesystem::path& path,
                                        const ModelOptions& options) {
  if (options.dense_format != WeightFormat::F32 && options.dense_format != WeightFormat::Bf16) {
    return base::Error(base::ErrorCode::Invalid, "dense_format: must be f32 or bf16");
  }
  const auto source = TRY(open_weights(path));
  auto weights = std::make_unique<ModelWeights>();
  weights->architecture = source->architecture();
  weights->options = options;
  weights->origin = source->description();
  const std::vector<Job> jobs = plan_jobs(*weights);
  std::vector<base::Status> results(jobs.size());
  std::atomic<bool> failed = false;
  ThreadPool pool(0);
  pool.run(jobs.size(), [&](std::size_t i, std::size_t) {
    if (failed) return;
    results[i] = run(ctx, *source, jobs[i]);
    if (!results[i]) failed = true;
  });
  for (auto& result : results) {
    if (!result) return std::move(result).error().context(path.string());
  }
  return BaseModel(std::move(weights));
}

base::Result<Architecture> BaseModel::read_architecture(const std::filesystem::path& path) {
  const auto source = TRY(open_weights(path));
  return source->architecture();
}

BaseModel::BaseModel(std::unique_ptr<const ModelWeights> weights) : weights_(std::move(weights)) {}
BaseModel::~BaseModel() = default;
BaseModel::BaseModel(BaseModel&&) noexcept = default;
BaseModel& BaseModel::operator=(BaseModel&&) noexcept = default;

const Architecture& BaseModel::architecture() const { return weights_->architecture; }
const ModelOptions& BaseModel::options() const { return weights_->options; }
std::uint64_t BaseModel::weight_bytes() const { return weights_->bytes(); }
const std::string& BaseModel::origin() const { return weights_->origin; }

}  // namespace tuning

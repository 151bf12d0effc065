#include "tuning/engine/gguf_source.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "model/gguf/dequantise.h"
#include "model/gguf/gguf_file.h"
#include "model/tensor_names.h"
#include "tuning/engine/rope_config.h"

namespace tuning {
namespace {

base::Error invalid(std::string message) { return {base::ErrorCode::Invalid, std::move(message)}; }

/// A float32 that was written as a short decimal, as that decimal: 9.99999975e-06 is 1e-05.
double shortest(double stored) {
  return std::strtod(fmt::format("{}", static_cast<float>(stored)).c_str(), nullptr);
}

/// Reads one model's metadata; keys begin with its architecture.
class Metadata {
 public:
  explicit Metadata(const model::GgufHeader& header)
      : header_(header), prefix_(header.text("general.architecture")) {}

  const std::string& prefix() const { return prefix_; }
  std::size_t size(std::string_view key, std::size_t otherwise = 0) const {
    return header_.number(full(key)).value_or(otherwise);
  }
  double real(std::string_view key, double otherwise) const {
    const auto value = header_.real(full(key));
    return value ? shortest(*value) : otherwise;
  }
  std::string text(std::string_view key) const { return std::string(header_.text(full(key))); }

 private:
  std::string full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  const model::GgufHeader& header_;
  std::string prefix_;
};

base::Result<std::vector<float>> values_of(const model::GgufFile& file,
                                           const model::GgufTensor& tensor) {
  std::vector<float> values(tensor.elements);
  TRY(base::with_context(model::dequantise(*tensor.type, file.bytes_of(tensor), values),
                         tensor.name));
  return values;
}

/// The factors in tensor `name`; empty when it is not there.
base::Result<std::vector<double>> factors_of(const model::GgufFile& file, std::string_view name,
                                             std::size_t wanted) {
  const auto* tensor = file.header().find_tensor(name);
  if (tensor == nullptr) return std::vector<double>();
  if (tensor->elements != wanted) {
    return invalid(
        fmt::format("{}: {} factors where {} are needed", name, tensor->elements, wanted));
  }
  const auto values = TRY(values_of(file, *tensor));
  return std::vector<double>(values.begin(), values.end());
}

base::Result<Rope> rope_of(const model::GgufFile& file, const Metadata& data,
                           const Architecture& shape) {
  Rope rope;
  rope.theta = data.real("rope.freq_base", 10000.0);
  rope.rotated_dimensions = data.size("rope.dimension_count", shape.head_dimension);
  const std::size_t pairs = rope.rotated_dimensions / 2;
  const std::string scaling = data.text("rope.scaling.type");
  if (scaling == "linear") {
    rope.short_factors.assign(pairs, data.real("rope.scaling.factor", 1));
  } else if (!scaling.empty() && scaling != "none" && scaling != "longrope") {
    return invalid(fmt::format("rope.scaling.type: {} is not supported", scaling));
  }
  const auto frequencies = TRY(factors_of(file, "rope_freqs.weight", pairs));
  if (!frequencies.empty()) rope.short_factors = frequencies;
  rope.long_factors = TRY(factors_of(file, "rope_factors_long.weight", pairs));
  if (rope.long_factors.empty()) return rope;
  rope.short_factors = TRY(factors_of(file, "rope_factors_short.weight", pairs));
  rope.original_context_tokens =
      data.size("rope.scaling.original_context_length", shape.context_tokens);
  rope.attention_factor =
      data.real("rope.scaling.attn_factor",
                longrope_attention_factor(static_cast<double>(shape.context_tokens),
                                          static_cast<double>(rope.original_context_tokens)));
  return rope;
}

base::Result<Architecture> architecture_of(const model::GgufFile& file) {
  static const std::map<std::string, Family, std::less<>> kFamilies = {
      {"llama", Family::Llama}, {"qwen2", Family::Qwen2}, {"phi3", Family::Phi3}};
  const Metadata data(file.header());
  const auto family = kFamilies.find(data.prefix());
  if (family == kFamilies.end()) {
    return invalid(
        fmt::format("general.architecture: \"{}\" cannot be tuned; known are llama, qwen2 and phi3",
                    data.prefix()));
  }
  if (data.size("expert_count") != 0) return invalid("models with experts cannot be tuned");
  const auto* embedding = file.header().find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return invalid("token_embd.weight: missing");
  }
  Architecture shape;
  shape.family = family->second;
  shape.vocabulary_size = embedding->shape[0];
  shape.hidden_size = data.size("embedding_length");
  shape.intermediate_size = data.size("feed_forward_length");
  shape.layers = data.size("block_count");
  shape.heads = data.size("attention.head_count");
  if (shape.heads == 0) return invalid("attention.head_count: missing");
  shape.kv_heads = data.size("attention.head_count_kv", shape.heads);
  shape.head_dimension = data.size("attention.key_length", shape.hidden_size / shape.heads);
  shape.context_tokens = data.size("context_length");
  shape.sliding_window = data.size("attention.sliding_window");
  shape.norm_epsilon = data.real("attention.layer_norm_rms_epsilon", 1e-5);
  shape.tied_head = file.header().find_tensor("output.weight") == nullptr;
  shape.attention_bias = shape.family == Family::Qwen2;
  shape.fused = shape.family == Family::Phi3;
  shape.rope = TRY(rope_of(file, data, shape));
  TRY(check(shape));
  return shape;
}

class GgufSource final : public WeightSource {
 public:
  GgufSource(model::GgufFile file, Architecture architecture)
      : file_(std::move(file)), architecture_(std::move(architecture)) {
    const auto* first = file_.header().find_tensor("blk.0.ffn_down.weight");
    description_ =
        fmt::format("gguf, dequantised from {}", first == nullptr ? "unknown" : first->type->name);
    permuted_ = model::pairs_neighbour_rows(file_.header().text("general.architecture"));
  }

  const Architecture& architecture() const override { return architecture_; }
  const std::string& description() const override { return description_; }
  bool has(std::string_view name) const override { return find(name) != nullptr; }

  base::Result<std::vector<float>> read(std::string_view name, std::size_t rows,
                                        std::size_t columns) const override {
    const model::GgufTensor* tensor = find(name);
    if (tensor == nullptr) {
      return base::Error(base::ErrorCode::NotFound,
                         fmt::format("the model has no tensor for {}", name));
    }
    const bool vector = rows == 1 && tensor->shape.size() == 1 && tensor->shape[0] == columns;
    const bool matrix =
        tensor->shape.size() == 2 && tensor->shape[0] == rows && tensor->shape[1] == columns;
    if (!vector && !matrix) {
      return invalid(fmt::format("{}: [{}] where [{}, {}] is expected", tensor->name,
                                 fmt::join(tensor->shape, ", "), rows, columns));
    }
    auto values = TRY(values_of(file_, *tensor));
    TRY(check_finite(name, values));
    const bool rotary = name.find(".q_proj.") != name.npos || name.find(".k_proj.") != name.npos;
    if (!permuted_ || !rotary) return values;
    std::vector<float> ordered(values.size());
    // Biases of q and k are vectors whose elements are ordered as the rows are.
    const std::size_t row_values = vector ? 1 : columns;
    const std::size_t count = values.size() / row_values;
    model::permute_rotary_rows(model::RowOrder::ToHuggingFace, count / architecture_.head_dimension,
                               row_values * sizeof(float), std::as_bytes(std::span(values)),
                               std::as_writable_bytes(std::span(ordered)));
    return ordered;
  }

 private:
  const model::GgufTensor* find(std::string_view name) const {
    const auto stored = model::gguf_tensor_name(name);
    return stored ? file_.header().find_tensor(*stored) : nullptr;
  }

  model::GgufFile file_;
  Architecture architecture_;
  std::string description_;
  bool permuted_ = false;
};

}  // namespace

base::Result<std::unique_ptr<WeightSource>> open_gguf(const std::filesystem::path& path) {
  auto file = TRY(model::GgufFile::open(path));
  Architecture architecture = TRY(base::with_context(architecture_of(file), path.string()));
  return std::unique_ptr<WeightSource>(
      std::make_unique<GgufSource>(std::move(file), std::move(architecture)));
}

}  // namespace tuning

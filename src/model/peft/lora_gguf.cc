#include "model/peft/lora_gguf.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "model/gguf/gguf_writer.h"
#include "model/tensor_names.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

/// Architectures whose linear layers carry over by name alone (and, for llama, by row order).
constexpr std::array<std::string_view, 7> kArchitectures{"llama", "qwen2",  "qwen3", "phi3",
                                                         "gemma", "gemma2", "gemma3"};

constexpr float kLargestHalf = 65504;

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

std::string trained_on(const PeftAdapter& adapter) {
  const std::string& base = adapter.config().base_model;
  return base.empty() ? std::string() : fmt::format(" (it was trained on {})", base);
}

struct BaseModel {
  const GgufHeader& header;
  std::string architecture;
  std::uint64_t heads = 0;
  std::uint64_t kv_heads = 0;
};

Result<BaseModel> describe_base(const GgufHeader& header) {
  BaseModel base{.header = header,
                 .architecture = std::string(header.text("general.architecture"))};
  if (std::find(kArchitectures.begin(), kArchitectures.end(), base.architecture) ==
      kArchitectures.end()) {
    return invalid(
        fmt::format("adapters of models of the architecture {} cannot be served, only "
                    "those of {}",
                    base.architecture, fmt::join(kArchitectures, ", ")));
  }
  const std::string& name = base.architecture;
  base.heads = header.number(name + ".attention.head_count").value_or(0);
  base.kv_heads = header.number(name + ".attention.head_count_kv").value_or(base.heads);
  return base;
}

/// Heads whose rows of `tensor` have another order in GGUF; 0: the order is the same.
std::uint64_t permuted_heads(const BaseModel& base, std::string_view tensor) {
  if (!pairs_neighbour_rows(base.architecture)) return 0;
  if (tensor.ends_with(".attn_q.weight")) return base.heads;
  if (tensor.ends_with(".attn_k.weight")) return base.kv_heads;
  return 0;
}

/// The tensor that `module` adapts. Errors: Invalid with names and shapes.
Result<const GgufTensor*> find_target(const PeftAdapter& adapter, const LoraModule& module,
                                      const BaseModel& base) {
  const auto name = gguf_tensor_name(module.name + ".weight");
  const GgufTensor* tensor = name ? base.header.find_tensor(*name) : nullptr;
  if (!tensor || tensor->shape.size() != 2 || *name == "token_embd.weight") {
    return invalid(
        fmt::format("this adapter is for another model: the base model ({}) has no linear "
                    "layer {}{}{}",
                    base.architecture, module.name, name ? fmt::format(" ({})", *name) : "",
                    trained_on(adapter)));
  }
  if (tensor->shape[0] != module.outputs() || tensor->shape[1] != module.inputs()) {
    return invalid(
        fmt::format("this adapter is for another model: {} is {} x {} there, but {} x {} "
                    "in the base model{}",
                    module.name, module.outputs(), module.inputs(), tensor->shape[0],
                    tensor->shape[1], trained_on(adapter)));
  }
  return tensor;
}

Result<LoraMatrix> fit_module(const LoraModule& module, const GgufTensor& tensor,
                              const BaseModel& base) {
  const bool wide = element_bytes(module.a.info.type) > 2 || element_bytes(module.b.info.type) > 2;
  LoraMatrix matrix{.tensor = std::string(tensor.name),
                    .type = wide ? DataType::F32 : DataType::F16,
                    .rank = module.rank(),
                    .inputs = module.inputs(),
                    .outputs = module.outputs()};
  matrix.a = TRY(module.a.floats());
  std::vector<float> b = TRY(module.b.floats());
  const auto scale = module.scale;
  for (float& value : b) value = static_cast<float>(value * scale);
  const float largest = wide ? std::numeric_limits<float>::max() : kLargestHalf;
  const auto finite = [&](float value) { return std::abs(value) <= largest; };
  if (!std::all_of(matrix.a.begin(), matrix.a.end(), finite) ||
      !std::all_of(b.begin(), b.end(), finite))
    return invalid(fmt::format("{} holds values that are too large or not numbers", module.name));
  const std::uint64_t heads = permuted_heads(base, tensor.name);
  if (heads == 0) {
    matrix.b = std::move(b);
    return matrix;
  }
  if (module.outputs() % (2 * heads) != 0)
    return invalid(fmt::format("{} has {} rows, which do not fit {} heads", module.name,
                               module.outputs(), heads));
  matrix.b.resize(b.size());
  permute_rotary_rows(RowOrder::ToGguf, heads, matrix.rank * sizeof(float),
                      std::as_bytes(std::span(b)), std::as_writable_bytes(std::span(matrix.b)));
  return matrix;
}

}  // namespace

std::uint64_t GgufLora::bytes() const {
  std::uint64_t sum = 0;
  for (const LoraMatrix& matrix : matrices)
    sum += (matrix.a.size() + matrix.b.size()) * element_bytes(matrix.type);
  return sum;
}

Result<GgufLora> fit_to_model(const PeftAdapter& adapter, const GgufHeader& header) {
  const BaseModel base = TRY(describe_base(header));
  std::uint64_t numbers = 0;
  for (const LoraModule& module : adapter.modules())
    numbers += module.a.info.elements() + module.b.info.elements();
  if (numbers > kMaxAdapterBytes / sizeof(float))
    return invalid(fmt::format("the adapter has {} numbers; at most {} are loaded", numbers,
                               kMaxAdapterBytes / sizeof(float)));
  GgufLora lora{.architecture = base.architecture, .largest_rank = adapter.largest_rank()};
  for (const LoraModule& module : adapter.modules()) {
    const GgufTensor* tensor = TRY(find_target(adapter, module, base));
    lora.matrices.push_back(TRY(fit_module(module, *tensor, base)));
  }
  return lora;
}

base::Status write_lora(int fd, const GgufLora& lora) {
  GgufWriter writer;
  writer.text("general.architecture", lora.architecture);
  writer.text("general.type", "adapter");
  writer.text("adapter.type", "lora");
  // 0: no scale of its own, since it is part of B.
  writer.real("adapter.lora.alpha", 0);
  for (const LoraMatrix& matrix : lora.matrices) {
    const GgufType& type = *find_gguf_type(name_of(matrix.type));
    writer.tensor(matrix.tensor + ".lora_a", type, std::array{matrix.rank, matrix.inputs});
    writer.tensor(matrix.tensor + ".lora_b", type, std::array{matrix.outputs, matrix.rank});
  }
  std::vector<std::byte> bytes;
  return writer.write(fd, [&](std::size_t i) -> Result<std::span<const std::byte>> {
    const LoraMatrix& matrix = lora.matrices[i / 2];
    const std::vector<float>& values = i % 2 == 0 ? matrix.a : matrix.b;
    if (matrix.type == DataType::F32) return std::as_bytes(std::span(values));
    bytes.resize(values.size() * element_bytes(matrix.type));
    TRY(from_floats(matrix.type, values, bytes));
    return std::span<const std::byte>(bytes);
  });
}

}  // namespace model

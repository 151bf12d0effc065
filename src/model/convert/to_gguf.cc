#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <optional>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "model/convert/convert.h"
#include "model/convert/model_config.h"
#include "model/convert/tokenizer.h"
#include "model/gguf/gguf_writer.h"
#include "model/gguf/quantise.h"
#include "model/safetensors/safetensors.h"
#include "model/tensor_names.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t kMaxConfigBytes = 4 << 20;

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

/// A tensor of the file to be.
struct OutTensor {
  std::string name;
  const GgufType* type = nullptr;
  std::vector<std::uint64_t> shape;
  const TensorView* source = nullptr;  ///< None: `values` are all there is.
  std::vector<float> values;
  std::uint64_t rotary_heads = 0;  ///< Rows are put in GGUF's order; 0: they stay.
};

struct Plan {
  ModelConfig config;
  TokenizerModel tokenizer;
  std::vector<OutTensor> tensors;
};

Result<json::Value> read_config(const std::filesystem::path& folder) {
  const auto path = folder / "config.json";
  const std::string text = TRY(base::read_file(path, kMaxConfigBytes));
  return base::with_context(json::parse(text), path.string());
}

std::uint64_t rotary_heads(const ModelConfig& config, std::string_view name) {
  if (!pairs_neighbour_rows(config.architecture())) return 0;
  if (name.ends_with(".attn_q.weight")) return config.heads;
  if (name.ends_with(".attn_k.weight")) return config.kv_heads;
  return 0;
}

/// The type of a matrix: the wanted one where its rows fill whole blocks.
const GgufType* matrix_type(const GgufType* wanted, const TensorView& source,
                            std::string_view name) {
  const GgufType* own = find_gguf_type(name_of(source.info.type));
  if (!wanted) return own;
  const bool four_bits = wanted->block_elements > 1 && wanted->name != "Q8_0";
  if (four_bits && (name == "token_embd.weight" || name == "output.weight"))
    wanted = find_gguf_type("Q8_0");
  if (source.info.shape.back() % wanted->block_elements != 0) return find_gguf_type("F16");
  return wanted;
}

Result<OutTensor> plan_tensor(const ModelConfig& config, const TensorView& source,
                              const GgufType* wanted) {
  const auto name = gguf_tensor_name(source.info.name);
  if (!name) return invalid(fmt::format("tensor {} has no place in a GGUF file", source.info.name));
  OutTensor out{.name = *name, .shape = source.info.shape, .source = &source};
  if (out.shape.empty() || out.shape.size() > 2)
    return invalid(
        fmt::format("tensor {} has the shape {}", source.info.name, source.info.description()));
  out.type = out.shape.size() == 1 ? find_gguf_type("F32") : matrix_type(wanted, source, *name);
  if (!out.type || !can_quantise(*out.type))
    return invalid(fmt::format("tensor {} has the type {}; convert it to BF16 first",
                               source.info.name, name_of(source.info.type)));
  out.rotary_heads = rotary_heads(config, *name);
  if (out.rotary_heads != 0 && out.shape[0] % (2 * out.rotary_heads) != 0)
    return invalid(fmt::format("tensor {} has {} rows, which do not fit {} heads", source.info.name,
                               out.shape[0], out.rotary_heads));
  return out;
}

void add_factors(Plan& plan, std::string name, const std::vector<float>& factors) {
  if (factors.empty()) return;
  plan.tensors.push_back({.name = std::move(name),
                          .type = find_gguf_type("F32"),
                          .shape = {factors.size()},
                          .values = factors});
}

/// Every tensor that a model of this shape has is there with its shape.
base::Status check_complete(const Plan& plan) {
  const ModelConfig& c = plan.config;
  const auto want = [&](const std::string& name, std::uint64_t rows,
                        std::uint64_t columns) -> base::Status {
    for (const OutTensor& one : plan.tensors) {
      if (one.name != name) continue;
      if (one.shape[0] == rows && one.shape.back() == columns) return {};
      return invalid(fmt::format("{} is {}, but config.json makes it {} x {}",
                                 one.source->info.name, one.source->info.description(), rows,
                                 columns));
    }
    return invalid(fmt::format("the tensor for {} is missing", name));
  };
  TRY(want("token_embd.weight", c.vocabulary_size, c.hidden_size));
  if (!c.tied_head) TRY(want("output.weight", c.vocabulary_size, c.hidden_size));
  for (std::uint64_t i = 0; i < c.layers; ++i) {
    const std::string block = fmt::format("blk.{}.", i);
    const std::uint64_t q = c.heads * c.head_size;
    const std::uint64_t kv = c.kv_heads * c.head_size;
    if (c.fused()) {
      TRY(want(block + "attn_qkv.weight", q + 2 * kv, c.hidden_size));
      TRY(want(block + "ffn_up.weight", 2 * c.intermediate_size, c.hidden_size));
    } else {
      TRY(want(block + "attn_q.weight", q, c.hidden_size));
      TRY(want(block + "attn_k.weight", kv, c.hidden_size));
      TRY(want(block + "attn_v.weight", kv, c.hidden_size));
      TRY(want(block + "ffn_up.weight", c.intermediate_size, c.hidden_size));
      TRY(want(block + "ffn_gate.weight", c.intermediate_size, c.hidden_size));
    }
    TRY(want(block + "attn_output.weight", c.hidden_size, q));
    TRY(want(block + "ffn_down.weight", c.hidden_size, c.intermediate_size));
  }
  return {};
}

Result<Plan> make_plan(const std::filesystem::path& folder, const Safetensors& weights,
                       const ToGgufOptions& options) {
  const GgufType* wanted = options.type.empty() ? nullptr : find_gguf_type(options.type);
  if (!options.type.empty() && (!wanted || !can_quantise(*wanted)))
    return invalid(fmt::format("type {} cannot be written; use F32, F16, BF16, Q8_0, Q4_0 or Q4_1",
                               options.type));
  Plan plan;
  const json::Value config = TRY(read_config(folder));
  plan.config = TRY(base::with_context(model_config_from_json(config), "config.json"));
  plan.tokenizer = TRY(read_tokenizer(folder, plan.config.vocabulary_size));
  for (const TensorView& tensor : weights.tensors()) {
    // Tied heads are sometimes stored all the same; inverse frequencies follow from the config.
    if (plan.config.tied_head && tensor.info.name == "lm_head.weight") continue;
    if (tensor.info.name.ends_with(".rotary_emb.inv_freq")) continue;
    plan.tensors.push_back(TRY(plan_tensor(plan.config, tensor, wanted)));
  }
  TRY(check_complete(plan));
  add_factors(plan, "rope_freqs.weight", plan.config.llama3_factors);
  add_factors(plan, "rope_factors_long.weight", plan.config.long_factors);
  add_factors(plan, "rope_factors_short.weight", plan.config.short_factors);
  return plan;
}

/// The `general.file_type` of files whose matrices have one type. Source: llama.h, llama_ftype.
std::optional<std::uint32_t> file_type(const Plan& plan) {
  static constexpr std::pair<std::string_view, std::uint32_t> kTypes[] = {
      {"F32", 0}, {"F16", 1}, {"Q4_0", 2}, {"Q4_1", 3}, {"Q8_0", 7}, {"BF16", 32}};
  for (const OutTensor& one : plan.tensors) {
    if (!one.name.ends_with("ffn_down.weight")) continue;
    for (const auto& [name, number] : kTypes)
      if (name == one.type->name) return number;
  }
  return std::nullopt;
}

/// The bytes of a tensor, one at a time.
class TensorBytes {
 public:
  explicit TensorBytes(const Plan& plan) : plan_(plan) {}

  Result<std::span<const std::byte>> of(std::size_t index) {
    const OutTensor& tensor = plan_.tensors[index];
    if (!tensor.source) return std::as_bytes(std::span(tensor.values));
    std::span<const std::byte> bytes = tensor.source->bytes;
    if (tensor.rotary_heads != 0) {
      permuted_.resize(bytes.size());
      permute_rotary_rows(RowOrder::ToGguf, tensor.rotary_heads, bytes.size() / tensor.shape[0],
                          bytes, permuted_);
      bytes = permuted_;
    }
    if (tensor.type->name == name_of(tensor.source->info.type)) return bytes;
    floats_.resize(tensor.source->info.elements());
    TRY(base::with_context(to_floats(tensor.source->info.type, bytes, floats_),
                           tensor.source->info.name));
    const bool finite = std::all_of(floats_.begin(), floats_.end(),
                                    [](float value) { return std::isfinite(value); });
    if (!finite)
      return invalid(
          fmt::format("tensor {} holds values that are not numbers", tensor.source->info.name));
    stored_.resize(floats_.size() / tensor.type->block_elements * tensor.type->block_bytes);
    TRY(quantise(*tensor.type, floats_, stored_));
    return std::span<const std::byte>(stored_);
  }

 private:
  const Plan& plan_;
  std::vector<std::byte> permuted_;
  std::vector<float> floats_;
  std::vector<std::byte> stored_;
};

base::Status write_plan(const base::Context& ctx, const Plan& plan, const std::string& name, int fd,
                        const ConvertProgress& progress) {
  GgufWriter writer;
  writer.text("general.architecture", plan.config.architecture());
  writer.text("general.type", "model");
  writer.text("general.name", name);
  if (const auto type = file_type(plan)) writer.number("general.file_type", *type);
  writer.number("general.quantization_version", 2);
  write_config(plan.config, writer);
  write_tokenizer(plan.tokenizer, writer);
  for (const OutTensor& one : plan.tensors) writer.tensor(one.name, *one.type, one.shape);
  TensorBytes bytes(plan);
  return writer.write(fd, [&](std::size_t i) -> Result<std::span<const std::byte>> {
    TRY(ctx.check());
    if (progress) progress(i, plan.tensors.size());
    return bytes.of(i);
  });
}

}  // namespace

Result<Converted> convert_to_gguf(const base::Context& ctx, const std::filesystem::path& folder,
                                  const std::filesystem::path& file, const ToGgufOptions& options,
                                  const ConvertProgress& progress) {
  const Safetensors weights = TRY(Safetensors::open(folder));
  const Plan plan = TRY(make_plan(folder, weights, options));
  std::string name = options.name;
  if (name.empty()) name = std::filesystem::absolute(folder).lexically_normal().filename().string();
  if (name.empty()) name = plan.config.architecture();
  const std::filesystem::path temporary =
      file.parent_path() / fmt::format(".{}.{}", file.filename().string(), base::random_uuid());
  const base::UniqueFd out(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!out) return base::system_error(fmt::format("creating {}", temporary.string()), errno);
  auto written = write_plan(ctx, plan, name, out.get(), progress);
  if (written && (::fdatasync(out.get()) != 0 || ::rename(temporary.c_str(), file.c_str()) != 0))
    written = base::system_error(fmt::format("writing {}", file.string()), errno);
  if (!written) {
    ::unlink(temporary.c_str());
    return std::move(written).error();
  }
  if (progress) progress(plan.tensors.size(), plan.tensors.size());
  return Converted{.architecture = plan.config.architecture(),
                   .tensors = plan.tensors.size(),
                   .bytes = std::filesystem::file_size(file)};
}

}  // namespace model

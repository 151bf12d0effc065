#include <fmt/format.h>

#include <system_error>
#include <vector>

#include "base/file.h"
#include "model/convert/convert.h"
#include "model/convert/model_config.h"
#include "model/convert/tokenizer.h"
#include "model/gguf/dequantise.h"
#include "model/gguf/gguf_file.h"
#include "model/safetensors/safetensors.h"
#include "model/tensor_names.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

struct OutTensor {
  TensorInfo info;
  const GgufTensor* source = nullptr;
  std::uint64_t rotary_heads = 0;  ///< Rows are put back in Hugging Face's order; 0: they stay.
};

base::Status write_json(const std::filesystem::path& path, const json::Value& value) {
  return base::write_file_atomic(path, json::dump_pretty(value) + "\n", 0644);
}

bool holds_factors(std::string_view name) { return name.starts_with("rope_factors_"); }

Result<std::vector<OutTensor>> plan_tensors(const GgufHeader& header, const ModelConfig& config,
                                            DataType type) {
  std::vector<OutTensor> out;
  for (const GgufTensor& tensor : header.tensors) {
    if (holds_factors(tensor.name)) continue;
    const auto name = hugging_face_tensor_name(tensor.name, config.fused());
    if (!name)
      return invalid(fmt::format("tensor {} has no place in a Hugging Face model", tensor.name));
    if (!can_dequantise(*tensor.type))
      return invalid(fmt::format("tensor {} has the type {}, which cannot be read", tensor.name,
                                 tensor.type->name));
    OutTensor one{.info = {*name, type, tensor.shape}, .source = &tensor};
    if (pairs_neighbour_rows(config.architecture())) {
      if (tensor.name.ends_with(".attn_q.weight")) one.rotary_heads = config.heads;
      if (tensor.name.ends_with(".attn_k.weight")) one.rotary_heads = config.kv_heads;
    }
    if (one.rotary_heads != 0 && tensor.shape[0] % (2 * one.rotary_heads) != 0)
      return invalid(fmt::format("tensor {} has {} rows, which do not fit {} heads", tensor.name,
                                 tensor.shape[0], one.rotary_heads));
    out.push_back(std::move(one));
  }
  return out;
}

base::Status read_factors(const GgufFile& file, ModelConfig& config) {
  for (const auto& [name, into] : {std::pair("rope_factors_long.weight", &config.long_factors),
                                   std::pair("rope_factors_short.weight", &config.short_factors)}) {
    const GgufTensor* tensor = file.header().find_tensor(name);
    if (!tensor) continue;
    into->resize(tensor->elements);
    TRY(base::with_context(dequantise(*tensor->type, file.bytes_of(*tensor), *into), name));
  }
  if (config.long_factors.size() != config.short_factors.size())
    return invalid("only one of rope_factors_long and rope_factors_short is there");
  return {};
}

base::Status write_weights(const base::Context& ctx, const GgufFile& file,
                           const std::vector<OutTensor>& tensors, const std::filesystem::path& path,
                           const ConvertProgress& progress) {
  std::vector<TensorInfo> infos;
  for (const OutTensor& one : tensors) infos.push_back(one.info);
  SafetensorsWriter writer = TRY(SafetensorsWriter::create(path, infos, {{"format", "pt"}}));
  std::vector<float> floats;
  std::vector<std::byte> stored;
  std::vector<std::byte> permuted;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TRY(ctx.check());
    if (progress) progress(i, tensors.size());
    const OutTensor& one = tensors[i];
    floats.resize(one.source->elements);
    TRY(base::with_context(dequantise(*one.source->type, file.bytes_of(*one.source), floats),
                           one.source->name));
    stored.resize(one.info.bytes());
    TRY(from_floats(one.info.type, floats, stored));
    if (one.rotary_heads == 0) {
      TRY(writer.write(stored));
      continue;
    }
    permuted.resize(stored.size());
    permute_rotary_rows(RowOrder::ToHuggingFace, one.rotary_heads,
                        stored.size() / one.info.shape[0], stored, permuted);
    TRY(writer.write(permuted));
  }
  return writer.finish();
}

/// `config.json` and `generation_config.json`.
base::Status write_configs(const std::filesystem::path& folder, const ModelConfig& config,
                           const TokenizerModel& tokenizer, DataType type) {
  json::Object tokens;
  const auto add = [&](const char* name, const std::optional<std::uint32_t>& id) {
    if (id) tokens.emplace(name, *id);
  };
  add("bos_token_id", tokenizer.begin);
  add("eos_token_id", tokenizer.end);
  add("pad_token_id", tokenizer.padding);
  json::Object whole = TRY(to_json(config));
  const char* torch_type = type == DataType::BF16  ? "bfloat16"
                           : type == DataType::F16 ? "float16"
                                                   : "float32";
  whole.emplace("torch_dtype", torch_type);
  for (const auto& member : tokens) whole.emplace(member.key(), member.value());
  TRY(write_json(folder / "config.json", whole));
  return write_json(folder / "generation_config.json", tokens);
}

}  // namespace

Result<Converted> convert_to_hugging_face(const base::Context& ctx,
                                          const std::filesystem::path& path,
                                          const std::filesystem::path& folder,
                                          const ToHuggingFaceOptions& options,
                                          const ConvertProgress& progress) {
  const auto type = data_type_named(options.type);
  if (!type || (*type != DataType::F32 && *type != DataType::F16 && *type != DataType::BF16))
    return invalid(fmt::format("type {} cannot be written; use F32, F16 or BF16", options.type));
  const GgufFile file = TRY(GgufFile::open(path));
  ModelConfig config =
      TRY(base::with_context(model_config_from_gguf(file.header()), path.string()));
  TRY(read_factors(file, config));
  const TokenizerModel tokenizer =
      TRY(base::with_context(tokenizer_from_gguf(file.header()), path.string()));
  const auto tensors =
      TRY(base::with_context(plan_tensors(file.header(), config, *type), path.string()));
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return base::system_error(fmt::format("creating {}", folder.string()), error.value());
  TRY(write_configs(folder, config, tokenizer, *type));
  TRY(write_tokenizer(tokenizer, folder, config.context_tokens));
  const auto weights = folder / "model.safetensors";
  TRY(write_weights(ctx, file, tensors, weights, progress));
  if (progress) progress(tensors.size(), tensors.size());
  return Converted{.architecture = std::string(name_of(config.family)),
                   .tensors = tensors.size(),
                   .bytes = std::filesystem::file_size(weights)};
}

}  // namespace model

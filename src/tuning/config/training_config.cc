#include "tuning/config/training_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "json/value.h"
#include "json/yaml.h"
#include "tuning/config/section_reader.h"

namespace tuning {
namespace {

using base::Error;
using base::ErrorCode;

constexpr std::size_t kMaxConfigBytes = 1 << 20;
/// Of one section; the rest is only counted.
constexpr std::size_t kNamedUnknownKeys = 20;
constexpr std::int64_t kMaxRank = 1024;
constexpr std::int64_t kMaxSequence = 1 << 20;

constexpr std::string_view kOnlyBitsAndBytes = "the base can be kept in bitsandbytes' formats only";
constexpr std::string_view kPlainLora = "the adapter must stay one that every server can load";

void read_model(SectionReader& in, ModelSettings& out) {
  in.text("pretrained_model_name_or_path", out.path);
  in.text("chat_template", out.chat_template);
  for (const std::string_view key : {"torch_dtype", "dtype"}) {
    std::string name;
    in.text(key, name);
    if (name.starts_with("torch.")) name.erase(0, 6);
    if (name == "bfloat16") out.precision = Precision::BFloat16;
    if (name == "float32" || name == "float") out.precision = Precision::Float32;
    if (name == "float16" || name == "half") {
      out.precision = Precision::BFloat16;
      in.note(fmt::format(
          "ModelConfig.{}: float16 is read as bfloat16, which needs no loss scaling", key));
    } else if (!name.empty() && name != "auto" && !out.precision) {
      in.fail(key, fmt::format("'{}' is not one of auto, bfloat16, float32, float16", name));
    }
  }
  in.refuse_unless("load_in_4bit", {"false"}, "set it in QuantizationConfig");
  in.refuse_unless("load_in_8bit", {"false"}, "set it in QuantizationConfig");
  in.note_if_set("trust_remote_code", "no code of a model's repository is ever run");
  in.ignore({"state_dict", "cache_dir", "proxies", "force_download", "resume_download",
             "output_loading_info", "local_files_only", "revision", "device_map", "from_tf",
             "use_safetensors", "attn_implementation"});
}

void read_quantization(SectionReader& in, QuantizationSettings& out) {
  bool four_bit = false;
  bool eight_bit = false;
  BaseFormat four_bit_format = BaseFormat::Fp4;  // bitsandbytes' own default.
  in.boolean("load_in_4bit", four_bit);
  in.boolean("load_in_8bit", eight_bit);
  in.choice<BaseFormat>("bnb_4bit_quant_type", four_bit_format,
                        {{"nf4", BaseFormat::Nf4}, {"fp4", BaseFormat::Fp4}});
  in.boolean("bnb_4bit_use_double_quant", out.double_quantization);
  in.choice<Precision>("bnb_4bit_compute_dtype", out.compute,
                       {{"bfloat16", Precision::BFloat16},
                        {"torch.bfloat16", Precision::BFloat16},
                        {"float16", Precision::BFloat16},
                        {"float32", Precision::Float32},
                        {"torch.float32", Precision::Float32}});
  if (four_bit && eight_bit) in.fail("load_in_8bit", "load_in_4bit is true as well; set only one");
  if (four_bit) out.format = four_bit_format;
  if (eight_bit) out.format = BaseFormat::Int8;
  in.refuse_unless("quant_method", {"bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit"},
                   kOnlyBitsAndBytes);
  in.refuse_unless("llm_int8_skip_modules", {"lm_head"},
                   "the output matrix alone is left as it is");
  in.refuse_unless("llm_int8_threshold", {"6", "6.0", "0", "0.0", "6e0", "6.0e0", "6e+0", "0e0"},
                   "outliers are not computed apart");
  in.ignore(
      {"llm_int8_enable_fp32_cpu_offload", "llm_int8_has_fp16_weight", "bnb_4bit_quant_storage"});
}

void read_target_modules(SectionReader& in, LoraSettings& out) {
  const json::Value* value = in.raw("target_modules");
  if (value == nullptr) return;
  if (const json::String* text = value->if_string()) {
    std::string word = json::to_string(*text);
    out.all_linear = word == "all-linear";
    const bool name = word.find_first_of("^$.*+?()[]{}|\\") == std::string::npos;
    if (out.all_linear) return;
    // A list of one arrives as a plain name in many files; PEFT would read it as a pattern.
    if (name) {
      out.target_modules.push_back(std::move(word));
    } else {
      out.target_pattern = std::move(word);
    }
    return;
  }
  in.texts("target_modules", out.target_modules);
  const auto all = std::find(out.target_modules.begin(), out.target_modules.end(), "all-linear");
  if (all == out.target_modules.end()) return;
  out.all_linear = true;
  out.target_modules.clear();
}

template <class T, class Parse>
void read_pattern(SectionReader& in, std::string_view key, std::map<std::string, T>& out,
                  Parse parse) {
  const json::Value* value = in.raw(key);
  if (value == nullptr) return;
  const json::Object* map = value->if_object();
  if (map == nullptr) {
    return in.fail(key, fmt::format("expected a map from module to number, found {}",
                                    json::kind_name(*value)));
  }
  for (const auto& member : *map) {
    const auto text = spell(member.value());
    const auto number = text ? parse(*text) : std::nullopt;
    if (!number || *number <= 0) {
      in.fail(key, fmt::format("expected a positive number, found {}", json::dump(member.value())));
      continue;
    }
    out[std::string(member.key().data(), member.key().size())] = static_cast<T>(*number);
  }
}

void read_lora(SectionReader& in, LoraSettings& out) {
  in.integer("r", out.rank, {.least = 1, .most = kMaxRank});
  in.number("lora_alpha", out.alpha, {.least = 0, .most = 1e6});
  in.number("lora_dropout", out.dropout, {.least = 0, .most = 0.99});
  in.boolean("use_rslora", out.rank_stabilized);
  read_target_modules(in, out);
  in.integers("layers_to_transform", out.layers, {.least = 0, .most = 10'000});
  read_pattern(in, "rank_pattern", out.rank_pattern, to_integer);
  read_pattern(in, "alpha_pattern", out.alpha_pattern, to_number);
  in.refuse_unless("init_lora_weights", {"true"}, "A starts as PEFT's default, B as zeros");
  in.refuse_unless("exclude_modules", {}, "name what to tune in target_modules");
  in.refuse_unless("peft_type", {"lora"}, "this program trains LoRA adapters");
  in.refuse_unless("task_type", {"causal_lm"}, "this program trains text generation");
  in.refuse_unless("inference_mode", {"false"}, "an adapter in inference mode does not learn");
  in.refuse_unless("bias", {"none"}, kPlainLora);
  in.refuse_unless("use_dora", {"false"}, kPlainLora);
  in.refuse_unless("lora_bias", {"false"}, kPlainLora);
  in.refuse_unless("fan_in_fan_out", {"false"}, "only models with linear layers are tuned");
  in.refuse_unless("modules_to_save", {}, kPlainLora);
  in.refuse_unless("layer_replication", {}, kPlainLora);
  in.refuse_unless("loftq_config", {}, "LoftQ needs the base in full precision");
  in.refuse_unless("megatron_config", {}, "Megatron is not used");
  in.refuse_unless("trainable_token_indices", {}, kPlainLora);
  in.ignore({"auto_mapping", "base_model_name_or_path", "revision", "megatron_core",
             "runtime_config", "layers_pattern"});
}

void read_optimizer(SectionReader& in, TrainingSettings& out) {
  in.number("learning_rate", out.learning_rate, {.least = 0, .most = 10});
  std::string schedule = "linear";
  in.text("lr_scheduler_type", schedule);
  if (schedule == "cosine") out.schedule = LearningRateSchedule::Cosine;
  const bool constant = schedule == "constant" || schedule == "constant_with_warmup";
  if (constant) out.schedule = LearningRateSchedule::Constant;
  if (!constant && schedule != "linear" && schedule != "cosine") {
    in.fail(
        "lr_scheduler_type",
        fmt::format("'{}' is not one of linear, cosine, constant, constant_with_warmup", schedule));
  }
  in.refuse_unless("lr_scheduler_kwargs", {}, "schedules have their usual shape");
  in.integer("warmup_steps", out.warmup_steps, {.least = 0});
  in.number("warmup_ratio", out.warmup_ratio, {.least = 0, .most = 1});
  if (schedule == "constant") out.warmup_steps = 0;
  if (schedule == "constant") out.warmup_ratio = 0;
  in.number("weight_decay", out.weight_decay, {.least = 0, .most = 10});
  in.number("adam_beta1", out.adam_beta1, {.least = 0, .most = 0.999999});
  in.number("adam_beta2", out.adam_beta2, {.least = 0, .most = 0.999999999});
  in.number("adam_epsilon", out.adam_epsilon, {.least = 0, .most = 1});
  in.number("max_grad_norm", out.max_gradient_norm, {.least = 0});
  std::string name = "adamw_torch";
  in.text("optim", name);
  if (!name.starts_with("adamw") && !name.starts_with("paged_adamw")) {
    in.fail("optim", fmt::format("'{}' is not supported: use adamw_torch", name));
  } else if (name.find("8bit") != std::string::npos || name.starts_with("paged")) {
    in.note(
        fmt::format("TrainingArguments.optim: {} is computed as AdamW with 32-bit moments; an "
                    "adapter's are small",
                    name));
  }
  in.note_if_set("optim_args", "AdamW takes its numbers from adam_beta1, adam_beta2, adam_epsilon");
}

void read_loss(SectionReader& in, TrainingSettings& out) {
  in.boolean("completion_only_loss", out.completion_only_loss);
  in.boolean("assistant_only_loss", out.assistant_only_loss);
  in.refuse_unless("label_smoothing_factor", {"0", "0.0", "0e0", "0.0e0"},
                   "the loss is plain cross-entropy");
  in.refuse_unless("neftune_noise_alpha", {}, "no noise is added to embeddings");
  in.refuse_unless("loss_type", {"nll"}, "the loss is plain cross-entropy");
  in.refuse_unless("use_dft", {"false"}, "the loss is plain cross-entropy");
}

void read_rhythm(SectionReader& in, TrainingSettings& out) {
  const std::initializer_list<std::pair<std::string_view, Rhythm>> rhythms = {
      {"no", Rhythm::No},
      {"epoch", Rhythm::Epoch},
      {"steps", Rhythm::Steps},
      // YAML 1.1 readers turn a plain `no` into false.
      {"false", Rhythm::No}};
  in.choice<Rhythm>("save_strategy", out.save, rhythms);
  in.integer("save_steps", out.save_steps, {.least = 1});
  in.integer("save_total_limit", out.save_total_limit, {.least = 1, .most = 1000});
  in.choice<Rhythm>("eval_strategy", out.evaluation, rhythms);
  in.choice<Rhythm>("evaluation_strategy", out.evaluation, rhythms);
  in.integer("eval_steps", out.evaluation_steps, {.least = 1});
  in.integer("logging_steps", out.logging_steps, {.least = 1});
}

/// What this program leaves to others, or does not do.
void refuse_elsewhere(SectionReader& in) {
  in.refuse_unless("push_to_hub", {"false"}, "set the workspace's tuning.output");
  in.refuse_unless("deepspeed", {}, "one process trains on this machine");
  in.refuse_unless("fsdp", {""}, "one process trains on this machine");
  in.refuse_unless("resume_from_checkpoint", {"true", "false"},
                   "the newest checkpoint in output_dir is used");
  in.refuse_unless("padding_free", {"false"}, "use packing");
  in.refuse_unless("eval_packing", {"false"}, "evaluation rows are not packed");
  in.refuse_unless("group_by_length", {"false"}, "the order of rows is random; use packing");
}

/// Keys of TrainingArguments and SFTConfig that mean nothing where one process trains an adapter.
void ignore_training_keys(SectionReader& in) {
  in.ignore({"bf16",
             "bf16_full_eval",
             "fp16_full_eval",
             "fp16_opt_level",
             "tf32",
             "half_precision_backend",
             "ddp_find_unused_parameters",
             "ddp_backend",
             "ddp_bucket_cap_mb",
             "ddp_broadcast_buffers",
             "ddp_timeout",
             "per_device_eval_batch_size",
             "eval_accumulation_steps",
             "eval_delay",
             "eval_on_start",
             "gradient_checkpointing_kwargs",
             "overwrite_output_dir",
             "do_train",
             "do_eval",
             "do_predict",
             "prediction_loss_only",
             "torch_empty_cache_steps",
             "log_level",
             "log_level_replica",
             "log_on_each_node",
             "logging_dir",
             "logging_strategy",
             "logging_first_step",
             "logging_nan_inf_filter",
             "save_safetensors",
             "save_on_each_node",
             "save_only_model",
             "restore_callback_states_from_checkpoint",
             "no_cuda",
             "use_cpu",
             "use_mps_device",
             "jit_mode_eval",
             "use_ipex",
             "local_rank",
             "tpu_num_cores",
             "debug",
             "dataloader_drop_last",
             "dataloader_num_workers",
             "dataloader_prefetch_factor",
             "dataloader_pin_memory",
             "dataloader_persistent_workers",
             "past_index",
             "run_name",
             "disable_tqdm",
             "remove_unused_columns",
             "label_names",
             "load_best_model_at_end",
             "metric_for_best_model",
             "greater_is_better",
             "ignore_data_skip",
             "fsdp_config",
             "fsdp_min_num_params",
             "accelerator_config",
             "parallelism_config",
             "adafactor",
             "length_column_name",
             "report_to",
             "project",
             "trackio_space_id",
             "skip_memory_metrics",
             "use_legacy_prediction_loop",
             "hub_model_id",
             "hub_strategy",
             "hub_token",
             "hub_private_repo",
             "hub_always_push",
             "hub_revision",
             "include_inputs_for_metrics",
             "include_for_metrics",
             "eval_do_concat_batches",
             "auto_find_batch_size",
             "full_determinism",
             "torchdynamo",
             "ray_scope",
             "torch_compile",
             "torch_compile_backend",
             "torch_compile_mode",
             "include_tokens_per_second",
             "include_num_input_tokens_seen",
             "average_tokens_across_devices",
             "batch_eval_metrics",
             "use_liger_kernel",
             "liger_kernel_config",
             "optim_target_modules",
             "model_init_kwargs",
             "dataset_kwargs",
             "dataset_num_proc",
             "dataset_batch_size",
             "eos_token",
             "pad_token",
             "chat_template_path",
             "shuffle_dataset",
             "pad_to_multiple_of",
             "activation_offloading",
             "num_of_sequences",
             "chars_per_token",
             "truncation_mode",
             "use_cache",
             "mp_parameters",
             "split_batches",
             "dispatch_batches"});
}

void read_training(SectionReader& in, TrainingSettings& out) {
  in.text("output_dir", out.output_dir);
  in.integer("per_device_train_batch_size", out.batch_size, {.least = 1, .most = 4096});
  in.integer("gradient_accumulation_steps", out.accumulation_steps, {.least = 1, .most = 65536});
  in.number("num_train_epochs", out.epochs, {.least = 0, .most = 100'000});
  in.integer("max_steps", out.max_steps, {.least = -1});
  read_optimizer(in, out);
  read_loss(in, out);
  read_rhythm(in, out);
  in.seed("seed", out.seed);
  if (in.raw("data_seed") != nullptr) in.seed("data_seed", out.data_seed.emplace(0));
  in.boolean("gradient_checkpointing", out.gradient_checkpointing);
  in.integer("max_seq_length", out.max_length, {.least = 2, .most = kMaxSequence});
  in.integer("max_length", out.max_length, {.least = 2, .most = kMaxSequence});
  bool packing = false;
  Packing strategy = Packing::BestFit;
  in.boolean("packing", packing);
  in.choice<Packing>("packing_strategy", strategy,
                     {{"bfd", Packing::BestFit},
                      {"bfd_split", Packing::BestFit},
                      {"ffd", Packing::BestFit},
                      {"wrapped", Packing::Wrapped}});
  if (packing) out.packing = strategy;
  in.text("dataset_text_field", out.text_column);
  bool half = false;
  in.boolean("fp16", half);
  if (half) in.note("TrainingArguments.fp16: computed in bfloat16, which needs no loss scaling");
  refuse_elsewhere(in);
  ignore_training_keys(in);
}

void read_dataset(SectionReader& in, DatasetSettings& out) {
  in.text("dataset_path", out.path);
  in.text("dataset_extension", out.extension);
  if (out.extension.starts_with('.')) out.extension.erase(0, 1);
  in.boolean("shuffle_dataset", out.shuffle);
  in.seed("shuffle_seed", out.shuffle_seed);
  in.text("context_column", out.context_column);
  in.text("response_column", out.response_column);
  in.text("messages_column", out.messages_column);
  in.number("train_test_split", out.train_share, {.least = 0, .most = 1});
  if (out.train_share == 0) {
    in.fail("train_test_split", "0 leaves no row to train on; 1 trains on all");
    out.train_share = 1;
  }
  if (!out.messages_column.empty() && !out.context_column.empty())
    in.fail("messages_column", "context_column is set as well; set only one");
}

void read_collator(SectionReader& in) {
  // Upstream turns masking off when the tokenizer has no mask token, as every text generator's.
  in.ignore({"mlm", "mlm_probability", "mask_replace_prob", "random_replace_prob",
             "pad_to_multiple_of", "tf_experimental_compile", "return_tensors", "tokenizer",
             "seed"});
}

constexpr std::array<std::string_view, 6> kSections = {"ModelConfig",   "QuantizationConfig",
                                                       "LoraConfig",    "TrainingArguments",
                                                       "DatasetConfig", "DataCollator"};

void report_unknown_keys(std::vector<SectionReader>& readers) {
  for (SectionReader& reader : readers) {
    std::vector<std::string> unknown = reader.unknown_keys();
    if (unknown.size() > kNamedUnknownKeys) {
      reader.fail(unknown[kNamedUnknownKeys],
                  fmt::format("and {} more unknown keys", unknown.size() - kNamedUnknownKeys));
      unknown.resize(kNamedUnknownKeys);
    }
    for (const std::string& key : unknown) {
      const auto elsewhere = std::find_if(readers.begin(), readers.end(), [&](const auto& other) {
        return &other != &reader &&
               std::find(other.known().begin(), other.known().end(), key) != other.known().end();
      });
      const std::string near = nearest(key, reader.known());
      std::string message = "unknown key";
      if (elsewhere != readers.end()) {
        message += fmt::format("; it belongs in {}", elsewhere->name());
      } else if (!near.empty()) {
        message += fmt::format("; did you mean {}?", near);
      }
      reader.fail(key, std::move(message));
    }
  }
}

const json::Object* section_of(const json::Object& root, std::string_view name,
                               Findings& findings) {
  const json::Value* value = root.if_contains(name);
  if (value == nullptr || value->is_null()) return nullptr;
  if (value->is_object()) return &value->get_object();
  findings.errors.push_back({fmt::format("training_config.{}", name),
                             fmt::format("expected a map, found {}", json::kind_name(*value))});
  return nullptr;
}

void report_unknown_sections(const json::Object& root, Findings& findings) {
  const std::vector<std::string> names(kSections.begin(), kSections.end());
  for (const auto& member : root) {
    const std::string name(member.key().data(), member.key().size());
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    const std::string near = nearest(name, names);
    findings.errors.push_back(
        {fmt::format("training_config.{}", name),
         near.empty() ? fmt::format("unknown section; there are {}", fmt::join(names, ", "))
                      : fmt::format("unknown section; did you mean {}?", near)});
  }
}

void read_sections(const json::Object& root, TrainingConfig& config, Findings& findings) {
  report_unknown_sections(root, findings);
  std::vector<SectionReader> readers;
  readers.reserve(kSections.size());
  for (const std::string_view name : kSections)
    readers.emplace_back(std::string(name), section_of(root, name, findings), findings);
  read_model(readers[0], config.model);
  read_quantization(readers[1], config.quantization);
  read_lora(readers[2], config.lora);
  read_training(readers[3], config.training);
  read_dataset(readers[4], config.dataset);
  read_collator(readers[5]);
  report_unknown_keys(readers);
}

}  // namespace

ParsedConfig parse_training_config(std::string_view yaml) {
  ParsedConfig parsed;
  const auto fail = [&](std::string path, std::string message) {
    parsed.errors.push_back({std::move(path), std::move(message)});
    return parsed;
  };
  if (yaml.size() > kMaxConfigBytes)
    return fail("training_config",
                fmt::format("the text is longer than {} bytes", kMaxConfigBytes));
  const auto documents = json::parse_yaml(yaml);
  if (!documents) return fail("training_config", documents.error().message());
  if (documents->size() != 1)
    return fail("training_config",
                fmt::format("expected one document, found {}", documents->size()));
  const json::Object* top = documents->front().value.if_object();
  const json::Value* root = top == nullptr ? nullptr : top->if_contains("training_config");
  if (root == nullptr || !root->is_object())
    return fail("training_config", "expected the key training_config with a map of sections");
  Findings findings;
  for (const auto& member : *top) {
    const std::string key(member.key().data(), member.key().size());
    if (key != "training_config")
      findings.errors.push_back({key, "unknown key; settings belong below training_config"});
  }
  read_sections(root->get_object(), parsed.config, findings);
  parsed.errors = std::move(findings.errors);
  parsed.notes = std::move(findings.notes);
  return parsed;
}

base::Result<ParsedConfig> read_training_config(const std::filesystem::path& file) {
  const std::string text = TRY(base::read_file(file, kMaxConfigBytes));
  ParsedConfig parsed = parse_training_config(text);
  if (!parsed.errors.empty()) {
    return Error(ErrorCode::Invalid,
                 fmt::format("{}: {}", file.string(), json::to_string(parsed.errors)));
  }
  return parsed;
}

}  // namespace tuning

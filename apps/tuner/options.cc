#include "apps/tuner/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <map>

namespace tuner {
namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 done; 1 failed, another attempt may help (network, disk); 2 command line or "
    "configuration wrong; 3 data cannot be used; 4 does not fit into memory; 5 training diverged; "
    "143 stopped by SIGTERM with a checkpoint, the next start goes on.";

void add_fetch_options(CLI::App& app, Options& options) {
  app.add_option("--url", options.urls,
                 "Data to fetch first, http or https; may be given several times")
      ->envname("DATA_URLS")
      ->delimiter(' ');
  app.add_option("--data-dir", options.data_dir, "Where the data files are")
      ->envname("DATASET_FOLDER_PATH")
      ->capture_default_str();
  app.add_option("--extra-ca-file", options.extra_ca_file,
                 "PEM certificates to trust besides the system's, for a company's proxy")
      ->envname("KAITO_EXTRA_CA_FILE");
  app.add_flag("--allow-local-addresses", options.allow_local_addresses,
               "Fetch from link-local and metadata addresses too");
  app.add_option("--max-download-mib", options.max_download_mib, "Most MiB of one file")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}

void add_log_options(CLI::App& app, Options& options) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  options.log_format = terminal ? base::LogFormat::Text : base::LogFormat::Json;
  options.progress = terminal ? ProgressStyle::Text : ProgressStyle::Json;
  app.add_option("--progress", options.progress,
                 "text (one line that is renewed, on standard error), json (lines on standard "
                 "output) or none")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ProgressStyle>{{"text", ProgressStyle::Text},
                                               {"json", ProgressStyle::Json},
                                               {"none", ProgressStyle::None}}))
      ->default_str("text on a terminal, else json");
  app.add_option("--log-format", options.log_format, "text or json")
      ->transform(CLI::CheckedTransformer(std::map<std::string, base::LogFormat>{
          {"text", base::LogFormat::Text}, {"json", base::LogFormat::Json}}))
      ->default_str("text on a terminal, else json");
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, base::LogLevel>{{"debug", base::LogLevel::Debug},
                                                {"info", base::LogLevel::Info},
                                                {"warn", base::LogLevel::Warn},
                                                {"error", base::LogLevel::Error}}))
      ->default_str("info");
}

void add_training_options(CLI::App& app, Options& options) {
  app.add_option("--config", options.config, "The training_config.yaml")
      ->envname("YAML_FILE_PATH")
      ->capture_default_str();
  app.add_option("--model", options.model,
                 "The base: a .gguf file, a folder with one, or a Hugging Face folder (default: "
                 "ModelConfig's)")
      ->envname("KAITO_MODEL");
  app.add_option("--tokenizer", options.tokenizer,
                 "A .gguf file or a folder with tokenizer.json (default: the model's own)");
  app.add_option("--preset", options.preset, "Name of the model, for the card and the adapter");
  app.add_option("--base-model", options.base_model,
                 "base_model_name_or_path of the adapter (default: the preset, else the model)");
  app.add_option("--method", options.method,
                 "lora or qlora: checked against the configuration; chooses the shipped template "
                 "without one")
      ->check(CLI::IsMember({"lora", "qlora"}, CLI::ignore_case));
  app.add_option("--default-target-modules", options.default_targets,
                 "Modules to train when the configuration names none (default: all for phi-3, else "
                 "PEFT's choice)")
      ->envname("DEFAULT_TARGET_MODULES")
      ->delimiter(',');
  app.add_option(
      "--output-dir", options.output_dir,
      "Where the adapter goes (default: TrainingArguments.output_dir, else /mnt/output)");
  app.add_option(
         "--duckdb-library", options.duckdb_library,
         "For parquet files (default: libduckdb.so beside the program, in ../lib, or the system's)")
      ->envname("KAITO_DUCKDB_LIBRARY");
  app.add_option("--threads", options.threads,
                 "Threads that compute (default: the processors this process may use)")
      ->check(CLI::Range(0, 512));
  app.add_option("--kernels", options.kernels, "auto, scalar, avx2, avx512 or avx512_bf16")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, tuning::KernelSet>{{"auto", tuning::KernelSet::Auto},
                                                   {"scalar", tuning::KernelSet::Scalar},
                                                   {"avx2", tuning::KernelSet::Avx2},
                                                   {"avx512", tuning::KernelSet::Avx512},
                                                   {"avx512_bf16", tuning::KernelSet::Avx512Bf16}}))
      ->default_str("auto");
  app.add_option("--memory-mib", options.memory_mib,
                 "Memory the run may take (default: what is free)");
  app.add_option("--checkpoint-seconds", options.checkpoint_seconds,
                 "Time between checkpoints; after a kill the next start goes on from the last")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--host", options.host, "Address for /metrics, /progress and /health")
      ->capture_default_str();
  app.add_option("--port", options.port, "Port for them; 0 lets the system choose")
      ->capture_default_str();
  app.add_flag("!--no-status-server", options.serve_status, "Serve no port");
}

}  // namespace

ParsedOptions parse_options(int argc, char** argv) {
  Options options;
  CLI::App app{"Teaches a language model from data: LoRA and QLoRA adapters in PEFT's format.",
               "kaito-tuner"};
  app.set_version_flag("--version", "kaito-tuner " KAITO_VERSION);
  app.footer(kExitCodes);
  add_training_options(app, options);
  add_fetch_options(app, options);
  add_log_options(app, options);
  app.require_subcommand(0, 1);
  app.fallthrough();
  CLI::App* plan = app.add_subcommand("plan", "Say what a run would need and do, and end");
  CLI::App* fetch = app.add_subcommand("fetch", "Fetch the data of --url into --data-dir, and end");
  CLI::App* plot = app.add_subcommand("plot", "Draw the loss curve of a training_log.jsonl as SVG");
  plot->add_option("log", options.plot_log, "The training_log.jsonl, or the folder it is in")
      ->required();
  plot->add_option("-o,--output", options.plot_output, "The picture (default: loss.svg beside it)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, app.exit(error) == 0 ? 0 : 2};
  }
  if (plan->parsed()) options.command = Command::Plan;
  if (fetch->parsed()) options.command = Command::Fetch;
  if (plot->parsed()) options.command = Command::Plot;
  return {options, 0};
}

}  // namespace tuner

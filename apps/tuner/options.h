#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "tuning/engine/types.h"

namespace tuner {

enum class Command { Train, Plan, Fetch, Plot };
enum class ProgressStyle { Text, Json, None };

/// Everything that `kaito-tuner` can be told. Empty and 0 stand for "as the configuration says".
struct Options {
  Command command = Command::Train;
  std::filesystem::path config = "/mnt/config/training_config.yaml";
  std::filesystem::path model;
  std::filesystem::path tokenizer;  ///< A .gguf file or a folder; empty: the model's own.
  std::string preset;
  std::string base_model;  ///< Name of the base in adapter_config.json; empty: the preset.
  std::string method;      ///< lora or qlora: checked against the configuration.
  std::vector<std::string> default_targets;
  std::filesystem::path data_dir = "/mnt/data";
  std::vector<std::string> urls;
  std::filesystem::path output_dir;
  std::filesystem::path duckdb_library;
  std::filesystem::path extra_ca_file;
  bool allow_local_addresses = false;
  std::uint64_t max_download_mib = 16 << 10;
  int threads = 0;
  tuning::KernelSet kernels = tuning::KernelSet::Auto;
  std::uint64_t memory_mib = 0;  ///< What the run may take; 0: what is free.
  double checkpoint_seconds = 60;
  std::string host = "0.0.0.0";
  std::uint16_t port = 5000;
  bool serve_status = true;
  ProgressStyle progress = ProgressStyle::Json;
  base::LogFormat log_format = base::LogFormat::Text;
  base::LogLevel log_level = base::LogLevel::Info;
  std::filesystem::path plot_log;     ///< Plot: a training_log.jsonl.
  std::filesystem::path plot_output;  ///< Plot: the picture.
};

/// What the command line asks for: options to run with, or an exit status after help, version or a
/// mistake (2).
struct ParsedOptions {
  std::optional<Options> options;
  int exit_status = 0;
};
ParsedOptions parse_options(int argc, char** argv);

}  // namespace tuner

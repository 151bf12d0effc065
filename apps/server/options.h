#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "inference/adapters/adapter_list.h"
#include "inference/http/sampling_fields.h"

namespace server {

/// Everything that `kaito-server` can be told. 0 stands for "choose".
struct Options {
  std::filesystem::path model;    ///< A .gguf file, or a folder with exactly one.
  std::string served_model_name;  ///< Default: the file's name without its ending.
  std::string host = "0.0.0.0";
  std::uint16_t port = 5000;
  int threads = 0;             ///< Most compute threads; fewer are used when that is faster.
  bool fixed_threads = false;  ///< Always use `threads`.
  int ctx_size = 0;            ///< Tokens of one request, prompt and answer.
  int parallel = 0;            ///< Requests computed at once.
  int cache_tokens = 0;        ///< Tokens of all requests together.
  int batch_size = 512;
  std::size_t max_queue = 256;
  inference::GenerationDefaults preset;
  std::vector<inference::AdapterEntry> adapters;
  std::filesystem::path adapters_file;
  std::filesystem::path adapters_auth;
  std::filesystem::path
      adapters_cache;  ///< Default: a folder of this process among temporary files.
  bool use_chat_template = true;
  bool check_tensors = false;
  base::LogFormat log_format = base::LogFormat::Text;
  base::LogLevel log_level = base::LogLevel::Info;
};

/// What the command line asks for: options to run with, or an exit status after help, version or a
/// mistake (2).
struct ParsedOptions {
  std::optional<Options> options;
  int exit_status = 0;
};
ParsedOptions parse_options(int argc, char** argv);

/// The model file that `path` means. Errors: NotFound, Invalid (no or several files; names them).
base::Result<std::filesystem::path> find_model_file(const std::filesystem::path& path);

}  // namespace server

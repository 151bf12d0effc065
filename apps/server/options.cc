#include "apps/server/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <system_error>
#include <vector>

namespace server {

using base::Error;
using base::ErrorCode;

namespace {

/// Every folder of `dir` that holds an adapter. Its strength is what the environment variable of
/// the same name says, as in KAITO's pods.
base::Result<std::vector<inference::AdapterEntry>> adapters_in(const std::filesystem::path& dir) {
  std::vector<inference::AdapterEntry> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(dir, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (!std::filesystem::exists(entry->path() / "adapter_config.json", ignored)) continue;
    inference::AdapterEntry one{
        .name = entry->path().filename().string(), .image = {}, .path = entry->path()};
    if (const char* strength = std::getenv(one.name.c_str()))
      one.strength = TRY(base::with_context(inference::parse_strength(strength), one.name));
    found.push_back(std::move(one));
  }
  if (error) return base::system_error(fmt::format("reading {}", dir.string()), error.value());
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return found;
}

/// What the adapter flags mean. Errors: Invalid naming the flag.
base::Result<std::vector<inference::AdapterEntry>> fixed_adapters(
    const std::vector<std::string>& flags, const std::filesystem::path& dir) {
  std::vector<inference::AdapterEntry> all;
  for (const std::string& flag : flags)
    all.push_back(TRY(base::with_context(inference::parse_adapter_flag(flag), "--adapter")));
  if (!dir.empty()) {
    auto more = TRY(base::with_context(adapters_in(dir), "--adapters-dir"));
    std::move(more.begin(), more.end(), std::back_inserter(all));
  }
  TRY(base::with_context(inference::check_adapters(all), "--adapter"));
  return all;
}

}  // namespace

ParsedOptions parse_options(int argc, char** argv) {
  Options options;
  CLI::App app{"Serves a language model over HTTP: POST /chat, the OpenAI API, /health, /metrics.",
               "kaito-server"};
  app.set_version_flag("--version", "kaito-server " KAITO_VERSION);
  app.add_option("--model", options.model, "A .gguf file, or a folder that holds exactly one")
      ->required()
      ->envname("KAITO_MODEL");
  app.add_option("--served-model-name", options.served_model_name,
                 "Name of the model in the API (default: the file's name)");
  app.add_option("--host", options.host, "Address to listen on")->capture_default_str();
  app.add_option("--port", options.port, "Port to listen on; 0 lets the system choose")
      ->capture_default_str();
  app.add_option("--threads", options.threads,
                 "Most compute threads (default: the processors this process may use)")
      ->check(CLI::Range(0, 512));
  app.add_flag("--fixed-threads", options.fixed_threads,
               "Always use --threads instead of fewer when that is faster");
  app.add_option(
         "--ctx-size", options.ctx_size,
         "Most tokens of one request, prompt and answer (default: the model's, at most 8192)")
      ->check(CLI::Range(0, 1 << 24));
  app.add_option("--parallel", options.parallel, "Requests computed at once (default: 32)")
      ->check(CLI::Range(0, 256));
  app.add_option(
         "--cache-tokens", options.cache_tokens,
         "Tokens of all requests together that fit the cache (default: --ctx-size, twice that "
         "if --parallel is above 4)")
      ->check(CLI::Range(0, 1 << 26));
  app.add_option("--batch-size", options.batch_size, "Most tokens computed at once")
      ->capture_default_str()
      ->check(CLI::Range(32, 8192));
  app.add_option("--max-queue", options.max_queue, "Requests that may wait; more get 429")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000));
  std::vector<std::string> adapter_flags;
  std::filesystem::path adapters_dir;
  app.add_option("--adapter", adapter_flags, "NAME=FOLDER[:STRENGTH]: a LoRA adapter; repeatable")
      ->allow_extra_args(false);
  app.add_option("--adapters-dir", adapters_dir,
                 "A folder of adapter folders; the environment variable of an adapter's name is "
                 "its strength");
  app.add_option("--adapters-file", options.adapters_file,
                 "A file that names the adapters; followed while the server runs");
  app.add_option("--adapters-auth", options.adapters_auth,
                 "Registry credentials: a docker config.json, or a folder of such files");
  app.add_option("--adapters-cache", options.adapters_cache,
                 "Where images of adapters are unpacked while they are loaded");
  app.add_option("--temperature", options.preset.temperature, "Used when a request has none")
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--top-p", options.preset.top_p, "Used when a request has none")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--top-k", options.preset.top_k, "Used when a request has none; 0 means all");
  app.add_option("--chat-template", options.use_chat_template, "The model's own (auto) or none")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, bool>{{"auto", true}, {"none", false}}))
      ->default_str("auto");
  app.add_flag("--check-tensors", options.check_tensors,
               "Look for weights that are not numbers before serving");
  app.add_option("--log-format", options.log_format, "text or json")
      ->transform(CLI::CheckedTransformer(std::map<std::string, base::LogFormat>{
          {"text", base::LogFormat::Text}, {"json", base::LogFormat::Json}}))
      ->default_str(::isatty(STDERR_FILENO) != 0 ? "text" : "json");
  options.log_format = ::isatty(STDERR_FILENO) != 0 ? base::LogFormat::Text : base::LogFormat::Json;
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, base::LogLevel>{{"debug", base::LogLevel::Debug},
                                                {"info", base::LogLevel::Info},
                                                {"warn", base::LogLevel::Warn},
                                                {"error", base::LogLevel::Error}}))
      ->default_str("info");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, app.exit(error) == 0 ? 0 : 2};
  }
  auto adapters = fixed_adapters(adapter_flags, adapters_dir);
  if (!adapters) {
    fmt::print(stderr, "{}\n", adapters.error().message());
    return {std::nullopt, 2};
  }
  options.adapters = *std::move(adapters);
  return {options, 0};
}

base::Result<std::filesystem::path> find_model_file(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return Error(ErrorCode::NotFound,
                 fmt::format("there is no model at {}; give --model a .gguf file", path.string()));
  }
  if (!fs::is_directory(status)) return path;
  std::vector<std::string> files;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == ".gguf") files.push_back(entry->path().filename().string());
  if (error) return base::system_error(fmt::format("reading {}", path.string()), error.value());
  if (files.size() == 1) return path / files.front();
  if (files.empty())
    return Error(ErrorCode::NotFound, fmt::format("{} holds no .gguf file", path.string()));
  std::sort(files.begin(), files.end());
  return Error(ErrorCode::Invalid,
               fmt::format("{} holds several .gguf files ({}); name one with --model",
                           path.string(), fmt::join(files, ", ")));
}

}  // namespace server

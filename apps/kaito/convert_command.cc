#include "apps/kaito/convert_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "apps/kaito/image_admin.h"
#include "model/convert/convert.h"

namespace kaito {
namespace {

struct ConvertOptions {
  std::string source;
  std::string destination;
  std::string type;
  std::string name;
  bool force = false;
};

/// Where to: beside the source when nothing is said.
std::filesystem::path destination_of(const ConvertOptions& options, bool to_gguf) {
  if (!options.destination.empty()) return options.destination;
  std::filesystem::path path = std::filesystem::absolute(options.source).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (to_gguf) return path += ".gguf";
  return path.replace_extension("");
}

base::Status convert(const base::Context& ctx, const ConvertOptions& options) {
  std::error_code error;
  const bool to_gguf = std::filesystem::is_directory(options.source, error);
  const std::filesystem::path destination = destination_of(options, to_gguf);
  const std::filesystem::path result = to_gguf ? destination : destination / "model.safetensors";
  if (!options.force && std::filesystem::exists(result, error))
    return base::Error(base::ErrorCode::AlreadyExists,
                       fmt::format("{} is there already; --force replaces it", result.string()));
  const auto converted =
      to_gguf
          ? model::convert_to_gguf(ctx, options.source, destination,
                                   {.type = options.type, .name = options.name})
          : model::convert_to_hugging_face(ctx, options.source, destination,
                                           {.type = options.type.empty() ? "BF16" : options.type});
  if (!converted) return converted.error();
  fmt::print("wrote {}: {}, {} tensors, {:.1f} MiB\n", destination.string(),
             converted->architecture, converted->tensors,
             static_cast<double>(converted->bytes) / (1 << 20));
  return {};
}

}  // namespace

void add_convert_command(CLI::App& model, Session& session) {
  const auto options = std::make_shared<ConvertOptions>();
  CLI::App* command = model.add_subcommand(
      "convert", "Convert a Hugging Face folder to a GGUF file, or a GGUF file to such a folder");
  command->add_option("SOURCE", options->source, "A folder with config.json, or a .gguf file")
      ->required();
  command->add_option("DESTINATION", options->destination,
                      "What to write (default: the source's name beside it)");
  command->add_option("--type", options->type,
                      "Of the weights: F32, F16, BF16, and for GGUF Q8_0, Q4_0, Q4_1 (default: as "
                      "they are; folders BF16)");
  command->add_option("--name", options->name, "Name in the GGUF file (default: the folder's)");
  command->add_flag("--force", options->force, "Replace what is there");
  command->footer(
      "Families: llama, mistral, qwen2, phi-3. An unquantised model comes back bit for bit.");
  command->callback([&session, options] {
    session.run = [options] {
      return run_interruptible(
          [&](const base::Context& ctx) { return exit_with(convert(ctx, *options)); });
    };
  });
}

}  // namespace kaito

#include "apps/kaito/model_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stop_token>

#include "apps/kaito/convert_command.h"
#include "apps/kaito/image_admin.h"
#include "apps/kaito/model_pull.h"
#include "apps/kaito/registry_access.h"
#include "apps/kaito/transfer_display.h"
#include "base/context.h"
#include "base/signals.h"
#include "model/catalog/catalog.h"
#include "model/gguf/gguf.h"
#include "oci/failure.h"
#include "oci/limits.h"
#include "oci/model_image.h"

namespace kaito {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

struct ImportOptions {
  std::string file;
  std::string name;
  std::string registry;
  std::string tag;
  RegistryAccess access;
};

/// What `list`, `inspect` and `rm` are told.
struct ImageOptions {
  std::string image;  ///< Of `list`: the registry.
  RegistryAccess access;
};

/// `SmolLM2-135M.Q4_1.gguf` -> `smollm2-135m.q4_1`: what may stand in an image's name.
std::string name_from_file(const std::filesystem::path& file) {
  std::string name;
  for (const char c : file.stem().string()) {
    const char low = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool word = (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9');
    if (word) {
      name += low;
    } else if (!name.empty() && name.back() != '-' && name.back() != '.' && name.back() != '_') {
      name += low == '.' || low == '_' ? low : '-';
    }
  }
  while (!name.empty() && (name.back() == '-' || name.back() == '.' || name.back() == '_'))
    name.pop_back();
  return name;
}

Result<oci::Reference> import_reference(const Session& session, const ImportOptions& options) {
  std::string name = options.name.empty() ? name_from_file(options.file) : options.name;
  std::string tag = options.tag.empty() ? "latest" : options.tag;
  if (const auto preset = model::resolve_preset(name)) {
    name = preset->name;
    if (options.tag.empty()) tag = preset->tag;
  }
  const std::string registry =
      options.registry.empty() ? TRY(running_registry(session)) : options.registry;
  return base::with_context(
      oci::Reference::parse(fmt::format("{}/kaito-{}:{}", registry, name, tag)),
      "choose another --name, --tag or --registry");
}

Status import_model(const base::Context& ctx, const Session& session,
                    const ImportOptions& options) {
  const model::GgufInfo info =
      TRY(base::with_context(model::read_gguf_info(options.file), options.file));
  const oci::Reference ref = TRY(import_reference(session, options));
  std::error_code error;
  const auto size = std::filesystem::file_size(options.file, error);
  fmt::print("{:<9} {}: {}, {}, {} parameters, context {} tokens, {}\n", "model", options.file,
             info.architecture, info.quantization, oci::format_param_size(info.parameters),
             info.context_tokens, oci::format_bytes(error ? 0 : size));
  std::fflush(stdout);

  oci::ModelPackOptions pack;
  pack.name = ref.repository.substr(ref.repository.rfind('/') + 1)
                  .substr(std::string_view("kaito-").size());
  pack.title = info.name;
  pack.family = info.architecture;
  pack.param_size = oci::format_param_size(info.parameters);
  pack.quantization = info.quantization;
  const auto packed = [&] {
    TransferDisplay display("reading");
    return oci::pack_model(ctx, options.file, pack, display.callback());
  }();
  if (!packed) return packed.error();
  const auto client = TRY(make_registry_client(options.access));
  const auto pushed = [&] {
    TransferDisplay display("pushing");
    return oci::push_model(ctx, *client, ref, *packed, display.callback());
  }();
  if (!pushed) return Error(pushed.error()).context(fmt::format("pushing to {}", ref.domain));
  fmt::print("{}\n", ref.with_digest(pushed->digest).text());
  return {};
}

Status inspect_file(const std::string& file) {
  const model::GgufInfo info = TRY(base::with_context(model::read_gguf_info(file), file));
  fmt::print(
      "file           {}\nformat         GGUF version {}\narchitecture   {}\nname           "
      "{}\nparameters     {}\nquantization   {}\ncontext        {} tokens\nchat template  "
      "{}\ntensors        {}\n",
      file, info.version, info.architecture, info.name, info.parameters, info.quantization,
      info.context_tokens, info.has_chat_template ? "yes" : "no", info.tensor_count);
  return {};
}

void add_import(CLI::App& model, Session& session) {
  CLI::App* command =
      model.add_subcommand("import", "Pack a GGUF file as a model image and push it to a registry");
  const auto options = std::make_shared<ImportOptions>();
  command->add_option("FILE", options->file, "GGUF file")->required();
  command->add_option("--name", options->name,
                      "Preset or name of the model (default: from the file's name)");
  command->add_option("--registry", options->registry,
                      "HOST:PORT of the registry (default: the one of `kaito up`)");
  command->add_option("--tag", options->tag,
                      "Tag of the image (default: the preset's, else latest)");
  add_access_options(*command, options->access);
  add_data_dir_option(*command, session);
  command->callback([&session, options] {
    session.run = [&session, options] {
      return run_interruptible([&](const base::Context& ctx) {
        return exit_with(import_model(ctx, session, *options));
      });
    };
  });
}

void add_pull(CLI::App& model, Session& session) {
  CLI::App* command =
      model.add_subcommand("pull", "Download a model image into a folder, once per node");
  const auto options = std::make_shared<PullOptions>();
  command->add_option("REF", options->reference, "Model image: REGISTRY/NAME:TAG")->required();
  command->add_option("--store", options->store, "Folder of the node's store, shared by all pulls")
      ->required();
  command->add_option("--output", options->output, "Folder that gets the model's files")
      ->required();
  add_access_options(*command, options->access);
  command->footer(
      "Exit codes: 0 done, 2 usage, 3 not found, 4 digest mismatch, 5 disk full, 6 registry "
      "unreachable, 1 other.\nA transfer that was interrupted goes on where it stopped.");
  command->callback([&session, options] {
    session.run = [options] {
      return run_interruptible(
          [&](const base::Context& ctx) { return pull_model_image(ctx, *options); });
    };
  });
}

using ImageWork = Status (*)(const base::Context&, const Session&, const ImageOptions&);

/// A command about images; the caller adds what it takes.
CLI::App* add_image_command(CLI::App& model, Session& session, const std::string& name,
                            const std::string& help, ImageWork work,
                            std::shared_ptr<ImageOptions> options) {
  CLI::App* command = model.add_subcommand(name, help);
  add_access_options(*command, options->access);
  add_data_dir_option(*command, session);
  command->callback([&session, options = std::move(options), work] {
    session.run = [&session, options, work] {
      return run_interruptible(
          [&](const base::Context& ctx) { return exit_with(work(ctx, session, *options)); });
    };
  });
  return command;
}

void add_list(CLI::App& model, Session& session) {
  const auto options = std::make_shared<ImageOptions>();
  const ImageWork list = [](const base::Context& ctx, const Session& s, const ImageOptions& o) {
    return list_images(ctx, s, o.image, o.access, Output::Text);
  };
  CLI::App* command =
      add_image_command(model, session, "list", "List the images of a registry", list, options);
  command->add_option("--registry", options->image,
                      "HOST:PORT of the registry (default: the one of `kaito up`)");
}

void add_inspect(CLI::App& model, Session& session) {
  const auto options = std::make_shared<ImageOptions>();
  const ImageWork work = [](const base::Context& ctx, const Session& s,
                            const ImageOptions& o) -> Status {
    std::error_code error;
    if (std::filesystem::is_regular_file(o.image, error)) return inspect_file(o.image);
    return show_image(ctx, TRY(local_reference(s, o.image)), o.access, Output::Text);
  };
  CLI::App* command = add_image_command(model, session, "inspect",
                                        "Show what a GGUF file or a model image is", work, options);
  command
      ->add_option("FILE|REF", options->image,
                   "GGUF file, or model image: [REGISTRY/]NAME[:TAG|@DIGEST]")
      ->required();
}

void add_remove(CLI::App& model, Session& session) {
  const auto options = std::make_shared<ImageOptions>();
  const ImageWork work = [](const base::Context& ctx, const Session& s,
                            const ImageOptions& o) -> Status {
    return remove_image(ctx, TRY(local_reference(s, o.image)), o.access);
  };
  CLI::App* command = add_image_command(model, session, "rm",
                                        "Delete a model image from its registry", work, options);
  command->add_option("REF", options->image, "Model image: [REGISTRY/]NAME[:TAG|@DIGEST]")
      ->required();
}

}  // namespace

void add_model_commands(CLI::App& app, Session& session) {
  CLI::App* model = app.add_subcommand(
      "model", "Model files as images: import, pull, list, inspect, rm, convert");
  model->require_subcommand(1);
  add_import(*model, session);
  add_pull(*model, session);
  add_list(*model, session);
  add_inspect(*model, session);
  add_remove(*model, session);
  add_convert_command(*model, session);
}

}  // namespace kaito

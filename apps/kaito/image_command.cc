#include "apps/kaito/image_command.h"

#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <iostream>
#include <map>
#include <memory>

#include "apps/kaito/image_admin.h"
#include "apps/kaito/image_transfer.h"

namespace kaito {

namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 done, 1 other, 2 usage, 3 not found, 4 digest mismatch, 5 disk full, 6 registry "
    "unreachable, 130 interrupted.\nA transfer that was interrupted goes on where it stopped when "
    "the same command is run again.";

/// A subcommand that runs `work` with its options; the caller adds the flags.
template <class Options>
CLI::App* add_command(CLI::App& image, Session& session, const std::string& name,
                      const std::string& help, std::shared_ptr<Options> options,
                      int (*work)(const base::Context&, const Session&, const Options&)) {
  CLI::App* command = image.add_subcommand(name, help);
  command->footer(kExitCodes);
  command->callback([&session, options = std::move(options), work] {
    session.run = [&session, options, work] {
      return run_interruptible(
          [&](const base::Context& ctx) { return work(ctx, session, *options); });
    };
  });
  return command;
}

void add_output_option(CLI::App& command, Output& output) {
  command
      .add_option_function<std::string>(
          "-o,--output",
          [&output](const std::string& form) {
            output = form == "json" ? Output::Json : Output::Text;
          },
          "text or json; with json, progress goes to standard error")
      ->check(CLI::IsMember({"text", "json"}));
}

void add_pull(CLI::App& image, Session& session) {
  const auto options = std::make_shared<ImagePull>();
  options->kind = "auto";
  CLI::App* command = add_command(image, session, "pull", "Land the files of an image in a folder",
                                  options, pull_image_files);
  command->add_option("REF", options->reference, "[REGISTRY/]NAME[:TAG|@DIGEST]")->required();
  command->add_option("DIR", options->folder, "Folder that gets the files; made when missing")
      ->required();
  command
      ->add_option("--kind", options->kind,
                   "What is wanted of a container image: adapter and dataset are its /data, model "
                   "its weights, files everything; auto takes /data or else weights")
      ->check(CLI::IsMember({"auto", "adapter", "dataset", "model", "files"}))
      ->capture_default_str();
  command->add_option("--store", options->store,
                      "Folder of the node's store, shared by all pulls (default: none)");
  add_access_options(*command, options->access);
  add_output_option(*command, options->output);
  add_data_dir_option(*command, session);
}

void add_push(CLI::App& image, Session& session) {
  const auto options = std::make_shared<ImagePush>();
  options->kind = "files";
  options->compression = "gzip";
  CLI::App* command =
      add_command(image, session, "push", "Push a folder as an image", options, push_image_files);
  command->add_option("DIR", options->folder, "Folder to push")->required();
  command->add_option("REF", options->reference, "[REGISTRY/]NAME[:TAG]")->required();
  command
      ->add_option("--kind", options->kind,
                   "adapter: a PEFT adapter under /data, as tuning writes it; dataset: the folder "
                   "under /data; model: CNCF ModelPack; files: an artifact as `oras push` writes")
      ->check(CLI::IsMember({"adapter", "dataset", "model", "files"}))
      ->capture_default_str();
  command->add_option("--model-name", options->model_name,
                      "Preset that an adapter belongs to, or name of a model");
  command
      ->add_option("--annotation", options->annotations,
                   "KEY=VALUE for the manifest; may be given several times")
      ->allow_extra_args(false);
  command
      ->add_option("--compression", options->compression,
                   "Of adapters and datasets; models and files travel as they are")
      ->check(CLI::IsMember({"gzip", "zstd", "none"}))
      ->capture_default_str();
  command->add_flag("--check", options->check,
                    "Only ask the registry whether pushing would be allowed");
  add_access_options(*command, options->access);
  add_output_option(*command, options->output);
  add_data_dir_option(*command, session);
}

void add_copy(CLI::App& image, Session& session) {
  const auto options = std::make_shared<ImageCopy>();
  CLI::App* command = add_command(image, session, "copy",
                                  "Copy an image, or an index with all its images, byte for byte",
                                  options, copy_registry_image);
  command->add_option("FROM", options->from, "[REGISTRY/]NAME[:TAG|@DIGEST]")->required();
  command->add_option("TO", options->to, "[REGISTRY/]NAME[:TAG]")->required();
  add_access_options(*command, options->access);
  add_output_option(*command, options->output);
  add_data_dir_option(*command, session);
}

/// What the commands about one image or registry are told.
struct Target {
  std::string name;
  RegistryAccess access;
  Output output = Output::Text;
};

void add_target_options(CLI::App& command, Session& session, Target& target) {
  add_access_options(command, target.access);
  add_data_dir_option(command, session);
}

int show(const base::Context& ctx, const Session& session, const Target& target) {
  const auto ref = local_reference(session, target.name);
  return exit_with(ref ? show_image(ctx, *ref, target.access, target.output)
                       : base::Status(ref.error()));
}

int list(const base::Context& ctx, const Session& session, const Target& target) {
  return exit_with(list_images(ctx, session, target.name, target.access, target.output));
}

int remove(const base::Context& ctx, const Session& session, const Target& target) {
  const auto ref = local_reference(session, target.name);
  return exit_with(ref ? remove_image(ctx, *ref, target.access) : base::Status(ref.error()));
}

void add_inspect(CLI::App& image, Session& session) {
  const auto target = std::make_shared<Target>();
  CLI::App* command = add_command(image, session, "inspect",
                                  "Show what an image is and which files it carries", target, show);
  command->add_option("REF", target->name, "[REGISTRY/]NAME[:TAG|@DIGEST]")->required();
  add_output_option(*command, target->output);
  add_target_options(*command, session, *target);
}

void add_list(CLI::App& image, Session& session) {
  const auto target = std::make_shared<Target>();
  CLI::App* command =
      add_command(image, session, "list", "List the images of a registry", target, list);
  command->add_option("REGISTRY", target->name, "HOST:PORT (default: the one of `kaito up`)");
  add_output_option(*command, target->output);
  add_target_options(*command, session, *target);
}

void add_remove(CLI::App& image, Session& session) {
  const auto target = std::make_shared<Target>();
  CLI::App* command = add_command(image, session, "rm",
                                  "Delete a tag, and the image with its last tag", target, remove);
  command->add_option("REF", target->name, "[REGISTRY/]NAME[:TAG|@DIGEST]")->required();
  add_target_options(*command, session, *target);
}

/// A line from standard input, not shown when it is a terminal.
std::string read_password() {
  termios before{};
  const bool terminal = ::tcgetattr(STDIN_FILENO, &before) == 0;
  if (terminal) {
    termios quiet = before;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    fmt::print(stderr, "password: ");
  }
  std::string password;
  std::getline(std::cin, password);
  if (terminal) {
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
    fmt::print(stderr, "\n");
  }
  return password;
}

int login(const base::Context& ctx, const Session&, const LoginOptions& options) {
  LoginOptions complete = options;
  if (complete.password.empty()) complete.password = read_password();
  return exit_with(log_in(ctx, complete));
}

void add_login(CLI::App& image, Session& session) {
  const auto options = std::make_shared<LoginOptions>();
  CLI::App* command =
      add_command(image, session, "login",
                  "Check user and password with a registry and keep them in the docker config; the "
                  "password is read from standard input",
                  options, login);
  command->add_option("REGISTRY", options->registry, "HOST[:PORT][/PATH]")->required();
  command->add_option("-u,--username", options->user, "User")->required();
  add_access_options(*command, options->access);
}

int gc(const base::Context& ctx, const Session& session, const StoreCollect& options) {
  StoreCollect complete = options;
  if (complete.max_bytes == 0 && complete.max_age_seconds == 0) {
    fmt::print(stderr, "error: say what may stay: --max-size SIZE, --max-age AGE or both\n");
    return static_cast<int>(ModelExit::Usage);
  }
  if (complete.store.empty()) complete.store = session.dir().models().string();
  return collect_store(ctx, complete);
}

void add_gc(CLI::App& image, Session& session) {
  const auto options = std::make_shared<StoreCollect>();
  CLI::App* command = add_command(image, session, "gc",
                                  "Remove blobs of a node's store that nothing uses", options, gc);
  command->add_option("--store", options->store,
                      "Folder of the store (default: the one of `kaito up`)");
  command
      ->add_option("--max-size", options->max_bytes,
                   "The longest unused go until no more than this is left: bytes, or with a unit "
                   "such as 50GiB")
      ->transform(CLI::AsSizeValue(false));
  command
      ->add_option("--max-age", options->max_age_seconds,
                   "Unused for this long goes in any case: seconds, or with a unit such as 12h")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, std::uint64_t>{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}));
  command->add_flag("--dry-run", options->dry_run, "Only say what would go");
  add_output_option(*command, options->output);
  add_data_dir_option(*command, session);
}

}  // namespace

void add_image_commands(CLI::App& app, Session& session) {
  CLI::App* image = app.add_subcommand(
      "image", "Adapters, datasets, models and files as images: pull, push, copy, inspect, ...");
  image->require_subcommand(1);
  image->footer(
      "Examples:\n"
      "  kaito image push ./adapter my-adapter:1 --kind adapter --model-name "
      "phi-3-mini-4k-instruct\n"
      "  kaito image pull my-adapter:1 ./out\n"
      "  kaito image inspect ghcr.io/team/dataset:1 -o json\n"
      "  kaito image copy ghcr.io/team/dataset:1 dataset:1\n"
      "  echo $PASSWORD | kaito image login ghcr.io -u me\n"
      "A name without registry is one of the running `kaito up`.");
  add_pull(*image, session);
  add_push(*image, session);
  add_copy(*image, session);
  add_inspect(*image, session);
  add_list(*image, session);
  add_remove(*image, session);
  add_login(*image, session);
  add_gc(*image, session);
}

}  // namespace kaito

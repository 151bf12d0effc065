#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "apps/kaito/chat_command.h"
#include "apps/kaito/completion_command.h"
#include "apps/kaito/image_command.h"
#include "apps/kaito/model_command.h"
#include "apps/kaito/options.h"
#include "apps/kaito/status_command.h"
#include "apps/kaito/up_command.h"

namespace kaito {

int fail(const base::Error& error) {
  fmt::print(stderr, "error: {}\n", error.message());
  return 1;
}

void add_data_dir_option(CLI::App& command, Session& session) {
  command.add_option("--data-dir", session.data_dir, "Folder of the state (default: /var/lib/kaito for root, else ~/.local/share/kaito)")
      ->envname("KAITO_DATA_DIR");
}

namespace {

void add_version_command(CLI::App& app, Session& session) {
  app.add_subcommand("version", "Print the version")->callback([&session] {
    session.run = [] {
      fmt::print("kaito {}\n", KAITO_VERSION);
      return 0;
    };
  });
}

int run(int argc, char** argv) {
  CLI::App app{"Kaito: one Workspace object becomes GPU nodes and an inference server.", "kaito"};
  app.set_version_flag("--version", fmt::format("kaito {}", KAITO_VERSION));
  app.require_subcommand(1);
  app.footer(
      "A first session:\n"
      "  kaito up --detach                                     start everything on this machine\n"
      "  export KUBECONFIG=$(kaito status --output kubeconfig)\n"
      "  kaito model import model.gguf --name smollm2-135m-instruct\n"
      "  kubectl apply -f examples/quickstart/workspace.yaml\n"
      "  kaito chat workspace-smollm2\n"
      "  kaito down");
  Session session;
  add_up_command(app, session);
  add_down_command(app, session);
  add_status_command(app, session);
  add_model_commands(app, session);
  add_image_commands(app, session);
  add_chat_command(app, session);
  add_version_command(app, session);
  add_completion_command(app, session);
  const auto commands = app.get_subcommands(nullptr);
  const auto is_named = [&](const CLI::App* command) { return command->check_name(argv[1]); };
  if (argc > 1 && argv[1][0] != '-' && std::none_of(commands.begin(), commands.end(), is_named)) {
    fmt::print(stderr, "error: unknown command '{}'; see: kaito --help\n", argv[1]);
    return 2;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 prints help, version or the mistake; mistakes of usage are 2, as elsewhere.
    return app.exit(error) == 0 ? 0 : 2;
  }
  return session.run ? session.run() : 0;
}

}  // namespace
}  // namespace kaito

int main(int argc, char** argv) { return kaito::run(argc, argv); }

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "apps/common/program.h"
#include "provision/cloud/local/local_provider.h"
#include "provision/provisioner.h"

namespace {

base::Status serve(const base::Context& ctx, const apps::CommonFlags& flags) {
  const auto ready = std::make_shared<std::atomic<bool>>(false);
  const auto health = TRY(apps::serve_health(flags.health_address, ready));
  const kube::RestConfig config = TRY(apps::rest_config(flags));
  const auto client = TRY(kube::Client::create(config));
  const base::RealClock clock;
  provision::Provisioner provisioner({*client, clock, ctx.log(), [](kube::Client& c, kube::EventRecorder& events) {
                                        return std::make_unique<provision::LocalProvider>(provision::LocalProvider::Deps{c, events, provision::read_machine_facts()});
                                      }});
  TRY(provisioner.start(ctx));
  *ready = true;
  ctx.log().info("provisioner runs", {{"server", config.server}, {"cloud", "local"}});
  while (ctx.sleep(std::chrono::hours(1))) {
  }
  *ready = false;
  provisioner.stop();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  apps::CommonFlags flags;
  flags.health_address = ":8082";
  std::string cloud = "local";
  CLI::App app{"The Kaito node provisioner: turns NodeClaims and Machines into nodes.", "kaito-provisioner"};
  app.set_version_flag("--version", fmt::format("kaito-provisioner {}", KAITO_VERSION));
  apps::add_common_flags(app, flags);
  app.add_option("--cloud", cloud, "Where machines come from: local (this machine)")->check(CLI::IsMember({"local"}))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const base::Logger log = apps::make_logger(flags.log_format, flags.log_level, "provisioner");
  return apps::run_until_signal(log, [&](const base::Context& ctx) { return serve(ctx, flags); });
}

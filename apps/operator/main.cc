#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "api/nodeclaim/machine.h"
#include "api/nodeclaim/nodeclaim.h"
#include "apps/common/program.h"
#include "workspace/operator.h"

namespace {

struct Flags {
  apps::CommonFlags common;
  std::string node_provisioner = "auto";
  workspace::Options workspace;
};

/// `auto` takes NodeClaims, or Machines where only those are installed.
base::Result<workspace::NodeProvisioner> choose_provisioner(const base::Context& ctx, kube::Client& client, const std::string& name) {
  if (name == "byo") return workspace::NodeProvisioner::Byo;
  if (name == "machine") return workspace::NodeProvisioner::Machine;
  if (name == "azure-gpu-provisioner" || name == "nodeclaim") return workspace::NodeProvisioner::NodeClaim;
  kube::ListOptions one;
  one.limit = 1;
  if (client.list(ctx, api::NodeClaim::kType, one)) return workspace::NodeProvisioner::NodeClaim;
  if (client.list(ctx, api::Machine::kType, one)) return workspace::NodeProvisioner::Machine;
  return base::Error(base::ErrorCode::NotFound, "the server knows neither NodeClaims nor Machines; apply config/crd, or use --node-provisioner=byo");
}

base::Status serve(const base::Context& ctx, Flags& flags) {
  const auto ready = std::make_shared<std::atomic<bool>>(false);
  const auto health = TRY(apps::serve_health(flags.common.health_address, ready));
  const kube::RestConfig config = TRY(apps::rest_config(flags.common));
  const auto client = TRY(kube::Client::create(config));
  flags.workspace.provisioner = TRY(choose_provisioner(ctx, *client, flags.node_provisioner));
  const base::RealClock clock;
  workspace::Operator controller({*client, clock, ctx.log(), flags.workspace});
  TRY(controller.start(ctx));
  *ready = true;
  ctx.log().info("workspace operator runs", {{"server", config.server}, {"workers", flags.workspace.workers}});
  while (ctx.sleep(std::chrono::hours(1))) {
  }
  *ready = false;
  controller.stop();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"The Kaito workspace operator: turns Workspaces into node claims, Services and workloads.", "kaito-operator"};
  app.set_version_flag("--version", fmt::format("kaito-operator {}", KAITO_VERSION));
  apps::add_common_flags(app, flags.common);
  auto& w = flags.workspace;
  w.runtime_image = fmt::format("kaito-runtime:{}", KAITO_VERSION);
  app.add_option("--node-provisioner", flags.node_provisioner, "Where nodes come from: auto, nodeclaim (azure-gpu-provisioner), machine or byo")
      ->check(CLI::IsMember({"auto", "nodeclaim", "azure-gpu-provisioner", "machine", "byo"}))
      ->capture_default_str();
  app.add_option("--cloud", w.cloud, "azure, aws, arc or local")->envname("CLOUD_PROVIDER")->check(CLI::IsMember({"azure", "aws", "arc", "local"}))->capture_default_str();
  app.add_option("--preset-registry", w.preset_registry, "Registry of the model images")->envname("PRESET_REGISTRY_NAME");
  app.add_option("--runtime-image", w.runtime_image, "Image with kaito and kaito-server")->envname("KAITO_RUNTIME_IMAGE")->capture_default_str();
  app.add_option("--model-cache-path", w.model_cache_path, "Folder on each node that keeps model files")->capture_default_str();
  app.add_option("--default-node-image-family", w.default_image_family, "ubuntu or azurelinux")->check(CLI::IsMember({"ubuntu", "azurelinux"}, CLI::ignore_case))->capture_default_str();
  app.add_option("--workers", w.workers, "Workspaces reconciled at once")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const base::Logger log = apps::make_logger(flags.common.log_format, flags.common.log_level, "operator");
  return apps::run_until_signal(log, [&](const base::Context& ctx) { return serve(ctx, flags); });
}

#include "apps/kaito/cluster.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>

#include "api/crd.h"
#include "apiserver/server.h"
#include "apps/kaito/admission.h"
#include "apps/kaito/credentials.h"
#include "base/file.h"
#include "kube/rest/client.h"
#include "nodeagent/node_agent.h"
#include "provision/cloud/local/local_provider.h"
#include "provision/provisioner.h"
#include "registry/registry.h"
#include "workloads/workloads.h"
#include "workspace/operator.h"

namespace kaito {
namespace {

using base::Error;
using base::ErrorCode;
using base::Status;

constexpr api::ResourceType kCrdType{"apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false};

/// Stands in for the node agent's logs until the agent, which needs the API server first, is there.
class LateLogs final : public apiserver::PodLogs {
 public:
  void set(apiserver::PodLogs* logs) { logs_ = logs; }
  Status stream(const base::Context& ctx, const apiserver::PodLogRequest& request, const Sink& sink) override {
    apiserver::PodLogs* logs = logs_;
    if (!logs) return Error(ErrorCode::Unavailable, "the node agent does not run yet");
    return logs->stream(ctx, request, sink);
  }

 private:
  std::atomic<apiserver::PodLogs*> logs_{nullptr};
};

class LocalCluster final : public Cluster {
 public:
  explicit LocalCluster(Options options) : options_(std::move(options)) {}
  ~LocalCluster() override {
    if (operator_) operator_->stop();
    if (provisioner_) provisioner_->stop();
    logs_.set(nullptr);
    if (node_agent_) node_agent_->stop();
    if (workloads_) workloads_->stop();
  }

  Status run(const base::Context& ctx) {
    TRY(start_registry(ctx));
    TRY(start_api_server(ctx));
    TRY(install_crds(ctx));
    if (options_.control_plane_only) return {};
    workloads_ = std::make_unique<workloads::Workloads>(workloads::Workloads::Deps{*client_, clock_, ctx.log().named("workloads")});
    TRY(base::with_context(workloads_->start(ctx), "starting the built-in controllers"));
    TRY(base::with_context(start_node_agent(ctx), "starting the node agent"));
    provisioner_ = std::make_unique<provision::Provisioner>(provision::Provisioner::Deps{
        *client_, clock_, ctx.log().named("provisioner"), [](kube::Client& client, kube::EventRecorder& events) {
          return std::make_unique<provision::LocalProvider>(provision::LocalProvider::Deps{client, events, provision::read_machine_facts()});
        }});
    TRY(base::with_context(provisioner_->start(ctx), "starting the provisioner"));
    operator_ = std::make_unique<workspace::Operator>(workspace::Operator::Deps{*client_, clock_, ctx.log().named("operator"), workspace_options()});
    return base::with_context(operator_->start(ctx), "starting the operator");
  }

  std::string server_url() const override { return server_->url(); }
  std::string registry_domain() const override { return registry_->domain(); }
  std::string note() const override { return node_agent_ ? node_agent_->isolation_note() : std::string(); }

 private:
  Status start_registry(const base::Context& ctx) {
    registry::Registry::Options options;
    options.root = options_.dir.registry();
    options.port = options_.registry_port;
    options.log = ctx.log().named("registry");
    auto started = registry::Registry::create(std::move(options));
    if (!started) return std::move(started).error().context("starting the registry (choose its port with --registry-port)");
    registry_ = *std::move(started);
    return {};
  }

  Status start_api_server(const base::Context& ctx) {
    const Credentials credentials = TRY(load_or_make_credentials(options_.dir));
    apiserver::Server::Options options;
    options.data_dir = options_.dir.root() / "apiserver";
    options.port = options_.port;
    options.tls_cert_pem = credentials.server_cert_pem;
    options.tls_key_pem = credentials.server_key_pem;
    options.tokens = {{credentials.admin_token, "admin"}, {credentials.system_token, "system:kaito"}};
    options.admission.push_back(workspace_admission(options_.node_provisioner == "byo" ? NodeSource::Byo : NodeSource::Provisioned));
    options.pod_logs = &logs_;
    options.log = ctx.log().named("apiserver");
    auto started = apiserver::Server::create(std::move(options));
    if (!started) return std::move(started).error().context("starting the API server (choose its port with --port)");
    server_ = *std::move(started);
    TRY(base::write_file_atomic(options_.dir.kubeconfig(), make_kubeconfig(credentials, server_->url()), 0600));
    kube::RestConfig config;
    config.server = server_->url();
    config.tls.ca_pem = credentials.ca_pem;
    config.bearer_token = credentials.system_token;
    config.user_agent = "kaito-up";
    client_ = TRY(kube::Client::create(config));
    return {};
  }

  Status install_crds(const base::Context& ctx) {
    kube::WriteOptions options;
    options.field_manager = "kaito-up";
    options.force = true;
    for (const json::Value& crd : api::custom_resource_definitions()) {
      const std::string name(json::find_string(crd, "metadata.name"));
      TRY(base::with_context(client_->patch(ctx, kCrdType, {"", name}, kube::PatchType::Apply, crd, options), fmt::format("installing {}", name)));
    }
    return {};
  }

  Status start_node_agent(const base::Context& ctx) {
    nodeagent::NodeAgent::Options options;
    options.data_dir = options_.dir.node();
    options.pod_shim = {options_.bin_dir + "/kaito-pod-shim"};
    options.images = nodeagent::ImageMap({{.repository_suffix = "kaito-runtime", .bin_dir = options_.bin_dir, .default_command = {}}});
    options.version = fmt::format("v{}", KAITO_VERSION);
    for (const char* program : {"kaito", "kaito-server", "kaito-pod-shim"}) {
      if (::access((options_.bin_dir + "/" + program).c_str(), X_OK) != 0) {
        return Error(ErrorCode::NotFound, fmt::format("{} is not in {}; build it, or name the folder with --bin-dir", program, options_.bin_dir));
      }
    }
    node_agent_ = TRY(nodeagent::NodeAgent::create(*client_, clock_, ctx.log().named("nodeagent"), std::move(options)));
    TRY(node_agent_->start(ctx));
    logs_.set(&node_agent_->logs());
    return {};
  }

  workspace::Options workspace_options() const {
    workspace::Options options;
    options.provisioner = options_.node_provisioner == "machine" ? workspace::NodeProvisioner::Machine
                          : options_.node_provisioner == "byo"   ? workspace::NodeProvisioner::Byo
                                                                 : workspace::NodeProvisioner::NodeClaim;
    options.cloud = "local";
    options.preset_registry = registry_->domain();
    options.runtime_image = fmt::format("kaito-runtime:{}", KAITO_VERSION);
    options.model_cache_path = options_.dir.models().string();
    return options;
  }

  Options options_;
  base::RealClock clock_;
  LateLogs logs_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<apiserver::Server> server_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<workloads::Workloads> workloads_;
  std::unique_ptr<nodeagent::NodeAgent> node_agent_;
  std::unique_ptr<provision::Provisioner> provisioner_;
  std::unique_ptr<workspace::Operator> operator_;
};

}  // namespace

base::Result<std::unique_ptr<Cluster>> Cluster::start(const base::Context& ctx, Options options) {
  auto cluster = std::make_unique<LocalCluster>(std::move(options));
  TRY(cluster->run(ctx));
  return std::unique_ptr<Cluster>(std::move(cluster));
}

}  // namespace kaito

#include "nodeagent/node_agent.h"

#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "api/core/config.h"
#include "base/guarded.h"
#include "kube/cache/informer.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"
#include "nodeagent/limits.h"
#include "nodeagent/node_status.h"
#include "nodeagent/pod_logs.h"
#include "nodeagent/pod_manager.h"
#include "nodeagent/proxy/service_proxy.h"
#include "nodeagent/scheduler/scheduler.h"
#include "nodeagent/volumes/volumes.h"

namespace nodeagent {
namespace {

constexpr std::size_t kPodWorkers = 4;
constexpr std::chrono::milliseconds kConfigTimeout{10'000};

/// Finds pods by the ConfigMaps and Secrets that their volumes show.
constexpr const char* kByVolume = "volume";

/// ConfigMaps and Secrets are read when a container starts and after each change of one that
/// running pods show. The watches only tell of changes: what is read is never older than what was
/// read before.
class ApiConfigs final : public ConfigSource {
 public:
  ApiConfigs(base::Context ctx, kube::Client& client) : ctx_(std::move(ctx)), client_(client) {}
  base::Result<api::ConfigMap> config_map(const std::string& ns, const std::string& name) override {
    return kube::get<api::ConfigMap>(ctx_.with_timeout(kConfigTimeout), client_, {ns, name});
  }
  base::Result<api::Secret> secret(const std::string& ns, const std::string& name) override {
    return kube::get<api::Secret>(ctx_.with_timeout(kConfigTimeout), client_, {ns, name});
  }

 private:
  base::Context ctx_;
  kube::Client& client_;
};

bool is_local(const api::Node& node) {
  const auto label = node.metadata.labels.find(kLocalNodeLabel);
  return label != node.metadata.labels.end() && label->second == "true";
}

json::Value node_of_this_machine(const std::string& name) {
  struct sysinfo memory{};
  ::sysinfo(&memory);
  const auto bytes = static_cast<std::int64_t>(memory.totalram) * memory.mem_unit;
  const json::Object capacity{{"cpu", std::to_string(::sysconf(_SC_NPROCESSORS_ONLN))},
                              {"memory", fmt::format("{}Ki", bytes / 1024)},
                              {"pods", "110"}};
  return json::Object{
      {"apiVersion", "v1"},
      {"kind", "Node"},
      {"metadata",
       json::Object{{"name", json::String(name)},
                    {"labels", json::Object{{kLocalNodeLabel, "true"},
                                            {"kubernetes.io/hostname", json::String(name)},
                                            {"kubernetes.io/os", "linux"}}}}},
      {"status", json::Object{{"capacity", capacity}, {"allocatable", capacity}}}};
}

}  // namespace

struct NodeAgent::Parts {
  Parts(kube::Client& api_client, const base::Clock& api_clock, base::Logger logger,
        Options agent_options, IpPool pool)
      : client(api_client),
        clock(api_clock),
        log(std::move(logger)),
        options(std::move(agent_options)),
        addresses(std::move(pool)),
        logs({PodFiles(options.data_dir),
              [this](const std::string& uid, const std::string& container, int restart) {
                return pods_manager && pods_manager->is_running(uid, container, restart);
              }}) {}

  kube::Client& client;
  const base::Clock& clock;
  base::Logger log;
  Options options;
  std::optional<IpPool> addresses;
  FileLogs logs;
  std::string isolation_note;

  // In the order of their making; destroyed in reverse.
  std::stop_source stop;
  std::unique_ptr<kube::EventRecorder> events;
  std::unique_ptr<ApiConfigs> configs;
  std::unique_ptr<ProcessRuntime> runtime;
  std::optional<Checker> checker;
  std::unique_ptr<kube::Informer<api::Pod>> pods;
  std::unique_ptr<kube::Informer<api::Node>> nodes;
  std::unique_ptr<kube::Informer<api::Service>> services;
  std::unique_ptr<kube::Informer<api::Endpoints>> endpoints;
  std::unique_ptr<kube::Informer<api::ConfigMap>> config_maps;
  std::unique_ptr<kube::Informer<api::Secret>> secrets;
  std::unique_ptr<PodManager> pods_manager;
  std::unique_ptr<NodeStatusController> node_status;
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<TcpRelay> relay;
  std::unique_ptr<ServiceProxy> proxy;
  std::unique_ptr<kube::Controller> pod_controller;
  std::unique_ptr<kube::Controller> node_controller;
  std::unique_ptr<kube::Controller> schedule_controller;
  std::unique_ptr<kube::Controller> proxy_controller;
  std::unique_ptr<kube::Manager> manager;

  base::Result<Isolation> choose_isolation(const base::Context& ctx);
  base::Status register_node(const base::Context& ctx) const;
  void make_pod_control(const base::Context& ctx, Isolation isolation);
  void make_volume_watches();
  void make_node_control();
  void make_scheduling();
  void make_proxy(const base::Context& ctx);
};

base::Result<Isolation> NodeAgent::Parts::choose_isolation(const base::Context& ctx) {
  const std::string scratch = options.data_dir + "/probe";
  const IsolationChoice choice = TRY(detect_isolation(ctx, *runtime, scratch));
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
  isolation_note = choice.reason;
  if (!choice.reason.empty())
    log.warn("containers run without namespaces", {{"reason", choice.reason}});
  return choice.isolation;
}

base::Status NodeAgent::Parts::register_node(const base::Context& ctx) const {
  const json::Value node = node_of_this_machine(options.register_node);
  const auto created = client.create(ctx, api::Node::kType, node);
  if (!created && created.error().code() != base::ErrorCode::AlreadyExists) {
    return base::Error(created.error()).context("registering node " + options.register_node);
  }
  if (!created) return {};
  const auto written = kube::patch_status<api::Node>(ctx, client, {"", options.register_node},
                                                     node.get_object().at("status"));
  if (!written)
    return base::Error(written.error()).context("registering node " + options.register_node);
  return {};
}

void NodeAgent::Parts::make_pod_control(const base::Context& ctx, Isolation isolation) {
  PodManager::Options manager_options;
  manager_options.files = PodFiles(options.data_dir);
  manager_options.images = options.images;
  manager_options.isolation = isolation;
  manager_options.backoff = options.backoff;
  manager_options.host_ip = options.host_ip;
  manager_options.log_max_bytes = kMaxLogFileBytes;
  PodManager::Deps deps{
      .client = client,
      .runtime = *runtime,
      .checker = *checker,
      .configs = *configs,
      .events = *events,
      .clock = clock,
      .pods = *pods,
      .is_local_node =
          [this](const std::string& name) {
            const auto node = nodes->get({"", name});
            return node && is_local(*node);
          },
      .enqueue = [this](const api::ObjectKey& key) { pod_controller->enqueue(key); }};
  pods_manager = std::make_unique<PodManager>(ctx, std::move(deps), std::move(manager_options),
                                              std::move(*addresses));
  kube::Controller::Options controller_options;
  controller_options.name = "pods";
  controller_options.workers = kPodWorkers;
  pod_controller = std::make_unique<kube::Controller>(controller_options, *pods_manager, clock);
  pod_controller->watch(*pods);
  // A Node that appears may have pods already.
  nodes->add_handler([this](const kube::Change<api::Node>& change) {
    if (change.kind != kube::ChangeKind::Added) return;
    for (const auto& pod : pods->by_index(Scheduler::kByNode, change.after->metadata.name)) {
      pod_controller->enqueue(pod->metadata.key());
    }
  });
  manager->add(*pod_controller);
}

void NodeAgent::Parts::make_volume_watches() {
  const auto tell = [this](std::string_view kind, const api::ObjectKey& key) {
    for (const auto& pod : pods->by_index(kByVolume, volume_reference(kind, key)))
      pods_manager->volumes_changed(pod->metadata.key());
  };
  config_maps = std::make_unique<kube::Informer<api::ConfigMap>>(client);
  config_maps->add_handler([tell](const kube::Change<api::ConfigMap>& change) {
    tell(api::ConfigMap::kType.kind, change.any().metadata.key());
  });
  secrets = std::make_unique<kube::Informer<api::Secret>>(client);
  secrets->add_handler([tell](const kube::Change<api::Secret>& change) {
    tell(api::Secret::kType.kind, change.any().metadata.key());
  });
  manager->add(*config_maps);
  manager->add(*secrets);
}

void NodeAgent::Parts::make_node_control() {
  node_status = std::make_unique<NodeStatusController>(
      NodeStatusController::Deps{client, clock, *nodes, is_local},
      MachineInfo::of_this_machine(options.host_ip, options.version));
  kube::Controller::Options controller_options;
  controller_options.name = "node-status";
  controller_options.workers = 1;
  node_controller = std::make_unique<kube::Controller>(controller_options, *node_status, clock);
  node_controller->watch(*nodes);
  manager->add(*node_controller);
}

void NodeAgent::Parts::make_scheduling() {
  scheduler =
      std::make_unique<Scheduler>(Scheduler::Deps{client, *events, clock, *pods, *nodes, is_local});
  kube::Controller::Options controller_options;
  controller_options.name = "scheduler";
  controller_options.workers = 1;
  schedule_controller = std::make_unique<kube::Controller>(controller_options, *scheduler, clock);
  schedule_controller->watch(*pods);
  const auto retry_pending = [this] {
    for (const api::ObjectKey& key : scheduler->pending()) schedule_controller->enqueue(key);
  };
  nodes->add_handler([retry_pending](const kube::Change<api::Node>& change) {
    if (change.after && is_local(*change.after)) retry_pending();
  });
  pods->add_handler([retry_pending](const kube::Change<api::Pod>& change) {
    const auto over = [](const api::Pod& pod) {
      return pod.status.phase == "Succeeded" || pod.status.phase == "Failed";
    };
    const bool freed = change.before && !change.before->spec.node_name.empty() &&
                       (!change.after || (over(*change.after) && !over(*change.before)));
    if (freed) retry_pending();
  });
  manager->add(*schedule_controller);
}

void NodeAgent::Parts::make_proxy(const base::Context& ctx) {
  services = std::make_unique<kube::Informer<api::Service>>(client);
  endpoints = std::make_unique<kube::Informer<api::Endpoints>>(client);
  relay = std::make_unique<TcpRelay>(ctx.log());
  proxy =
      std::make_unique<ServiceProxy>(ServiceProxy::Deps{*events, *services, *endpoints, *relay});
  kube::Controller::Options controller_options;
  controller_options.name = "service-proxy";
  controller_options.workers = 1;
  proxy_controller = std::make_unique<kube::Controller>(controller_options, *proxy, clock);
  proxy_controller->watch(*services);
  proxy_controller->watch(*endpoints);
  manager->add(*services);
  manager->add(*endpoints);
  manager->add(*proxy_controller);
}

base::Result<std::unique_ptr<NodeAgent>> NodeAgent::create(kube::Client& client,
                                                           const base::Clock& clock,
                                                           base::Logger log, Options options) {
  if (options.data_dir.empty() || options.pod_shim.empty()) {
    return base::Error(base::ErrorCode::Invalid,
                       "the node agent needs a data directory and a pod shim");
  }
  std::error_code error;
  options.data_dir = std::filesystem::absolute(options.data_dir, error).lexically_normal().string();
  std::filesystem::create_directories(PodFiles(options.data_dir).pods_dir(), error);
  if (error) return base::system_error("creating " + options.data_dir, error.value());
  IpPool pool = TRY(IpPool::create(options.pod_cidr));
  return std::unique_ptr<NodeAgent>(new NodeAgent(std::make_unique<Parts>(
      client, clock, log.named("nodeagent"), std::move(options), std::move(pool))));
}

NodeAgent::NodeAgent(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
NodeAgent::~NodeAgent() { stop(); }

base::Status NodeAgent::start(const base::Context& outer) {
  Parts& parts = *parts_;
  const base::Context ctx = outer.with_log(parts.log).with_stop(parts.stop.get_token());
  parts.events = kube::EventRecorder::create(ctx, parts.client, "kaito-node-agent");
  parts.configs = std::make_unique<ApiConfigs>(ctx, parts.client);
  parts.runtime = std::make_unique<ProcessRuntime>(parts.options.pod_shim, parts.log);
  parts.checker = TRY(Checker::create(*parts.runtime));
  const Isolation isolation = TRY(parts.choose_isolation(outer));
  if (!parts.options.register_node.empty()) TRY(parts.register_node(outer));
  parts.pods = std::make_unique<kube::Informer<api::Pod>>(parts.client);
  parts.pods->add_index(Scheduler::kByNode, Scheduler::node_of);
  parts.pods->add_index(kByVolume, volume_references);
  parts.nodes = std::make_unique<kube::Informer<api::Node>>(parts.client);
  parts.manager = std::make_unique<kube::Manager>(parts.log);
  parts.manager->add(*parts.nodes);
  parts.manager->add(*parts.pods);
  parts.make_pod_control(ctx, isolation);
  parts.make_volume_watches();
  parts.make_node_control();
  if (parts.options.schedule) parts.make_scheduling();
  if (parts.options.proxy_services) parts.make_proxy(ctx);
  TRY(parts.manager->start(ctx));
  parts.pods_manager->remove_leftovers(parts.log);
  parts.log.info("node agent runs", {{"dataDir", parts.options.data_dir}});
  return {};
}

void NodeAgent::stop() {
  Parts& parts = *parts_;
  parts.stop.request_stop();
  if (parts.manager) parts.manager->stop();
  if (parts.pods_manager) parts.pods_manager->stop();
  // Containers end here, while whoever hears of it still exists.
  parts.runtime.reset();
}

apiserver::PodLogs& NodeAgent::logs() { return parts_->logs; }
std::string NodeAgent::isolation_note() const { return parts_->isolation_note; }

}  // namespace nodeagent

#include "apiserver/server.h"

#include <fmt/format.h>

#include <thread>

#include "apiserver/builtin/builtin.h"
#include "apiserver/builtin/crd.h"
#include "apiserver/builtin/event_expiry.h"
#include "apiserver/http/handler.h"
#include "apiserver/objects/engine.h"
#include "net/http_server.h"

namespace apiserver {
namespace {

constexpr std::chrono::minutes kJanitorInterval{1};
constexpr const char* kFirstNamespaces[] = {"default", "kube-system", "kube-public",
                                            "kube-node-lease"};

base::Error to_error(const ApiError& error) {
  return base::Error(base::ErrorCode::Internal, error.message);
}

/// What every cluster has: the first namespaces.
base::Status create_first_objects(ObjectEngine& engine, const Registry& registry) {
  const DefinitionRef namespaces = registry.catalog()->find("", "namespaces");
  for (const char* name : kFirstNamespaces) {
    Target target{.definition = namespaces, .version = &namespaces->storage_version()};
    target.name = name;
    if (engine.get(target)) continue;
    target.name.clear();
    json::Value object = json::Object{{"metadata", json::Object{{"name", name}}}};
    const auto created = engine.create(target, std::move(object), {.field_manager = "apiserver"});
    if (!created) return to_error(created.error());
  }
  return {};
}

/// Addresses in use are known again before the first request.
void learn_addresses(const Store& store, const Registry& registry) {
  const DefinitionRef services = registry.catalog()->find("", "services");
  for (const ObjectRef& object : store.list(services->storage_key(), "").objects)
    services->strategy->committed(object->value.get_object());
}

}  // namespace

/// Everything a running server holds; members stop in reverse order.
struct Server::Parts {
  Parts(Options given, std::unique_ptr<Store> opened)
      : options(std::move(given)),
        clock(options.clock ? options.clock : &real_clock),
        store(std::move(opened)),
        engine({*store, registry, options.admission, *clock}) {}

  Options options;
  base::RealClock real_clock;
  const base::Clock* clock;
  std::unique_ptr<Store> store;
  Registry registry;
  ObjectEngine engine;
  PageSnapshots pages;
  std::unique_ptr<ApiHandler> handler;
  std::unique_ptr<net::HttpServer> http;
  std::jthread janitor;
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() = default;

base::Result<std::unique_ptr<Server>> Server::create(Options options) {
  std::error_code error;
  if (std::filesystem::create_directories(options.data_dir, error))
    std::filesystem::permissions(options.data_dir, std::filesystem::perms::owner_all, error);
  if (!std::filesystem::is_directory(options.data_dir))
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("cannot make the data directory {}: {}",
                                   options.data_dir.string(), error.message()));
  auto store = TRY(Store::open(
      {.path = options.data_dir / "store.db", .history_events = options.watch_history_events}));
  auto addresses =
      std::make_shared<ClusterIpAllocator>(TRY(ClusterIpAllocator::create(options.service_cidr)));
  auto parts = std::make_unique<Parts>(std::move(options), std::move(store));
  const Options& own = parts->options;

  for (auto& definition : builtin_definitions({addresses, *parts->clock}))
    parts->registry.put(std::move(definition));
  parts->registry.put(crd_definition(*parts->store, parts->registry, *parts->clock));
  register_stored_crds(*parts->store, parts->registry);
  learn_addresses(*parts->store, parts->registry);
  TRY(create_first_objects(parts->engine, parts->registry));

  net::HttpServer::Options http;
  http.address = own.address;
  http.port = own.port;
  http.max_connections = own.max_connections;
  http.log = own.log;
  if (!own.tls_cert_pem.empty())
    http.tls =
        TRY(net::TlsServerConfig::create({own.tls_cert_pem, own.tls_key_pem, own.client_ca_pem}));
  HandlerDeps deps{.store = *parts->store,
                   .registry = parts->registry,
                   .engine = parts->engine,
                   .clock = *parts->clock,
                   .pages = parts->pages,
                   .logs = own.pod_logs,
                   .address = fmt::format("{}:{}", own.address, own.port),
                   .log = own.log};
  parts->handler =
      std::make_unique<ApiHandler>(std::move(deps), Credentials{own.tokens, own.anonymous_admin});
  parts->http = TRY(net::HttpServer::create(
      std::move(http),
      [handler = parts->handler.get()](const base::Context& ctx, net::HttpExchange& exchange) {
        handler->handle(ctx, exchange);
      }));
  parts->janitor = std::jthread([own_parts = parts.get()](const std::stop_token& stop) {
    const base::Context ctx(stop);
    while (ctx.sleep(kJanitorInterval)) expire_events(*own_parts->store, own_parts->clock->now());
  });
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

std::uint16_t Server::port() const { return parts_->http->port(); }

std::string Server::url() const {
  return fmt::format("{}://{}:{}", parts_->options.tls_cert_pem.empty() ? "http" : "https",
                     parts_->options.address, port());
}

}  // namespace apiserver

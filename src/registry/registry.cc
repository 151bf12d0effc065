#include "registry/registry.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <thread>

#include "base/context.h"
#include "base/file.h"
#include "oci/disk.h"
#include "oci/reference.h"
#include "registry/api_error.h"
#include "registry/service.h"

namespace registry {

using base::Error;
using base::ErrorCode;
using base::Status;

Status Service::touch(const oci::Digest& digest) const {
  if (::utimensat(AT_FDCWD, layout.blob_path(digest).c_str(), nullptr, 0) != 0)
    return base::system_error(fmt::format("blob {}", digest.text()), errno);
  return {};
}

namespace {

/// Removes what a killed process left of files that it was writing.
void remove_temporaries(const std::filesystem::path& folder,
                        std::filesystem::file_time_type older_than) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() == ".tmp" && entry->last_write_time(ignored) <= older_than) {
      std::filesystem::remove(entry->path(), ignored);
    }
  }
}

}  // namespace

Registry::Collected Service::collect() {
  Registry::Collected collected;
  index->exclusively([&] {
    const auto used = index->referenced();
    const auto limit = std::filesystem::file_time_type::clock::now() - options.orphan_life;
    remove_temporaries(layout.root(), limit);
    remove_temporaries(layout.root() / "blobs" / "sha256", limit);
    for (const oci::Digest& digest : layout.list_blobs()) {
      if (used.contains(digest)) continue;
      const auto path = layout.blob_path(digest);
      std::error_code error;
      const auto touched = std::filesystem::last_write_time(path, error);
      if (error || touched > limit) continue;
      const auto size = std::filesystem::file_size(path, error);
      if (!std::filesystem::remove(path, error)) continue;
      ++collected.blobs;
      collected.bytes += size;
    }
  });
  if (collected.blobs > 0)
    options.log.info("unused blobs deleted",
                     {{"blobs", collected.blobs}, {"bytes", collected.bytes}});
  return collected;
}

Status refuse_method(net::HttpExchange& exchange, std::string_view allowed) {
  net::HttpResponse response =
      to_response({405, code::kUnsupported, "the method is not supported here", {}});
  response.headers.set("Allow", std::string(allowed));
  return exchange.respond(std::move(response));
}

namespace {

Status serve_base(net::HttpExchange& exchange) {
  const std::string& method = exchange.request().method;
  if (method != "GET" && method != "HEAD") return refuse_method(exchange, "GET");
  net::HttpResponse response = net::HttpResponse::json(200, "{}");
  response.headers.set("Docker-Distribution-API-Version", "registry/2.0");
  return exchange.respond(std::move(response));
}

Status dispatch(Service& service, const Route& route, net::HttpExchange& exchange) {
  using Kind = Route::Kind;
  if (!route.repository.empty() && !oci::is_repository_name(route.repository)) {
    return respond_error(exchange,
                         {400, code::kNameInvalid, "invalid repository name", route.repository});
  }
  switch (route.kind) {
    case Kind::Base:
      return serve_base(exchange);
    case Kind::Catalog:
      return serve_catalog(service, exchange);
    case Kind::Tags:
      return serve_tags(service, route, exchange);
    case Kind::Manifest:
      return serve_manifest(service, route, exchange);
    case Kind::Blob:
      return serve_blob(service, route, exchange);
    case Kind::Uploads:
      return serve_uploads(service, route, exchange);
    case Kind::Upload:
      return serve_upload(service, route, exchange);
    case Kind::Referrers:
      return serve_referrers(service, route, exchange);
    case Kind::Unknown:
      break;
  }
  return respond_error(exchange,
                       {404, code::kUnsupported, "no such endpoint; the API is under /v2/", {}});
}

/// Needs a repository in every kind but these.
bool names_nothing(const Route& route) {
  return route.repository.empty() && route.kind != Route::Kind::Base &&
         route.kind != Route::Kind::Catalog && route.kind != Route::Kind::Unknown;
}

class Server final : public Registry {
 public:
  Server(std::unique_ptr<Service> service, base::UniqueFd lock)
      : service_(std::move(service)), lock_(std::move(lock)) {}

  Status start() {
    net::HttpServer::Options http;
    http.address = service_->options.address;
    http.port = service_->options.port;
    http.max_connections = kMaxConnections;
    http.io_timeout = kUploadStallTimeout;
    http.log = service_->options.log;
    http_ = TRY(net::HttpServer::create(
        std::move(http),
        [this](const base::Context&, net::HttpExchange& exchange) { serve(exchange); }));
    collector_ = std::jthread(
        [this](const std::stop_token& stop) { collect_repeatedly(base::Context(stop)); });
    return {};
  }

  std::uint16_t port() const override { return http_->port(); }
  std::string domain() const override {
    return fmt::format("{}:{}", service_->options.address, http_->port());
  }
  Collected collect() override { return service_->collect(); }

 private:
  void serve(net::HttpExchange& exchange) {
    const auto& htpasswd = service_->htpasswd;
    if (htpasswd && !htpasswd->allows(exchange.request().headers.get_or("authorization", ""))) {
      net::HttpResponse refusal =
          to_response({401, "UNAUTHORIZED", "user and password are needed", {}});
      refusal.headers.set("WWW-Authenticate", "Basic realm=\"kaito\"");
      (void)exchange.respond(std::move(refusal));
      return;
    }
    const Route route = parse_route(exchange.request().target.path);
    const Status served =
        names_nothing(route)
            ? respond_error(exchange,
                            {404, code::kNameInvalid, "the repository name is missing", {}})
            : dispatch(*service_, route, exchange);
    const auto& log = service_->options.log;
    if (served) {
      log.debug("request",
                {{"method", exchange.request().method}, {"target", exchange.request().raw_target}});
      return;
    }
    log.info("request failed", {{"method", exchange.request().method},
                                {"target", exchange.request().raw_target},
                                {"error", served.error().message()}});
    if (!exchange.answered()) (void)respond_failure(exchange, served.error(), code::kUnknown);
  }

  void collect_repeatedly(const base::Context& ctx) {
    do {
      service_->uploads->expire(service_->options.upload_life);
      service_->collect();
    } while (ctx.sleep(kCollectInterval));
  }

  std::unique_ptr<Service> service_;
  base::UniqueFd lock_;  ///< Of the folder.
  std::unique_ptr<net::HttpServer> http_;
  std::jthread collector_;  ///< Last, so that it ends first.
};

base::Result<base::UniqueFd> lock_folder(const std::filesystem::path& root) {
  TRY(oci::make_directories(root));
  const auto path = root / ".lock";
  base::UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return base::system_error(fmt::format("opening {}", path.string()), errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return Error(ErrorCode::AlreadyExists,
                 fmt::format("another registry serves the folder {}", root.string()));
  return lock;
}

}  // namespace

base::Result<std::unique_ptr<Registry>> Registry::create(Options options) {
  if (!options.available_bytes)
    options.available_bytes = [](const auto& path) { return oci::available_bytes(path); };
  base::UniqueFd lock = TRY(lock_folder(options.root));
  auto layout = TRY(oci::Layout::open_or_create(options.root));
  std::unique_ptr<Service> service(
      new Service{std::move(options), std::move(layout), nullptr, nullptr, nullptr});
  if (!service->options.htpasswd.empty())
    service->htpasswd = TRY(Htpasswd::parse(service->options.htpasswd));
  service->index = TRY(ManifestIndex::load(service->layout, service->options.log));
  service->uploads = TRY(UploadStore::create(service->layout));
  auto server = std::make_unique<Server>(std::move(service), std::move(lock));
  TRY(server->start());
  return std::unique_ptr<Registry>(std::move(server));
}

}  // namespace registry

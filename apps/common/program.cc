#include "apps/common/program.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "base/signals.h"

namespace apps {

void add_common_flags(CLI::App& app, CommonFlags& flags) {
  app.add_option("--kubeconfig", flags.kubeconfig, "Cluster to use (default: $KUBECONFIG, the pod's service account, ~/.kube/config)");
  app.add_option("--log-format", flags.log_format, "text or json")->check(CLI::IsMember({"text", "json"}))->capture_default_str();
  app.add_option("--log-level", flags.log_level, "debug, info, warn or error")->check(CLI::IsMember({"debug", "info", "warn", "error"}))->capture_default_str();
  app.add_option("--health-probe-bind-address", flags.health_address, "Serves /healthz and /readyz; 0 serves none")->capture_default_str();
  app.add_option("--kube-client-qps", flags.qps, "Requests a second to the API server; 0 is unlimited")->capture_default_str();
  app.add_option("--kube-client-burst", flags.burst, "Requests at once above that rate")->capture_default_str();
}

base::Result<kube::RestConfig> rest_config(const CommonFlags& flags) {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  std::string path = flags.kubeconfig.empty() ? environment("KUBECONFIG") : flags.kubeconfig;
  kube::RestConfig config;
  if (!path.empty()) {
    config = TRY(kube::RestConfig::from_kubeconfig_file(path));
  } else if (const std::string host = environment("KUBERNETES_SERVICE_HOST"); !host.empty()) {
    config = TRY(kube::RestConfig::in_cluster(host, environment("KUBERNETES_SERVICE_PORT")));
  } else {
    path = environment("HOME") + "/.kube/config";
    if (!std::filesystem::exists(path)) {
      return base::Error(base::ErrorCode::NotFound, "no cluster to talk to; name one with --kubeconfig or $KUBECONFIG");
    }
    config = TRY(kube::RestConfig::from_kubeconfig_file(path));
  }
  config.requests_per_second = flags.qps;
  config.burst = flags.burst;
  return config;
}

base::Logger make_logger(const std::string& format, const std::string& level, std::string component) {
  base::LogSink::Options options;
  options.format = format == "json" ? base::LogFormat::Json : base::LogFormat::Text;
  if (level == "debug") options.level = base::LogLevel::Debug;
  if (level == "warn") options.level = base::LogLevel::Warn;
  if (level == "error") options.level = base::LogLevel::Error;
  return base::Logger(std::make_shared<base::LogSink>(options), std::move(component));
}

base::Result<std::unique_ptr<net::HttpServer>> serve_health(const std::string& address, std::shared_ptr<std::atomic<bool>> ready) {
  if (address == "0" || address.empty()) return std::unique_ptr<net::HttpServer>();
  const auto colon = address.rfind(':');
  net::HttpServer::Options options;
  options.address = colon == std::string::npos || colon == 0 ? "0.0.0.0" : address.substr(0, colon);
  const std::string port = colon == std::string::npos ? address : address.substr(colon + 1);
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), options.port);
  if (code != std::errc{} || end != port.data() + port.size()) {
    return base::Error(base::ErrorCode::Invalid, fmt::format("--health-probe-bind-address: '{}' is not ADDRESS:PORT", address));
  }
  options.max_connections = 16;
  return net::HttpServer::create(options, [ready = std::move(ready)](const base::Context&, net::HttpExchange& exchange) {
    const std::string& path = exchange.request().target.path;
    const bool known = path == "/healthz" || path == "/readyz";
    const bool good = path == "/healthz" || ready->load();
    static_cast<void>(exchange.respond(net::HttpResponse::text(!known ? 404 : good ? 200 : 503, !known ? "not found\n" : good ? "ok\n" : "not ready\n")));
  });
}

int run_until_signal(const base::Logger& log, const std::function<base::Status(const base::Context&)>& body) {
  std::stop_source stop;
  const base::SignalWatcher signals([&](int) { stop.request_stop(); });
  const base::Status ended = body(base::Context(stop.get_token(), log));
  if (!ended && ended.error().code() != base::ErrorCode::Cancelled) {
    fmt::print(stderr, "error: {}\n", ended.error().message());
    return 1;
  }
  return 0;
}

}  // namespace apps

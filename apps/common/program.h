#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>
#include <stop_token>
#include <string>

#include "base/context.h"
#include "base/log.h"
#include "kube/rest/client.h"
#include "net/http_server.h"

namespace apps {

/// Flags that every controller program has.
struct CommonFlags {
  std::string kubeconfig;
  std::string log_format = "text";
  std::string log_level = "info";
  std::string health_address = ":8081";
  double qps = 0;
  std::size_t burst = 100;
};
void add_common_flags(CLI::App& app, CommonFlags& flags);

/// The flag, $KUBECONFIG, the pod's service account, ~/.kube/config: the first that is there.
base::Result<kube::RestConfig> rest_config(const CommonFlags& flags);

base::Logger make_logger(const std::string& format, const std::string& level, std::string component);

/// `/healthz` (always 200) and `/readyz` (200 once `ready`, 503 before) on `:PORT` or `ADDRESS:PORT`; `0` serves none.
base::Result<std::unique_ptr<net::HttpServer>> serve_health(const std::string& address, std::shared_ptr<std::atomic<bool>> ready);

/// Runs `body` with a context that SIGINT and SIGTERM stop; its error becomes exit code 1 and a line on standard error.
int run_until_signal(const base::Logger& log, const std::function<base::Status(const base::Context&)>& body);

}  // namespace apps

#pragma once

#include <chrono>
#include <string>

#include "api/core/container.h"
#include "base/context.h"
#include "base/result.h"
#include "net/http_client.h"
#include "nodeagent/runtime/process_runtime.h"

namespace nodeagent {

/// The container a probe or hook is about.
struct CheckTarget {
  std::string runtime_id;
  std::string pod_ip;
  api::Container container;
};

/// Runs probes and life-cycle hooks once. Safe from many threads.
class Checker {
 public:
  static base::Result<Checker> create(ContainerRuntime& runtime);

  /// Success, or an error whose message says what the user should know: status, output, refusal.
  base::Status run(const base::Context& ctx, const CheckTarget& target, const api::Probe& probe,
                   std::chrono::milliseconds timeout) const;
  base::Status run(const base::Context& ctx, const CheckTarget& target,
                   const api::LifecycleHandler& hook, std::chrono::milliseconds timeout) const;

 private:
  Checker(ContainerRuntime& runtime, std::unique_ptr<net::HttpClient> client)
      : runtime_(&runtime), client_(std::move(client)) {}
  template <class Handler>
  base::Status run_handler(const base::Context& ctx, const CheckTarget& target,
                           const Handler& handler, std::chrono::milliseconds timeout) const;
  base::Status run_exec(const base::Context& ctx, const CheckTarget& target,
                        const api::ExecAction& action, std::chrono::milliseconds timeout) const;
  base::Status run_http(const base::Context& ctx, const CheckTarget& target,
                        const api::HttpGetAction& action, std::chrono::milliseconds timeout) const;

  ContainerRuntime* runtime_;
  std::unique_ptr<net::HttpClient> client_;
};

/// The number of a port given by number or by the name of a container port. Errors: Invalid.
base::Result<int> resolve_port(const api::IntOrString& port, const api::Container& container);

}  // namespace nodeagent

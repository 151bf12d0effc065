#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "apiserver/pod_logs.h"
#include "base/clock.h"
#include "base/context.h"
#include "kube/rest/client.h"
#include "nodeagent/images.h"
#include "nodeagent/lifecycle/record.h"

namespace nodeagent {

/// Nodes with this label set to `true` are this machine.
inline constexpr const char* kLocalNodeLabel = "kaito.sh/local-node";

/// Runs the pods of this machine's Nodes, binds pending pods to them, keeps them Ready and relays
/// Service addresses. Owns its threads, processes and files; start and stop from one thread.
class NodeAgent {
 public:
  struct Options {
    std::string data_dir;               ///< Made when absent; one agent at a time.
    std::vector<std::string> pod_shim;  ///< Command of kaito-pod-shim.
    ImageMap images;
    std::string pod_cidr = "127.32.0.0/16";
    std::string host_ip = "127.0.0.1";
    std::string version = "v0.1.0";
    /// A Node this agent registers by itself; "" for none (a provisioner makes them).
    std::string register_node;
    bool schedule = true;        ///< Off where another scheduler works.
    bool proxy_services = true;  ///< Off where kube-proxy works.
    BackoffPolicy backoff;
  };

  /// Errors: Invalid for options that cannot be used.
  static base::Result<std::unique_ptr<NodeAgent>> create(kube::Client& client,
                                                         const base::Clock& clock, base::Logger log,
                                                         Options options);
  /// Stops: every container ends.
  ~NodeAgent();

  /// Returns once informers are synced and pods are looked after. Errors: when the API server does
  /// not answer in time, or the machine cannot run pods (the message says what to do).
  base::Status start(const base::Context& ctx);
  void stop();

  /// Logs of the containers, for the API server. Lives as long as the agent.
  apiserver::PodLogs& logs();

  /// Why containers run without namespaces; "" when they have them or before `start`.
  std::string isolation_note() const;

 private:
  struct Parts;
  explicit NodeAgent(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace nodeagent

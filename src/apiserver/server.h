#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "apiserver/admission.h"
#include "apiserver/pod_logs.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"

namespace apiserver {

/// The embedded Kubernetes API server. Everything but its owner reaches it over HTTP.
///
///     auto server = TRY(apiserver::Server::create({.data_dir = dir, .tls_cert_pem = ..., ...}));
///     use(server->port());
///
/// The destructor stops serving and joins every thread; what was acknowledged is on disk.
class Server {
 public:
  struct Options {
    std::filesystem::path data_dir{};  ///< Made with mode 0700 when absent; holds `store.db`.
    std::string address = "127.0.0.1";
    std::uint16_t port = 0;      ///< 0 lets the system choose.
    std::string tls_cert_pem{};  ///< Empty: plain HTTP.
    std::string tls_key_pem{};
    std::string client_ca_pem{};  ///< Client certificates of this authority are users by their CN.
    std::map<std::string, std::string> tokens{};  ///< Bearer token to user name.
    bool anonymous_admin = false;                 ///< Anybody may do everything: for tests.
    std::string service_cidr = "127.64.0.0/10";
    std::size_t max_connections = 1024;
    std::size_t watch_history_events = 10'000;
    /// In-process admission; Mutate and Validate hooks run in this order.
    std::vector<AdmissionRegistration> admission{};
    PodLogs* pod_logs = nullptr;         ///< Must outlive the server; none: `kubectl logs` fails.
    const base::Clock* clock = nullptr;  ///< Must outlive the server; none: the real one.
    base::Logger log{};
  };

  /// Opens the store and serves at once. Errors: AlreadyExists when another process uses `data_dir`
  /// or the port, Invalid for options that cannot be used, Internal for a damaged store.
  static base::Result<std::unique_ptr<Server>> create(Options options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const;
  /// `https://127.0.0.1:6443`.
  std::string url() const;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace apiserver

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "apps/kaito/data_dir.h"
#include "base/context.h"
#include "base/result.h"

namespace kaito {

/// The whole system on this machine: registry, API server, built-in controllers, node agent, provisioner and operator, as threads
/// of this process that meet over HTTP. Destruction stops them in reverse, pods included.
class Cluster {
 public:
  struct Options {
    DataDir dir;
    std::uint16_t port = 6443;
    std::uint16_t registry_port = 5001;
    std::string bin_dir;  ///< Where kaito, kaito-server and kaito-pod-shim lie.
    std::string node_provisioner = "nodeclaim";
    bool control_plane_only = false;  ///< API server and registry alone, for tests.
  };

  /// Returns once everything runs and `kubeconfig` is written. Errors name what to do: a port in use, a missing program, a
  /// folder without room.
  static base::Result<std::unique_ptr<Cluster>> start(const base::Context& ctx, Options options);
  virtual ~Cluster() = default;

  virtual std::string server_url() const = 0;
  virtual std::string registry_domain() const = 0;
  /// What the user should know, such as pods that run without isolation; "" when all is usual.
  virtual std::string note() const = 0;
};

}  // namespace kaito

#pragma once

#include <memory>

#include "base/clock.h"
#include "base/context.h"
#include "kube/rest/client.h"

namespace workloads {

/// The controllers that a cluster has built in, as far as Workspaces need them: StatefulSets, Jobs, Endpoints, garbage collection,
/// namespaces. Ordinary clients of the API; a real cluster runs its own instead.
class Workloads {
 public:
  struct Deps {
    kube::Client& client;
    const base::Clock& clock;
    base::Logger log;
  };
  explicit Workloads(Deps deps);
  ~Workloads();
  base::Status start(const base::Context& ctx);
  void stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace workloads

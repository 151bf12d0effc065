#pragma once

#include <chrono>
#include <memory>

#include "base/clock.h"
#include "base/context.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"
#include "workspace/canary.h"
#include "workspace/options.h"

namespace workspace {

/// The running operator: local copies, canary prober, event recorder and the workspace controller.
class Operator {
 public:
  struct Deps {
    kube::Client& client;
    const base::Clock& clock;
    base::Logger log;
    Options options;
    /// How a pod is asked for a token; the real question when not given. For tests.
    CanaryProber::Probe canary_probe{};
  };
  explicit Operator(Deps deps);
  ~Operator();

  /// Returns once every local copy is complete and the workers run.
  base::Status start(const base::Context& ctx);
  void stop();
  kube::Controller::Counters counters() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace workspace

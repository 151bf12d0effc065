#pragma once

#include "workspace/nodes.h"
#include "workspace/observed.h"
#include "workspace/serve.h"

namespace workspace {

/// The pods that decide whether the workspace serves.
struct ServingState {
  bool rolled_out = false;  ///< Every replica is ready and of the current spec.
  std::int32_t ready_replicas = 0;
  std::int32_t replicas = 0;
  std::optional<CanaryTarget> canary_target;  ///< A ready pod of the current spec.
  std::string canary_pod;                     ///< Its name.
  /// A running pod that may be waiting for its adapters, when none is ready.
  std::optional<CanaryTarget> loading_target;
  std::optional<Problem> problem;  ///< The most telling fault of a pod.
};

ServingState observe_serving(const Observed& observed, const ServePlan& plan);

struct StatusInputs {
  const Observed& observed;
  const NodePlan& nodes;
  const ServePlan* serving = nullptr;  ///< Null when the workspace does not serve.
  const ServingState* state = nullptr;
  CanaryResult canary;
  std::string progress;              ///< What the running tuner said; "" for nothing.
  std::optional<base::Error> error;  ///< What went wrong in this pass.
  api::Time now;
};

/// The whole status as it should be; equal inputs give an equal status.
api::WorkspaceStatus compute_status(const StatusInputs& in);

}  // namespace workspace

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/apps.h"
#include "api/batch.h"
#include "api/core/config.h"
#include "api/core/node.h"
#include "api/core/pod.h"
#include "api/core/service.h"
#include "api/workspace/workspace.h"
#include "model/catalog/catalog.h"
#include "model/sku/sku.h"
#include "workspace/canary.h"
#include "workspace/options.h"

namespace workspace {

/// A NodeClaim or a Machine; the operator treats them alike.
struct Claim {
  std::string name;
  bool deleting = false;
  std::string node_name;  ///< "" until a node registered.
  std::vector<api::Condition> conditions;
  bool ready() const;
};

/// How far a tuning is.
enum class TuningPhase {
  None,      ///< No tuning is asked for.
  Training,  ///< Its Job is to be made, or runs.
  Serving,   ///< The adapter is there and is to be served.
  Done,      ///< The adapter is there; nothing is to run any more.
  Failed,
};

/// One workspace and everything about it, read once at the start of a reconcile.
struct Observed {
  std::shared_ptr<const api::Workspace> workspace;
  std::vector<Claim> claims;  ///< Carrying this workspace's labels.
  /// Nodes that may matter: with nodes the user brings those that may match, else those made for
  /// this workspace and the preferred ones.
  std::vector<std::shared_ptr<const api::Node>> nodes;
  std::shared_ptr<const api::StatefulSet> stateful_set;  ///< Null when absent; so below.
  std::shared_ptr<const api::Service> service;
  std::shared_ptr<const api::Service> headless_service;
  std::vector<std::shared_ptr<const api::Pod>> pods;      ///< Carrying this workspace's label.
  std::shared_ptr<const api::Job> job;                    ///< Of the tuning.
  std::shared_ptr<const api::ConfigMap> adapters_config;  ///< What the server's adapters are.
  /// Of `inference.config` or `tuning.config`, when it exists.
  std::shared_ptr<const api::ConfigMap> config;
  TuningPhase tuning = TuningPhase::None;
  /// Until serving after tuning has to end, if it has to.
  std::optional<std::chrono::seconds> serving_left;
  /// What is to be served: `inference`, or after a tuning its preset with the new adapter.
  std::optional<api::InferenceSpec> serves;
  bool config_known = true;  ///< False while the ConfigMap named there is still being looked up.
  std::optional<model::Preset> preset;  ///< Nothing for templates and unknown names.
  std::optional<model::Sku> sku;        ///< Of `resource.instanceType`, when known.
};

/// The preset to serve or to tune; null when the workspace names none.
const api::PresetSpec* chosen_preset(const api::Workspace& workspace);

/// A reason for not being ready. `stalled`: waiting does not help, somebody has to act.
struct Problem {
  std::string reason;
  std::string message;
  bool stalled = false;
};

}  // namespace workspace

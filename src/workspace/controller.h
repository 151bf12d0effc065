#pragma once

#include <optional>

#include "base/clock.h"
#include "kube/cache/written_versions.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"
#include "workspace/canary.h"
#include "workspace/observed.h"
#include "workspace/options.h"
#include "workspace/recent_writes.h"
#include "workspace/serve.h"
#include "workspace/status.h"

namespace workspace {

/// Reads everything about one workspace from local copies.
class Observer {
 public:
  virtual ~Observer() = default;
  /// Nothing when the workspace is not there.
  virtual std::optional<Observed> observe(const api::ObjectKey& key) const = 0;
};

/// Reconciles one Workspace: finalizer, nodes, services, workload, status; or, when it is being
/// deleted, workload, nodes, finalizer. Asks for nothing it can read locally and writes nothing
/// that is there already.
class WorkspaceController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const Observer& observer;
    CanaryProber& canary;
    CanaryProber& progress;  ///< Of tuners.
    kube::EventRecorder& events;
    const base::Clock& clock;
    const Options& options;
  };
  explicit WorkspaceController(Deps deps) : deps_(deps), recent_(deps.clock) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx,
                                        const api::ObjectKey& key) override;

 private:
  using Ctx = base::Context;

  base::Result<kube::Requeue> finalize(const Ctx& ctx, const Observed& observed);
  base::Status ensure_finalizer(const Ctx& ctx, const Observed& observed);
  base::Status carry_out_nodes(const Ctx& ctx, const Observed& observed, const NodePlan& plan);
  base::Status carry_out_serving(const Ctx& ctx, const Observed& observed, const ServePlan& plan);
  /// The Job of a tuning: made once its node is there, replaced when another is asked for.
  base::Status carry_out_tuning(const Ctx& ctx, const Observed& observed, const NodePlan& nodes);
  /// Deletes an object of ours unless that is under way.
  base::Status remove_workload(const Ctx& ctx, const Observed& observed,
                               const api::ResourceType& type, const api::ObjectMeta& live);
  base::Status write_object(const Ctx& ctx, const Observed& observed, const Desired& desired);
  base::Status write_status(const Ctx& ctx, const Observed& observed,
                            const api::WorkspaceStatus& wanted);
  base::Status create_object(const Ctx& ctx, const Observed& observed, const Desired& desired);
  base::Status update_object(const Ctx& ctx, const Observed& observed, const Desired& desired,
                             const json::Value& live);
  /// What the running tuner said last.
  CanaryResult ask_progress(const Observed& observed);
  /// Drops the notes of writes that the local copies show by now.
  void catch_up(const Observed& observed);
  /// Everything remembered of a workspace that is gone.
  void forget(const api::ObjectKey& key);

  Deps deps_;
  RecentWrites recent_;
  kube::WrittenVersions object_writes_;     ///< Services and workloads.
  kube::WrittenVersions workspace_writes_;  ///< Any write of a Workspace.
  kube::WrittenVersions status_writes_;     ///< Those of its status.
};

}  // namespace workspace

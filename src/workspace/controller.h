#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"
#include "workspace/canary.h"
#include "workspace/observed.h"
#include "workspace/options.h"
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
/// deleted, workload, nodes, finalizer. Asks for nothing it can read locally and writes nothing that is
/// there already.
class WorkspaceController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const Observer& observer;
    CanaryProber& canary;
    kube::EventRecorder& events;
    const base::Clock& clock;
    const Options& options;
  };
  explicit WorkspaceController(Deps deps) : deps_(deps) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx, const api::ObjectKey& key) override;

 private:
  /// What this process wrote and its local copies may not show yet.
  struct Written {
    std::string uid;
    std::map<std::string, base::SteadyTime> created;  ///< `Kind/name` -> when.
    std::string status_text;                          ///< Canonical JSON of the status last written.
    std::uint64_t status_version = 0;                 ///< resourceVersion of that write.
    bool finalizer = false;
  };
  using Ctx = base::Context;

  base::Result<kube::Requeue> finalize(const Ctx& ctx, const Observed& observed);
  base::Status ensure_finalizer(const Ctx& ctx, const Observed& observed);
  base::Status carry_out_nodes(const Ctx& ctx, const Observed& observed, const NodePlan& plan);
  base::Status carry_out_serving(const Ctx& ctx, const Observed& observed, const ServePlan& plan);
  base::Status write_object(const Ctx& ctx, const Observed& observed, const Desired& desired, const json::Value& live);
  base::Status write_status(const Ctx& ctx, const Observed& observed, const api::WorkspaceStatus& wanted);
  bool was_just_created(const Observed& observed, const std::string& what) const;
  void note_created(const Observed& observed, const std::string& what);
  Written written(const Observed& observed) const;

  Deps deps_;
  base::Guarded<std::map<api::ObjectKey, Written>> written_;
};

}  // namespace workspace

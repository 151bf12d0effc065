#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/batch.h"
#include "api/core/pod.h"
#include "base/clock.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"

namespace workloads {

/// What a Job needs done next.
struct JobPlan {
  std::vector<std::string> create;     ///< Names of pods to start.
  std::vector<api::ObjectKey> remove;  ///< Pods to stop.
  bool remove_job = false;             ///< Its time after finishing is over.
  api::JobStatus status;
  std::string warning;  ///< What of the job cannot be honoured; "" when nothing.
  std::optional<std::chrono::seconds> wake_after;  ///< A deadline or time-to-live is pending.
};

/// Pure. `pods` are those the job controls. As in Kubernetes, a failure is a failed pod or, with
/// restartPolicy OnFailure, a restart of one of its containers or init containers; with Never a
/// podFailurePolicy may let a failure pass or end the job at once.
JobPlan plan_job(const api::Job& job, const std::vector<std::shared_ptr<const api::Pod>>& pods,
                 base::SystemTime now);

/// Runs the pods of Jobs until enough succeeded or too many failed.
class JobController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const kube::Informer<api::Job>& jobs;
    const kube::Informer<api::Pod>& pods;  ///< With the index `kByOwner`.
    kube::EventRecorder& events;
    const base::Clock& clock;
  };
  explicit JobController(Deps deps) : deps_(deps) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx,
                                        const api::ObjectKey& key) override;

 private:
  Deps deps_;
};

}  // namespace workloads

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/apps.h"
#include "api/core/pod.h"
#include "base/clock.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"

namespace workloads {

/// What a StatefulSet needs done next: at most what its policy allows at once.
struct StatefulSetPlan {
  std::vector<api::Pod> create;
  std::vector<api::ObjectKey> remove;
  api::StatefulSetStatus status;
};

/// The name of the revision of a template: `<set>-<hash>`, as pods carry it in `controller-revision-hash`.
std::string revision_name(const api::StatefulSet& set);

/// Pure. `pods` are those the set controls. Parallel policy creates and removes everything at once, OrderedReady one pod at a
/// time; updates go from the highest ordinal down, each waiting until all pods above are ready.
StatefulSetPlan plan_stateful_set(const api::StatefulSet& set, const std::vector<std::shared_ptr<const api::Pod>>& pods);

/// Keeps the pods of StatefulSets as they should be. Volume claims are not supported: an event says so.
class StatefulSetController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const kube::Informer<api::StatefulSet>& sets;
    const kube::Informer<api::Pod>& pods;  ///< With the index `kByOwner`.
    kube::EventRecorder& events;
  };
  explicit StatefulSetController(Deps deps) : deps_(deps) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx, const api::ObjectKey& key) override;

 private:
  base::Status keep_revision(const base::Context& ctx, const api::StatefulSet& set);
  Deps deps_;
};

/// Index of pods by the UID of the object that controls them.
inline constexpr const char* kByOwner = "owner";
std::vector<std::string> controller_uid(const api::Pod& pod);

bool is_pod_ready(const api::Pod& pod);
bool has_pod_ended(const api::Pod& pod);

}  // namespace workloads

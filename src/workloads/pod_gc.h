#pragma once

#include "api/core/node.h"
#include "api/core/pod.h"
#include "kube/cache/informer.h"
#include "kube/runtime/controller.h"

namespace workloads {

/// Removes pods that are bound to Nodes which no longer exist: nobody else could end them.
class PodGarbage final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const kube::Informer<api::Pod>& pods;
    const kube::Informer<api::Node>& nodes;
  };
  explicit PodGarbage(Deps deps) : deps_(deps) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx,
                                        const api::ObjectKey& key) override;

 private:
  Deps deps_;
};

}  // namespace workloads

#pragma once

#include <vector>

#include "api/core/namespace.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"

namespace workloads {

/// Empties namespaces that are being deleted, then lets them go.
class NamespaceController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const kube::Informer<api::Namespace>& namespaces;
    std::vector<api::ResourceType> types;  ///< Namespaced types whose objects go with the namespace.
  };
  explicit NamespaceController(Deps deps) : deps_(std::move(deps)) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx, const api::ObjectKey& key) override;

 private:
  Deps deps_;
};

}  // namespace workloads

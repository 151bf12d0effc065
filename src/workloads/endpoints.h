#pragma once

#include <memory>
#include <vector>

#include "api/core/pod.h"
#include "api/core/service.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"

namespace workloads {

/// The Endpoints of a Service: pods that match its selector, ready or not. Pure; nothing without a selector.
std::optional<api::Endpoints> plan_endpoints(const api::Service& service, const std::vector<std::shared_ptr<const api::Pod>>& pods);

/// Keeps the Endpoints of every Service with a selector.
class EndpointsController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const kube::Informer<api::Service>& services;
    const kube::Informer<api::Pod>& pods;
    const kube::Informer<api::Endpoints>& endpoints;
  };
  explicit EndpointsController(Deps deps) : deps_(deps) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx, const api::ObjectKey& key) override;

 private:
  Deps deps_;
};

}  // namespace workloads

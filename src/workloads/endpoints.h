#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/core/pod.h"
#include "api/core/service.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"

namespace workloads {

/// The Endpoints of a Service: pods that match its selector, ready or not. Pure; nothing without a selector.
std::optional<api::Endpoints> plan_endpoints(const api::Service& service, const std::vector<std::shared_ptr<const api::Pod>>& pods);

/// Indexes that lead from pods to the Services that may select them and back: every label of a pod, the first of a selector.
inline constexpr const char* kByLabel = "label";
inline constexpr const char* kBySelector = "selector";
std::vector<std::string> label_pairs(const api::Pod& pod);
std::vector<std::string> selector_pair(const api::Service& service);

/// Keeps the Endpoints of every Service with a selector.
class EndpointsController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    const kube::Informer<api::Service>& services;  ///< With the index kBySelector.
    const kube::Informer<api::Pod>& pods;          ///< With the index kByLabel.
    const kube::Informer<api::Endpoints>& endpoints;
  };
  explicit EndpointsController(Deps deps) : deps_(deps) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx, const api::ObjectKey& key) override;

 private:
  Deps deps_;
};

}  // namespace workloads

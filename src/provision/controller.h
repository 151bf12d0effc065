#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"
#include "provision/cloud/provider.h"
#include "provision/lifecycle.h"

namespace provision {

/// Reads claims, nodes and pods from local copies.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual std::optional<Claim> claim(const std::string& name) const = 0;
  virtual std::shared_ptr<const api::Node> node(const std::string& name) const = 0;
  /// Pods on a node that have not ended.
  virtual std::vector<api::ObjectKey> pods_on(const std::string& node) const = 0;
};

/// Makes one claim true: finalizer, launch, registration, initialisation; or, when it is being deleted, drain, removal of
/// the machine, finalizer. A machine whose claim is gone is removed.
class ClaimController final : public kube::Reconciler {
 public:
  struct Deps {
    kube::Client& client;
    CloudProvider& cloud;
    const Observer& observer;
    kube::EventRecorder& events;
    const base::Clock& clock;
  };
  explicit ClaimController(Deps deps) : deps_(deps) {}
  base::Result<kube::Requeue> reconcile(const base::Context& ctx, const api::ObjectKey& key) override;

 private:
  base::Result<kube::Requeue> finalize(const base::Context& ctx, const Claim& claim);
  base::Status collect(const base::Context& ctx, const std::string& name);
  base::Status ensure_finalizer(const base::Context& ctx, const Claim& claim);
  base::Result<bool> drain(const base::Context& ctx, const api::Node& node);
  base::Status write_status(const base::Context& ctx, const Claim& claim, const api::NodeClaimStatus& wanted);

  Deps deps_;
};

}  // namespace provision

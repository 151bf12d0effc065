#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/context.h"
#include "kube/rest/client.h"
#include "kube/runtime/events.h"
#include "provision/cloud/provider.h"

namespace provision {

/// The running provisioner: local copies of claims and nodes, and the claim controller.
class Provisioner {
 public:
  using MakeCloud =
      std::function<std::unique_ptr<CloudProvider>(kube::Client&, kube::EventRecorder&)>;
  struct Deps {
    kube::Client& client;
    const base::Clock& clock;
    base::Logger log;
    MakeCloud make_cloud;
  };
  explicit Provisioner(Deps deps);
  ~Provisioner();

  /// Watches NodeClaims, Machines, or both: whichever of their CRDs the server has.
  /// Errors: NotFound when it has neither (install config/crd), and those of the first lists.
  base::Status start(const base::Context& ctx);
  void stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Whether the server knows a resource type (its CRD is installed). Errors: those of a list other
/// than NotFound.
base::Result<bool> has_resource(const base::Context& ctx, kube::Client& client,
                                const api::ResourceType& type);

}  // namespace provision

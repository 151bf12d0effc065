#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "kube/cache/written_versions.h"
#include "kube/rest/client.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"
#include "provision/cloud/provider.h"
#include "provision/drain.h"
#include "provision/lifecycle.h"

namespace provision {

/// Reads claims, nodes and pods from local copies.
class Observer {
 public:
  using Nodes = std::vector<std::shared_ptr<const api::Node>>;
  using Pods = std::vector<std::shared_ptr<const PodSummary>>;
  virtual ~Observer() = default;
  virtual std::optional<Claim> claim(const std::string& name) const = 0;
  virtual Nodes nodes_with_provider_id(const std::string& provider_id) const = 0;
  /// Nodes made for the claim of that name, see `claim_of`.
  virtual Nodes nodes_of_claim(const std::string& name) const = 0;
  virtual Pods pods_on(const std::string& node) const = 0;
  /// The kinds of claim that are followed.
  virtual std::vector<ClaimKind> kinds() const = 0;
};

/// Makes one claim true: finalizer, launch, registration, initialisation; or, when it or its node
/// is being deleted, drain, removal of the machine, finalizers. A node whose claim is gone is
/// removed the same way. The key is the claim's name.
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
  base::Result<kube::Requeue> reconcile(const base::Context& ctx,
                                        const api::ObjectKey& key) override;

 private:
  /// Launches and registers. Nothing when the claim ended with its machine or node.
  base::Result<std::optional<Progress>> advance(const base::Context& ctx, const Claim& claim);
  base::Status launch(const base::Context& ctx, const Claim& claim, Progress& progress);
  base::Status register_node(const base::Context& ctx, const Claim& claim, Progress& progress);
  base::Status mark_initialized(const base::Context& ctx, const Progress& progress);
  base::Status write_status(const base::Context& ctx, const Claim& claim,
                            const api::NodeClaimStatus& wanted);
  base::Status ensure_finalizer(const base::Context& ctx, Claim& claim);
  base::Status end_claim(const base::Context& ctx, const Claim& claim, std::string_view reason,
                         std::string_view message);

  base::Result<kube::Requeue> finalize(const base::Context& ctx, const Claim& claim);
  base::Result<kube::Requeue> collect(const base::Context& ctx, const std::string& name);
  /// Empties and removes nodes and machines; true once nothing is left.
  base::Result<bool> tear_down(const base::Context& ctx, const std::string& claim_name,
                               const std::string& provider_id,
                               std::optional<base::SystemTime> deadline);
  /// True once no pod is left that has to end first.
  base::Result<bool> drain(const base::Context& ctx, const api::Node& node,
                           std::optional<base::SystemTime> deadline);
  base::Status evict(const base::Context& ctx, const PodSummary& pod);
  base::Status release_node(const base::Context& ctx, const std::string& name);

  /// A patch whose outcome the local copy must show before the next reconcile.
  base::Result<json::Value> patch(const base::Context& ctx, const api::ResourceType& type,
                                  const api::ObjectKey& key, const json::Value& body,
                                  const kube::WriteOptions& options = {});
  /// Whether a local copy is older than what was written here.
  bool is_behind(const Claim& claim);
  kube::ObjectReference reference(const Claim& claim) const;

  Deps deps_;
  kube::WrittenVersions written_;
};

}  // namespace provision

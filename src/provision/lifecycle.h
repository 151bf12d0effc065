#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core/node.h"
#include "api/nodeclaim/nodeclaim.h"
#include "provision/cloud/provider.h"

/// What becomes of a claim, as pure functions: equal inputs give equal results.
namespace provision {

/// The two kinds of claim and what differs between them.
enum class ClaimKind { NodeClaim, Machine };
const api::ResourceType& claim_type(ClaimKind kind);

/// A NodeClaim or a Machine, in common terms.
struct Claim {
  ClaimKind kind = ClaimKind::NodeClaim;
  api::ObjectMeta metadata{};
  std::vector<api::NodeRequirement> requirements{};
  std::vector<api::Taint> taints{};
  std::vector<api::Taint> startup_taints{};
  std::map<std::string, api::Quantity> requests{};
  api::NodeClassReference node_class{};
  std::string termination_grace_period{};
  api::NodeClaimStatus status{};
};

/// Whether a claim is one of ours: made by kaito (a Workspace's or RAGEngine's label) or of the
/// class kaito.sh/KaitoNodeClass. Other claims belong to other provisioners.
bool is_managed(const Claim& claim);

/// What a claim asks a cloud for.
/// Errors: Invalid when it names no instance type.
base::Result<InstanceRequest> to_request(const Claim& claim);

/// How far a claim has come.
struct Progress {
  std::optional<Instance> instance{};         ///< Launched.
  std::optional<base::Error> launch_error{};  ///< Of the last attempt.
  std::shared_ptr<const api::Node> node{};    ///< Registered.
  std::size_t nodes = 0;                      ///< With the machine's provider id; 1 is right.
};

/// The whole status of a claim as it should be: Launched, Registered, Initialized and Ready with
/// Karpenter's reasons; for Machines as their conditions were (`MachineLaunched`, False while
/// pending, Ready repeating the first that is not True).
api::NodeClaimStatus compute_status(const Claim& claim, const Progress& progress,
                                    const api::Time& now);

/// The condition of the step `Launched`, `Registered` or `Initialized`, or null.
const api::Condition* find_step(const Claim& claim, const api::NodeClaimStatus& status,
                                std::string_view step);

/// `1h30m10s`; nothing for other texts.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);

}  // namespace provision

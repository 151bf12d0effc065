#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core/node.h"
#include "api/nodeclaim/nodeclaim.h"
#include "provision/cloud/provider.h"

namespace provision {

/// The two kinds of claim and what differs between them.
enum class ClaimKind { NodeClaim, Machine };
const api::ResourceType& claim_type(ClaimKind kind);

/// A NodeClaim or a Machine, in common terms.
struct Claim {
  ClaimKind kind = ClaimKind::NodeClaim;
  api::ObjectMeta metadata;
  std::vector<api::NodeRequirement> requirements;
  std::vector<api::Taint> taints;
  std::map<std::string, api::Quantity> requests;
  api::NodeClaimStatus status;
};

/// What a claim asks a cloud for: its labels, single-valued requirements and taints.
/// Errors: Invalid when it names no instance type.
base::Result<InstanceRequest> to_request(const Claim& claim);

/// How far a claim has come.
struct Progress {
  std::optional<Instance> instance;       ///< Launched.
  std::optional<base::Error> launch_error;
  const api::Node* node = nullptr;        ///< Registered.
};

/// The whole status of a claim as it should be: Launched, Registered, Initialized and Ready with Karpenter's reasons
/// (prefixed `Machine` for Machines). Equal inputs give an equal status.
api::NodeClaimStatus compute_status(const Claim& claim, const Progress& progress, const api::Time& now);

bool is_node_ready(const api::Node& node);

}  // namespace provision

#pragma once

#include <optional>

#include "api/core/node.h"
#include "json/value.h"
#include "provision/lifecycle.h"

namespace provision {

/// What is missing on the node of a claim: owner reference, finalizer, and, until it is registered,
/// the claim's labels and taints; as a merge patch guarded by the node's version, or nothing.
std::optional<json::Value> plan_registration(const Claim& claim, const InstanceRequest& request,
                                             const api::Node& node);

/// The patch that marks a node as initialized, or nothing when it is marked.
std::optional<json::Value> plan_initialization(const api::Node& node);

/// Name of the claim a node belongs to: its owner of kind NodeClaim or Machine, else its label; ""
/// when it is nobody's.
std::string claim_of(const api::Node& node);

bool has_finalizer(const api::ObjectMeta& metadata);
/// Sets or clears our finalizer among the others; guarded by the version.
json::Value finalizer_patch(const api::ObjectMeta& metadata, bool present);

}  // namespace provision

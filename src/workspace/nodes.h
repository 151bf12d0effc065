#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json/value.h"
#include "workspace/observed.h"

namespace workspace {

/// What is to be done about nodes, and what is to be said about them.
struct NodePlan {
  std::int32_t target = 0;                ///< Nodes wanted; 0 only with a `problem`.
  std::vector<std::string> create;        ///< Names of claims to create.
  std::vector<std::string> remove;        ///< Names of claims nobody needs any more.
  std::vector<std::string> label_gpu;     ///< Nodes that lack `accelerator=nvidia`.
  std::vector<std::string> worker_nodes;  ///< Sorted names of the nodes of this workspace.
  std::vector<std::string> reused;        ///< Preferred nodes that serve in place of claims.
  std::vector<api::Condition>
      conditions;      ///< NodeClaimReady or MachineReady, NodesReady, ResourceReady.
  bool ready = false;  ///< ResourceReady is True.
  std::optional<Problem> problem;
};

/// Pure: the same observation gives the same plan, and a plan carried out leaves nothing to plan.
NodePlan plan_nodes(const Observed& observed, const Options& options);

/// The name of the claim with this ordinal: `ws` and nine hex digits of SHA-256 over workspace UID
/// and ordinal. Fits agent pool names (`^[a-z][a-z0-9]{0,11}$`); creating it twice is one node.
std::string claim_name(const std::string& workspace_uid, std::int32_t ordinal);

/// The NodeClaim or Machine for `name`, ready to create.
json::Value make_claim(const Observed& observed, const Options& options, const std::string& name);

/// The user's matchLabels without the keys that belong to the operator.
std::map<std::string, std::string> sanitized_match_labels(const api::Workspace& workspace);

/// Whether a node fits the workspace's label selector (reserved keys left out).
bool matches_selector(const api::Workspace& workspace, const api::Node& node);

/// Whether a label of this key tells nodes apart well enough to find them by it.
bool is_selective_label(std::string_view key);

/// `key=value` that every matching node has, to find candidates by; nothing when the selector has
/// no such label.
std::optional<std::string> selective_label(const api::Workspace& workspace);

/// Ready and not about to go.
bool is_usable(const api::Node& node);

}  // namespace workspace

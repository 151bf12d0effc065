#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/core/node.h"
#include "api/core/pod.h"
#include "base/result.h"

namespace nodeagent {

/// A node and what the pods bound to it have taken.
struct NodeUsage {
  std::shared_ptr<const api::Node> node;
  std::map<std::string, std::int64_t> used;  ///< In thousandths.
  std::int64_t pods = 0;
};

/// What a pod asks for, in thousandths: its containers together, or the largest init container if
/// that is more. Amounts that cannot be read count as zero; admission refuses them.
std::map<std::string, std::int64_t> pod_requests(const api::Pod& pod);

/// Adds up the pods that are bound and not over.
std::vector<NodeUsage> usage_of(const std::vector<std::shared_ptr<const api::Node>>& nodes,
                                const std::vector<std::shared_ptr<const api::Pod>>& pods);

struct Choice {
  std::string node;     ///< "" when none fits.
  std::string message;  ///< `0/2 nodes are available: 1 Insufficient nvidia.com/gpu, ...`
};

/// The node for a pod, or why there is none, in the words of kube-scheduler. Among the nodes that
/// fit, preferred affinity decides, then the smaller number of pods, then the name. Pure.
Choice choose_node(const api::Pod& pod, const std::vector<NodeUsage>& nodes);

}  // namespace nodeagent

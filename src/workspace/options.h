#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace workspace {

/// Where nodes come from.
enum class NodeProvisioner {
  NodeClaim,  ///< karpenter.sh/v1 NodeClaims, made true by a provisioner.
  Machine,    ///< karpenter.sh/v1alpha5 Machines, as releases before 0.4.2 made.
  Byo,        ///< Nodes that are there already.
};

struct Options {
  NodeProvisioner provisioner = NodeProvisioner::NodeClaim;
  std::string cloud = "azure";  ///< azure, aws, arc or local: node class and SKU table.
  std::string preset_registry;  ///< Model images are `<preset_registry>/kaito-<preset>:<tag>`.
  std::string runtime_image;    ///< The image with kaito and kaito-server.
  std::string model_cache_path = "/var/lib/kaito/models";  ///< On each node, shared by its pods.
  std::string default_image_family = "ubuntu";
  std::size_t workers = 4;
  std::chrono::milliseconds canary_timeout{60'000};
  std::chrono::milliseconds canary_interval{60'000};  ///< Between proofs of a pod that passed.
};

}  // namespace workspace

#pragma once

#include <memory>
#include <string>
#include <utility>

#include "provision/cloud/local/local_provider.h"
#include "provision/lifecycle.h"

/// Valid objects for tests; each test states only what matters to it.
namespace provision::testing_support {

inline Claim seed_claim() {
  Claim claim;
  claim.metadata.name = "ws012345678";
  claim.metadata.uid = "claim-uid";
  claim.metadata.resource_version = "5";
  claim.metadata.generation = 1;
  claim.metadata.labels = {{"kaito.sh/workspace", "w"}, {"apps", "phi-3"}};
  claim.requirements = {{"karpenter.sh/nodepool", "In", {"kaito"}, {}},
                        {"node.kubernetes.io/instance-type", "In", {"Standard_NC6s_v3"}, {}},
                        {"kubernetes.io/os", "In", {"linux"}, {}}};
  claim.taints = {{"sku", "gpu", "NoSchedule", ""}};
  claim.requests = {{"storage", "100Gi"}};
  return claim;
}

inline MachineFacts box() {
  return {.name = "box", .cpus = 2, .memory_bytes = 8LL << 30, .gpus = 0, .architecture = "amd64"};
}

inline api::Node local_node(const Claim& claim) {
  return make_local_node(*to_request(claim), box());
}

inline api::Node ready(api::Node node) {
  node.status.conditions.push_back({.type = "Ready",
                                    .status = "True",
                                    .last_heartbeat_time = {},
                                    .last_transition_time = "2026-11-24T18:00:00Z",
                                    .reason = "KubeletReady",
                                    .message = {}});
  return node;
}

inline Progress launched(const Claim& claim) {
  Progress progress;
  progress.instance = Instance{.provider_id = "local://box/" + claim.metadata.name,
                               .claim_name = claim.metadata.name,
                               .image_id = "local",
                               .capacity = {{"nvidia.com/gpu", "1"}, {"cpu", "2"}}};
  return progress;
}

inline Progress registered(const Claim& claim, api::Node node) {
  Progress progress = launched(claim);
  progress.node = std::make_shared<const api::Node>(std::move(node));
  progress.nodes = 1;
  return progress;
}

}  // namespace provision::testing_support

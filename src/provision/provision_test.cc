#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provision/cloud/local/local_provider.h"
#include "provision/labels.h"
#include "provision/lifecycle.h"

namespace provision {
namespace {

Claim seed_claim() {
  Claim claim;
  claim.metadata.name = "ws012345678";
  claim.metadata.uid = "u";
  claim.metadata.generation = 1;
  claim.metadata.labels = {{"kaito.sh/workspace", "w"}, {"apps", "phi-3"}};
  claim.requirements = {{"node.kubernetes.io/instance-type", "In", {"Standard_NC6s_v3"}, {}}, {"kubernetes.io/os", "In", {"linux"}, {}}};
  claim.taints = {{"sku", "gpu", "NoSchedule", ""}};
  return claim;
}

api::Node ready_node(const Claim& claim) {
  api::Node node = make_local_node(*to_request(claim), {"box", 2, 8LL << 30, 0});
  node.status.conditions.push_back({"Ready", "True", "", "", "KubeletReady", ""});
  return node;
}

TEST(Request, CarriesLabelsRequirementsAndTaints) {
  const auto request = to_request(seed_claim());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->instance_type, "Standard_NC6s_v3");
  EXPECT_EQ(request->labels.at("apps"), "phi-3");
  EXPECT_EQ(request->labels.at("kubernetes.io/os"), "linux");
  EXPECT_EQ(request->taints.size(), 1U);
  Claim without = seed_claim();
  without.requirements.clear();
  EXPECT_FALSE(to_request(without));
}

TEST(LocalNode, SaysThatItsGpusAreSimulated) {
  const api::Node node = make_local_node(*to_request(seed_claim()), {"box", 2, 8LL << 30, 0});
  EXPECT_EQ(node.spec.provider_id, "local://box/ws012345678");
  EXPECT_EQ(node.status.capacity.at("nvidia.com/gpu").text, "1");
  EXPECT_EQ(node.metadata.labels.at("kaito.sh/simulated-gpu"), "true");
  EXPECT_EQ(node.metadata.labels.at("accelerator"), "nvidia");
  const api::Node real = make_local_node(*to_request(seed_claim()), {"box", 2, 8LL << 30, 1});
  EXPECT_FALSE(real.metadata.labels.contains("kaito.sh/simulated-gpu"));
}

std::string status_of(const api::NodeClaimStatus& status, std::string_view type) {
  const auto* condition = api::find_condition(status.conditions, type);
  return condition ? condition->status + " " + condition->reason : "absent";
}

TEST(Status, FollowsTheLifeOfANode) {
  const Claim claim = seed_claim();
  Progress progress;
  api::NodeClaimStatus status = compute_status(claim, progress, "t");
  EXPECT_EQ(status_of(status, "Launched"), "Unknown AwaitingReconciliation");
  EXPECT_EQ(status_of(status, "Ready"), "Unknown AwaitingReconciliation");

  api::Node node = ready_node(claim);
  progress.instance = Instance{node.spec.provider_id, claim.metadata.name, "local", node.status.capacity, true};
  EXPECT_EQ(status_of(compute_status(claim, progress, "t"), "Registered"), "Unknown NodeNotFound");

  api::Node unready = node;
  unready.status.conditions.clear();
  progress.node = &unready;
  EXPECT_EQ(status_of(compute_status(claim, progress, "t"), "Initialized"), "Unknown NodeNotReady");

  api::Node without_gpu = node;
  without_gpu.status.allocatable.erase("nvidia.com/gpu");
  progress.node = &without_gpu;
  EXPECT_EQ(status_of(compute_status(claim, progress, "t"), "Initialized"), "Unknown ResourceNotRegistered");

  progress.node = &node;
  status = compute_status(claim, progress, "t");
  EXPECT_EQ(status_of(status, "Ready"), "True Ready");
  EXPECT_EQ(status.node_name, "ws012345678");
}

TEST(Status, IsTheSameTheSecondTime) {
  Claim claim = seed_claim();
  const api::Node node = ready_node(claim);
  const Progress progress{Instance{node.spec.provider_id, claim.metadata.name, "local", node.status.capacity, true}, {}, &node};
  claim.status = compute_status(claim, progress, "2026-01-01T00:00:00Z");
  EXPECT_TRUE(json::equal(json::encode(compute_status(claim, progress, "2027-01-01T00:00:00Z")), json::encode(claim.status)));
}

TEST(Status, AWrongInstanceTypeIsFinal) {
  Progress progress;
  progress.launch_error = base::Error(base::ErrorCode::Invalid, "no such type");
  EXPECT_EQ(status_of(compute_status(seed_claim(), progress, "t"), "Launched"), "False InvalidInstanceType");
  progress.launch_error = base::Error(base::ErrorCode::Unavailable, "none free");
  EXPECT_EQ(status_of(compute_status(seed_claim(), progress, "t"), "Launched"), "Unknown LaunchFailed");
}

TEST(Status, MachinesHaveTheirOwnNames) {
  Claim claim = seed_claim();
  claim.kind = ClaimKind::Machine;
  EXPECT_EQ(status_of(compute_status(claim, {}, "t"), "MachineLaunched"), "Unknown AwaitingReconciliation");
}

}  // namespace
}  // namespace provision

#include "provision/cloud/local/local_provider.h"

#include <gtest/gtest.h>

#include "provision/testing.h"

namespace provision {
namespace {

using testing_support::box;
using testing_support::local_node;
using testing_support::seed_claim;

TEST(LocalNode, PlaysTheInstanceTypeOnThisMachine) {
  const api::Node node = local_node(seed_claim());
  EXPECT_EQ(node.spec.provider_id, "local://box/ws012345678");
  EXPECT_EQ(node.status.capacity.at("cpu").text, "2");
  EXPECT_EQ(node.status.capacity.at("memory").text, "8388608Ki");
  EXPECT_EQ(node.status.allocatable.at("pods").text, "110");
  const auto& labels = node.metadata.labels;
  EXPECT_EQ(labels.at("kaito.sh/local-node"), "true");
  EXPECT_EQ(labels.at("node.kubernetes.io/instance-type"), "Standard_NC6s_v3");
  EXPECT_EQ(labels.at("karpenter.sh/nodepool"), "kaito");
  EXPECT_EQ(labels.at("karpenter.sh/registered"), "true");
  EXPECT_FALSE(labels.contains("karpenter.sh/initialized"));
  EXPECT_EQ(labels.at("kubernetes.io/hostname"), "ws012345678");
  EXPECT_EQ(labels.at("kubernetes.io/arch"), "amd64");
  EXPECT_EQ(labels.at("apps"), "phi-3");
  EXPECT_EQ(node.spec.taints, seed_claim().taints);
  ASSERT_EQ(node.metadata.owner_references.size(), 1U);
  EXPECT_EQ(node.metadata.owner_references.front().kind, "NodeClaim");
  EXPECT_EQ(node.metadata.owner_references.front().api_version, "karpenter.sh/v1");
  EXPECT_TRUE(node.status.conditions.empty()) << "the node agent says when it is ready";
}

TEST(LocalNode, SaysThatItsGpusAreSimulated) {
  const api::Node node = local_node(seed_claim());
  EXPECT_EQ(node.status.capacity.at("nvidia.com/gpu").text, "1");
  EXPECT_EQ(node.metadata.labels.at("kaito.sh/simulated-gpu"), "true");
  EXPECT_EQ(node.metadata.labels.at("accelerator"), "nvidia");
  MachineFacts with_gpu = box();
  with_gpu.gpus = 1;
  const api::Node real = make_local_node(*to_request(seed_claim()), with_gpu);
  EXPECT_FALSE(real.metadata.labels.contains("kaito.sh/simulated-gpu"));
  EXPECT_EQ(real.metadata.labels.at("accelerator"), "nvidia");
}

TEST(LocalNode, WithoutGpusIsAnOrdinaryNode) {
  Claim claim = seed_claim();
  claim.requirements[1].values = {"Standard_D4s_v3"};
  const api::Node node = local_node(claim);
  EXPECT_FALSE(node.status.capacity.contains("nvidia.com/gpu"));
  EXPECT_FALSE(node.metadata.labels.contains("accelerator"));
  EXPECT_FALSE(node.metadata.labels.contains("kaito.sh/simulated-gpu"));
}

TEST(LocalNode, KeepsLabelsWithinTheirLimit) {
  Claim claim = seed_claim();
  claim.metadata.name = std::string(62, 'a') + "-" + std::string(30, 'b');
  const api::Node node = local_node(claim);
  EXPECT_EQ(node.metadata.labels.at("kubernetes.io/hostname"), std::string(62, 'a'));
  EXPECT_EQ(node.metadata.name, claim.metadata.name);
}

TEST(MachineFacts, AreThoseOfARealMachine) {
  const MachineFacts facts = read_machine_facts();
  EXPECT_FALSE(facts.name.empty());
  EXPECT_GE(facts.cpus, 1);
  EXPECT_GT(facts.memory_bytes, 64LL << 20);
}

}  // namespace
}  // namespace provision

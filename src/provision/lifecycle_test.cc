#include "provision/lifecycle.h"

#include <gtest/gtest.h>

#include "json/codec.h"
#include "provision/testing.h"

namespace provision {
namespace {

using testing_support::launched;
using testing_support::local_node;
using testing_support::ready;
using testing_support::registered;
using testing_support::seed_claim;
using namespace std::chrono_literals;

constexpr const char* kNow = "2026-11-24T18:00:00Z";

std::string said(const api::NodeClaimStatus& status, std::string_view type) {
  const auto* condition = api::find_condition(status.conditions, type);
  return condition ? condition->status + " " + condition->reason : "absent";
}
std::string said(const Claim& claim, const Progress& progress, std::string_view type) {
  return said(compute_status(claim, progress, kNow), type);
}

TEST(Request, CarriesLabelsRequirementsAndTaints) {
  Claim claim = seed_claim();
  claim.startup_taints = {{"boot", "", "NoExecute", ""}};
  const auto request = to_request(claim);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->instance_type, "Standard_NC6s_v3");
  EXPECT_EQ(request->labels.at("apps"), "phi-3");
  EXPECT_EQ(request->labels.at("kubernetes.io/os"), "linux");
  EXPECT_EQ(request->labels.at("karpenter.sh/nodepool"), "kaito");
  EXPECT_EQ(request->taints.size(), 2U);
}

TEST(Request, TheClaimsLabelsWinButNotOverTheInstanceType) {
  Claim claim = seed_claim();
  claim.metadata.labels["kubernetes.io/os"] = "other";
  claim.metadata.labels["node.kubernetes.io/instance-type"] = "other";
  const auto request = to_request(claim);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->labels.at("kubernetes.io/os"), "other");
  EXPECT_EQ(request->labels.at("node.kubernetes.io/instance-type"), "Standard_NC6s_v3");
}

TEST(Request, NeedsOneInstanceType) {
  for (const std::vector<api::NodeRequirement>& requirements :
       {std::vector<api::NodeRequirement>{},
        {{"node.kubernetes.io/instance-type", "In", {"a", "b"}, {}}},
        {{"node.kubernetes.io/instance-type", "NotIn", {"a"}, {}}}}) {
    Claim claim = seed_claim();
    claim.requirements = requirements;
    EXPECT_EQ(to_request(claim).error().code(), base::ErrorCode::Invalid);
  }
}

TEST(Managed, OnlyWhatKaitoMade) {
  Claim claim = seed_claim();
  EXPECT_TRUE(is_managed(claim));
  claim.metadata.labels.clear();
  EXPECT_FALSE(is_managed(claim));
  claim.metadata.labels["kaito.sh/ragengine"] = "r";
  EXPECT_TRUE(is_managed(claim));
  claim.metadata.labels.clear();
  claim.node_class = {"karpenter.azure.com", "AKSNodeClass", "default"};
  EXPECT_FALSE(is_managed(claim));
  claim.node_class = {"kaito.sh", "KaitoNodeClass", "default"};
  EXPECT_TRUE(is_managed(claim));
}

TEST(Status, FollowsTheLifeOfANode) {
  const Claim claim = seed_claim();
  EXPECT_EQ(said(claim, {}, "Launched"), "Unknown AwaitingReconciliation");
  EXPECT_EQ(said(claim, {}, "Ready"), "Unknown ReconcilingDependents");

  EXPECT_EQ(said(claim, launched(claim), "Launched"), "True Launched");
  EXPECT_EQ(said(claim, launched(claim), "Registered"), "Unknown NodeNotFound");
  EXPECT_EQ(said(claim, launched(claim), "Initialized"), "Unknown NodeNotFound");

  const auto node = local_node(claim);
  EXPECT_EQ(said(claim, registered(claim, node), "Registered"), "True Registered");
  EXPECT_EQ(said(claim, registered(claim, node), "Initialized"), "Unknown NodeNotReady");

  const auto status = compute_status(claim, registered(claim, ready(node)), kNow);
  EXPECT_EQ(said(status, "Initialized"), "True Initialized");
  EXPECT_EQ(said(status, "Ready"), "True Ready");
  EXPECT_EQ(status.node_name, "ws012345678");
  EXPECT_EQ(status.provider_id, "local://box/ws012345678");
  EXPECT_EQ(status.image_id, "local");
  EXPECT_EQ(status.capacity.at("nvidia.com/gpu").text, "1");
  EXPECT_EQ(status.allocatable.at("cpu").text, "2");
}

TEST(Status, WaitsForEverythingThatInitialisationNeeds) {
  Claim claim = seed_claim();
  claim.startup_taints = {{"boot", "", "NoSchedule", ""}};
  api::Node node = ready(local_node(claim));
  EXPECT_EQ(said(claim, registered(claim, node), "Initialized"), "Unknown StartupTaintsExist");

  node.spec.taints = {{"node.kubernetes.io/not-ready", "", "NoSchedule", ""}};
  EXPECT_EQ(said(claim, registered(claim, node), "Initialized"),
            "Unknown KnownEphemeralTaintsExist");

  node.spec.taints.clear();
  node.status.allocatable.erase("nvidia.com/gpu");
  EXPECT_EQ(said(claim, registered(claim, node), "Initialized"), "Unknown ResourceNotRegistered");
  node.status.allocatable["nvidia.com/gpu"] = "0";
  EXPECT_EQ(said(claim, registered(claim, node), "Initialized"), "Unknown ResourceNotRegistered");

  node.status.allocatable["nvidia.com/gpu"] = "1";
  EXPECT_EQ(said(claim, registered(claim, node), "Initialized"), "True Initialized")
      << "storage is not announced by nodes and not waited for";
}

TEST(Status, FallsWhenTheNodeIsNoLongerReady) {
  Claim claim = seed_claim();
  api::Node node = ready(local_node(claim));
  claim.status = compute_status(claim, registered(claim, node), kNow);
  node.status.conditions.front().status = "Unknown";
  const auto status = compute_status(claim, registered(claim, node), "2026-11-24T19:00:00Z");
  EXPECT_EQ(said(status, "Initialized"), "Unknown NodeNotReady");
  EXPECT_EQ(said(status, "Ready"), "Unknown ReconcilingDependents");
  const auto* ready_condition = api::find_condition(status.conditions, "Ready");
  EXPECT_EQ(ready_condition->message, "Initialized=Unknown");
  EXPECT_EQ(ready_condition->last_transition_time, "2026-11-24T19:00:00Z");
}

TEST(Status, TwoNodesWithOneProviderIdAreAMistake) {
  const Claim claim = seed_claim();
  Progress progress = launched(claim);
  progress.nodes = 2;
  EXPECT_EQ(said(claim, progress, "Registered"), "False MultipleNodesFound");
  EXPECT_EQ(said(claim, progress, "Ready"), "False UnhealthyDependents");
}

TEST(Status, IsTheSameTheSecondTime) {
  Claim claim = seed_claim();
  for (const ClaimKind kind : {ClaimKind::NodeClaim, ClaimKind::Machine}) {
    claim.kind = kind;
    const Progress progress = registered(claim, ready(local_node(claim)));
    claim.status = compute_status(claim, progress, kNow);
    EXPECT_TRUE(json::equal(json::encode(compute_status(claim, progress, "2027-01-01T00:00:00Z")),
                            json::encode(claim.status)));
  }
}

TEST(Status, SaysWhyNothingWasLaunched) {
  struct Case {
    base::ErrorCode code;
    const char* launched;
    const char* ready;
  };
  for (const Case& c : {Case{base::ErrorCode::Invalid, "False InstanceTypeResolutionFailed",
                             "False UnhealthyDependents"},
                        Case{base::ErrorCode::Unavailable, "Unknown InsufficientCapacityError",
                             "Unknown ReconcilingDependents"},
                        Case{base::ErrorCode::Forbidden, "Unknown LaunchFailed",
                             "Unknown ReconcilingDependents"}}) {
    Progress progress;
    progress.launch_error = base::Error(c.code, "do this");
    const auto status = compute_status(seed_claim(), progress, kNow);
    EXPECT_EQ(said(status, "Launched"), c.launched);
    EXPECT_EQ(said(status, "Ready"), c.ready);
    EXPECT_EQ(api::find_condition(status.conditions, "Launched")->message, "do this");
  }
}

TEST(Status, MachinesSpeakAsTheyDid) {
  Claim claim = seed_claim();
  claim.kind = ClaimKind::Machine;
  EXPECT_EQ(said(claim, {}, "MachineLaunched"), "Unknown AwaitingReconciliation");
  EXPECT_EQ(said(claim, {}, "MachineRegistered"), "False MachineNotLaunched");
  EXPECT_EQ(said(claim, launched(claim), "MachineRegistered"), "False NodeNotFound");
  const auto node = local_node(claim);
  EXPECT_EQ(said(claim, registered(claim, node), "MachineInitialized"), "False NodeNotReady");
  EXPECT_EQ(said(claim, registered(claim, node), "Ready"), "False NodeNotReady");
  const auto status = compute_status(claim, registered(claim, ready(node)), kNow);
  EXPECT_EQ(said(status, "Ready"), "True Ready");
  EXPECT_EQ(said(status, "Launched"), "absent");
  EXPECT_EQ(status.image_id, "") << "Machines have no such field";
}

TEST(Duration, ReadsWhatTheSchemaAllows) {
  EXPECT_EQ(parse_duration("1h30m10s"), 5410s);
  EXPECT_EQ(parse_duration("0s"), 0s);
  for (const char* bad : {"", "5", "m", "5d", "-1s", "Never", "1h5", "99999999999999999999s"}) {
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace provision

#include "provision/registration.h"

#include <gtest/gtest.h>

#include "json/codec.h"
#include "provision/labels.h"
#include "provision/testing.h"

namespace provision {
namespace {

using testing_support::local_node;
using testing_support::seed_claim;

/// A node as a kubelet registers it.
api::Node bare_node() {
  api::Node node;
  node.metadata.name = "vm-1";
  node.metadata.resource_version = "7";
  node.metadata.labels = {{"own", "label"}};
  node.spec.taints = {{std::string(kUnregisteredTaint), "", "NoExecute", ""},
                      {"own", "", "NoSchedule", ""}};
  return node;
}

TEST(Registration, GivesABareNodeAllThatTheClaimSays) {
  const Claim claim = seed_claim();
  const auto patch = plan_registration(claim, *to_request(claim), bare_node());
  ASSERT_TRUE(patch);
  EXPECT_EQ(json::find_string(*patch, "metadata.resourceVersion"), "7");
  const auto& metadata = *json::find_object(*patch, "metadata");
  EXPECT_EQ(metadata.at("labels").at("karpenter.sh/registered"), "true");
  EXPECT_EQ(metadata.at("labels").at("apps"), "phi-3");
  EXPECT_EQ(metadata.at("finalizers"), (json::Array{"karpenter.sh/termination"}));
  EXPECT_EQ(json::dump(metadata.at("ownerReferences").at(0).at("uid")), "\"claim-uid\"");
  EXPECT_EQ(
      json::dump(*json::find(*patch, "spec.taints")),
      R"([{"key":"own","effect":"NoSchedule"},{"key":"sku","value":"gpu","effect":"NoSchedule"}])");
}

TEST(Registration, LeavesALocalNodeAlone) {
  const Claim claim = seed_claim();
  EXPECT_FALSE(plan_registration(claim, *to_request(claim), local_node(claim)));
}

TEST(Registration, DoesNotGiveTaintsBackLater) {
  const Claim claim = seed_claim();
  api::Node node = local_node(claim);
  node.spec.taints.clear();
  EXPECT_FALSE(plan_registration(claim, *to_request(claim), node)) << "a user may take taints away";
  api::Node bare = bare_node();
  bare.metadata.labels[std::string(kLabelDoNotSyncTaints)] = "true";
  const auto patch = plan_registration(claim, *to_request(claim), bare);
  ASSERT_TRUE(patch);
  EXPECT_EQ(json::dump(*json::find(*patch, "spec.taints")),
            R"([{"key":"own","effect":"NoSchedule"}])");
}

TEST(Registration, ANodeOfAnEarlierClaimOfThatNameChangesItsOwner) {
  const Claim claim = seed_claim();
  api::Node node = local_node(claim);
  node.metadata.owner_references.front().uid = "earlier";
  const auto patch = plan_registration(claim, *to_request(claim), node);
  ASSERT_TRUE(patch);
  const auto& owners = *json::find_array(*patch, "metadata.ownerReferences");
  ASSERT_EQ(owners.size(), 1U);
  EXPECT_EQ(owners.at(0).at("uid"), "claim-uid");
}

TEST(Registration, LeavesWhatIsBeingDeleted) {
  Claim claim = seed_claim();
  api::Node node = bare_node();
  node.metadata.deletion_timestamp = "2026-11-24T18:00:00Z";
  EXPECT_FALSE(plan_registration(claim, *to_request(claim), node));
}

TEST(Registration, MarksANodeAsInitializedOnce) {
  api::Node node = bare_node();
  const auto patch = plan_initialization(node);
  ASSERT_TRUE(patch);
  EXPECT_EQ(patch->at("metadata").at("labels").at("karpenter.sh/initialized"), "true");
  node.metadata.labels[std::string(kLabelInitialized)] = "true";
  EXPECT_FALSE(plan_initialization(node));
}

TEST(Registration, KnowsWhoseANodeIs) {
  api::Node node = bare_node();
  EXPECT_EQ(claim_of(node), "");
  node.metadata.labels[std::string(kLabelClaim)] = "by-label";
  EXPECT_EQ(claim_of(node), "by-label");
  node.metadata.owner_references = {{"v1", "NodeClaim", "other-group", "u", {}, {}},
                                    {"karpenter.sh/v1alpha5", "Machine", "by-owner", "u", {}, {}}};
  EXPECT_EQ(claim_of(node), "by-owner");
}

TEST(Finalizer, KeepsTheOthers) {
  api::ObjectMeta metadata;
  metadata.finalizers = {"a", std::string(kTerminationFinalizer), "b"};
  metadata.resource_version = "9";
  EXPECT_TRUE(has_finalizer(metadata));
  EXPECT_EQ(json::dump(finalizer_patch(metadata, false)),
            R"({"metadata":{"finalizers":["a","b"],"resourceVersion":"9"}})");
}

}  // namespace
}  // namespace provision

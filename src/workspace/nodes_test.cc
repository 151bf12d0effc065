#include "workspace/nodes.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "workspace/testing.h"

namespace workspace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using namespace workspace::testing;

const api::Condition& condition(const NodePlan& plan, std::string_view type) {
  const api::Condition* found = api::find_condition(plan.conditions, type);
  static const api::Condition none;
  EXPECT_TRUE(found) << type;
  return found ? *found : none;
}

std::string reason(const NodePlan& plan, std::string_view type) {
  return condition(plan, type).status + " " + condition(plan, type).reason;
}

std::string first_name() { return claim_name("uid-1", 0); }

api::Workspace workspace_of(std::int32_t count) {
  api::Workspace made = preset_workspace();
  made.resource.count = count;
  return made;
}

/// An observation in which everything is as it should be.
Observed settled() {
  Observed made = observed(preset_workspace());
  made.claims = {claim(first_name())};
  add(made, own_node("n1"));
  return made;
}

TEST(ClaimName, IsDeterministicAndFitsAgentPools) {
  EXPECT_EQ(claim_name("uid-1", 0), claim_name("uid-1", 0));
  std::set<std::string> names;
  for (std::int32_t ordinal = 0; ordinal < 100; ++ordinal) names.insert(claim_name("u", ordinal));
  EXPECT_EQ(names.size(), 100U);
  for (const std::string& name : names) EXPECT_THAT(name, MatchesRegex("^[a-z][a-z0-9]{0,11}$"));
  EXPECT_NE(claim_name("uid-1", 0), claim_name("uid-2", 0));
}

TEST(PlanNodes, AsksForOneClaimForEachNodeWanted) {
  const NodePlan plan = plan_nodes(observed(workspace_of(3)), options());
  EXPECT_EQ(plan.target, 3);
  EXPECT_THAT(plan.create,
              ::testing::UnorderedElementsAre(claim_name("uid-1", 0), claim_name("uid-1", 1),
                                              claim_name("uid-1", 2)));
  EXPECT_THAT(plan.remove, IsEmpty());
  EXPECT_FALSE(plan.ready);
  EXPECT_EQ(reason(plan, "NodeClaimReady"), "False NodeClaimNotReady");
  EXPECT_EQ(reason(plan, "ResourceReady"), "False NodeClaimNotReady");
}

TEST(PlanNodes, LeavesNothingToPlanOnceAllIsThere) {
  const NodePlan plan = plan_nodes(settled(), options());
  EXPECT_THAT(plan.create, IsEmpty());
  EXPECT_THAT(plan.remove, IsEmpty());
  EXPECT_THAT(plan.label_gpu, IsEmpty());
  EXPECT_THAT(plan.worker_nodes, ElementsAre("n1"));
  EXPECT_TRUE(plan.ready);
  EXPECT_EQ(reason(plan, "NodeClaimReady"), "True NodeClaimsReady");
  EXPECT_EQ(reason(plan, "NodesReady"), "True NodesReady");
  EXPECT_EQ(reason(plan, "ResourceReady"), "True workspaceResourceStatusSuccess");
}

TEST(PlanNodes, GivesUpClaimsThatNobodyNeeds) {
  Observed seen = settled();
  seen.claims.push_back(claim(claim_name("uid-1", 1)));
  seen.claims.push_back(claim("of-another-release"));
  Claim going = claim(claim_name("uid-1", 2));
  going.deleting = true;
  seen.claims.push_back(going);
  const NodePlan plan = plan_nodes(seen, options());
  EXPECT_THAT(plan.create, IsEmpty());
  EXPECT_THAT(plan.remove,
              ::testing::UnorderedElementsAre(claim_name("uid-1", 1), "of-another-release"));
}

TEST(PlanNodes, MakesAClaimAnewOnlyWhenTheOldOneIsGone) {
  Observed seen = settled();
  seen.claims[0].deleting = true;
  EXPECT_THAT(plan_nodes(seen, options()).create, IsEmpty());
  EXPECT_FALSE(plan_nodes(seen, options()).ready);
  seen.claims.clear();
  EXPECT_THAT(plan_nodes(seen, options()).create, ElementsAre(first_name()));
}

TEST(PlanNodes, TakesPreferredNodesInsteadOfClaims) {
  api::Workspace workspace = workspace_of(2);
  workspace.resource.preferred_nodes = {"mine", "busy", "wrong", "sick", "absent"};
  Observed seen = observed(workspace);
  add(seen, free_node("mine"));
  api::Node busy = own_node("busy");
  busy.metadata.labels[std::string(api::kLabelWorkspace)] = "other";
  add(seen, busy);
  api::Node wrong = free_node("wrong");
  wrong.metadata.labels[std::string(api::kLabelInstanceType)] = "Standard_NC6";
  add(seen, wrong);
  api::Node sick = free_node("sick");
  sick.status.conditions[0].status = "False";
  add(seen, sick);
  add(seen, free_node("unasked"));
  const NodePlan plan = plan_nodes(seen, options());
  EXPECT_THAT(plan.reused, ElementsAre("mine"));
  EXPECT_THAT(plan.create, ElementsAre(first_name()));
  EXPECT_THAT(plan.worker_nodes, ElementsAre("mine"));
}

TEST(PlanNodes, NeedsNoClaimWhenPreferredNodesSuffice) {
  api::Workspace workspace = preset_workspace();
  workspace.resource.preferred_nodes = {"mine"};
  Observed seen = observed(workspace);
  add(seen, free_node("mine"));
  const NodePlan plan = plan_nodes(seen, options());
  EXPECT_THAT(plan.create, IsEmpty());
  EXPECT_TRUE(plan.ready);
}

TEST(PlanNodes, NamesMachinesAsMachines) {
  Observed seen = settled();
  const Options machines = options(NodeProvisioner::Machine);
  EXPECT_EQ(reason(plan_nodes(seen, machines), "MachineReady"), "True MachinesReady");
  EXPECT_FALSE(api::find_condition(plan_nodes(seen, machines).conditions, "NodeClaimReady"));
  seen.claims.clear();
  EXPECT_EQ(reason(plan_nodes(seen, machines), "MachineReady"), "False MachineNotReady");
}

TEST(PlanNodes, AsksForNoNodeForWhatCannotRun) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->preset->name = "no-such-model";
  Observed seen = observed(workspace);
  NodePlan plan = plan_nodes(seen, options());
  EXPECT_THAT(plan.create, IsEmpty());
  ASSERT_TRUE(plan.problem);
  EXPECT_EQ(plan.problem->reason, "PresetUnknown");
  EXPECT_TRUE(plan.problem->stalled);
  EXPECT_FALSE(plan.ready);
  EXPECT_EQ(reason(plan, "NodeClaimReady"), "False PresetUnknown") << "no claims is not enough";
  EXPECT_EQ(reason(plan, "ResourceReady"), "False PresetUnknown");

  seen.claims = {claim(first_name())};
  EXPECT_THAT(plan_nodes(seen, options()).remove, ElementsAre(first_name()))
      << "nothing runs, so its node goes back";
  seen.stateful_set = std::make_shared<const api::StatefulSet>();
  plan = plan_nodes(seen, options());
  EXPECT_THAT(plan.remove, IsEmpty()) << "what runs keeps its node";
}

TEST(PlanNodes, KnowsEveryBlocker) {
  const auto problem = [](const api::Workspace& workspace) {
    const NodePlan plan = plan_nodes(observed(workspace), options());
    if (!plan.problem) return std::string("none");
    EXPECT_THAT(plan.create, IsEmpty());
    return plan.problem->reason;
  };
  api::Workspace workspace = preset_workspace();
  EXPECT_EQ(problem(workspace), "none") << "nothing blocks, but";
  workspace.inference->config = "missing";
  EXPECT_EQ(problem(workspace), "ConfigMapNotFound");
  workspace = preset_workspace();
  workspace.inference->adapters.emplace_back();
  EXPECT_EQ(problem(workspace), "AdapterIncomplete");
  workspace = preset_workspace();
  workspace.metadata.annotations[std::string(api::kAnnotationRuntime)] = "vllm";
  EXPECT_EQ(problem(workspace), "RuntimeNotAvailable");
  workspace = preset_workspace();
  workspace.inference->preset.reset();
  EXPECT_EQ(problem(workspace), "NothingToRun");
  workspace = tuning_workspace();
  EXPECT_EQ(problem(workspace), "none");
  workspace.tuning->config = "missing";
  EXPECT_EQ(problem(workspace), "ConfigMapNotFound");
  workspace = tuning_workspace();
  workspace.tuning->output->image.clear();
  EXPECT_EQ(problem(workspace), "NothingToRun");
}

TEST(PlanNodes, TakesAnIdOfTheHubAsItComes) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->preset->name = "someone/New-Model";
  workspace.resource.instance_type = "Standard_NC6";
  workspace.resource.count = 2;
  const NodePlan plan = plan_nodes(observed(workspace), options());
  EXPECT_FALSE(plan.problem);
  EXPECT_EQ(plan.create.size(), 2U);
}

TEST(PlanNodes, RefusesAnInstanceThatCannotHoldTheModel) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->preset->name = "falcon-7b-instruct";
  workspace.resource.instance_type = "Standard_NC6";
  NodePlan plan = plan_nodes(observed(workspace), options());
  ASSERT_TRUE(plan.problem);
  EXPECT_EQ(plan.problem->reason, "InstanceTooSmall");
  EXPECT_THAT(plan.create, IsEmpty());
  workspace.metadata.annotations[std::string(api::kAnnotationBypassResourceChecks)] = "true";
  plan = plan_nodes(observed(workspace), options());
  EXPECT_FALSE(plan.problem);
  EXPECT_EQ(plan.create.size(), 1U);
}

TEST(PlanNodes, WaitsForTheDevicePlugin) {
  Observed seen = observed(preset_workspace());
  seen.claims = {claim(first_name())};
  api::Node node = own_node("n1");
  node.status.capacity.clear();
  node.metadata.labels.erase("accelerator");
  add(seen, node);
  const NodePlan plan = plan_nodes(seen, options());
  EXPECT_THAT(plan.label_gpu, ElementsAre("n1"));
  EXPECT_EQ(reason(plan, "NodesReady"), "False NodePluginsNotReady");
  EXPECT_EQ(reason(plan, "ResourceReady"), "False NodePluginsNotReady");
}

TEST(PlanNodes, SaysWhatAClaimSays) {
  Observed seen = observed(workspace_of(2));
  Claim waiting = claim("a", "False");
  waiting.conditions.push_back({.type = "Launched",
                                .status = "Unknown",
                                .reason = "AwaitingReconciliation",
                                .message = "soon"});
  Claim failing = claim("b", "False");
  failing.conditions.push_back({.type = "Launched",
                                .status = "Unknown",
                                .reason = "InsufficientCapacityError",
                                .message = std::string(1000, 'x')});
  seen.claims = {waiting, failing};
  const NodePlan plan = plan_nodes(seen, options());
  EXPECT_EQ(reason(plan, "NodeClaimReady"), "False InsufficientCapacityError");
  EXPECT_LT(condition(plan, "NodeClaimReady").message.size(), 300U);
  seen.claims = {waiting};
  EXPECT_EQ(reason(plan_nodes(seen, options()), "NodeClaimReady"), "False AwaitingReconciliation");
}

TEST(PlanNodes, CountsOnlyReadyNodesOfTheRightKind) {
  Observed seen = observed(preset_workspace());
  seen.claims = {claim(first_name())};
  api::Node node = own_node("n1");
  node.status.conditions = {{.type = "Ready", .status = "False"},
                            {.type = "DiskPressure", .status = "True"}};
  add(seen, node);
  const NodePlan plan = plan_nodes(seen, options());
  EXPECT_EQ(reason(plan, "NodesReady"), "False NodeNotReady");
  EXPECT_THAT(condition(plan, "NodesReady").message, HasSubstr("n1 has DiskPressure"));
}

struct ByoCase {
  const char* name;
  std::int32_t count;
  std::vector<std::string> ready;
  std::vector<std::string> not_ready;
  bool enough;
};

class PlanByo : public ::testing::TestWithParam<ByoCase> {};

TEST_P(PlanByo, CountsNodesThatMatch) {
  api::Workspace workspace = workspace_of(GetParam().count);
  workspace.resource.instance_type.clear();
  Observed seen = observed(workspace);
  for (const std::string& name : GetParam().ready) add(seen, free_node(name));
  for (const std::string& name : GetParam().not_ready) {
    api::Node node = free_node(name);
    node.status.conditions.clear();
    add(seen, node);
  }
  api::Node foreign = free_node("foreign");
  foreign.metadata.labels["apps"] = "other";
  add(seen, foreign);
  const NodePlan plan = plan_nodes(seen, options(NodeProvisioner::Byo));
  EXPECT_THAT(plan.create, IsEmpty());
  EXPECT_THAT(plan.remove, IsEmpty());
  EXPECT_EQ(plan.ready, GetParam().enough);
  EXPECT_EQ(plan.worker_nodes.size(), GetParam().ready.size() + GetParam().not_ready.size());
  EXPECT_FALSE(api::find_condition(plan.conditions, "NodeClaimReady"));
  EXPECT_EQ(reason(plan, "ResourceReady"), GetParam().enough
                                               ? "True workspaceResourceStatusSuccess"
                                               : "False workspaceResourceStatusNotReady");
}

INSTANTIATE_TEST_SUITE_P(Cases, PlanByo,
                         ::testing::Values(ByoCase{"None", 1, {}, {}, false},
                                           ByoCase{"One", 1, {"a"}, {}, true},
                                           ByoCase{"Sick", 1, {}, {"a"}, false},
                                           ByoCase{"OneOfTwo", 2, {"a"}, {"b"}, false},
                                           ByoCase{"More", 2, {"c", "a", "b"}, {}, true}),
                         [](const auto& test) { return test.param.name; });

TEST(MatchesSelector, ObeysExpressionsAndIgnoresReservedKeys) {
  api::Workspace workspace = preset_workspace();
  workspace.resource.label_selector.match_labels["kaito.sh/workspace"] = "whatever";
  workspace.resource.label_selector.match_expressions = {{"zone", "In", {"z1", "z2"}}};
  api::Node node = free_node("n");
  EXPECT_FALSE(matches_selector(workspace, node));
  node.metadata.labels["zone"] = "z2";
  EXPECT_TRUE(matches_selector(workspace, node));
  node.metadata.labels["apps"] = "other";
  EXPECT_FALSE(matches_selector(workspace, node));
  EXPECT_EQ(selective_label(workspace), "apps=phi");
  workspace.resource.label_selector.match_labels = {{"kubernetes.io/os", "linux"}};
  EXPECT_EQ(selective_label(workspace), std::nullopt);
}

std::string value_of(const json::Value& claim, std::string_view key) {
  for (const json::Value& requirement : *json::find_array(claim, "spec.requirements")) {
    if (json::find_string(requirement, "key") != key) continue;
    return fmt::format("{} {}", json::find_string(requirement, "operator"),
                       json::dump(requirement.as_object().at("values")));
  }
  return "none";
}

TEST(MakeClaim, HasTheShapeOfEachCloud) {
  const Observed seen = observed(preset_workspace());
  Options chosen = options();
  const json::Value azure = make_claim(seen, chosen, "ws1");
  EXPECT_EQ(json::find_string(azure, "apiVersion"), "karpenter.sh/v1");
  EXPECT_EQ(json::find_string(azure, "kind"), "NodeClaim");
  EXPECT_EQ(json::find_string(azure, "metadata.name"), "ws1");
  const json::Object& labels = *json::find_object(azure, "metadata.labels");
  EXPECT_EQ(labels.at("apps"), "phi");
  EXPECT_EQ(labels.at("karpenter.sh/nodepool"), "kaito");
  EXPECT_EQ(labels.at("kaito.sh/workspace"), "w");
  EXPECT_EQ(labels.at("kaito.sh/workspacenamespace"), "d");
  EXPECT_EQ(value_of(azure, "node.kubernetes.io/instance-type"),
            "In [\"Standard_NC24ads_A100_v4\"]");
  EXPECT_EQ(value_of(azure, "karpenter.azure.com/sku-name"), "In [\"Standard_NC24ads_A100_v4\"]");
  EXPECT_EQ(value_of(azure, "karpenter.sh/nodepool"), "In [\"kaito\"]");
  EXPECT_EQ(value_of(azure, "kubernetes.io/os"), "In [\"linux\"]");
  EXPECT_EQ(json::find_string(azure, "spec.nodeClassRef.kind"), "KaitoNodeClass");
  EXPECT_EQ(json::find_string(azure, "spec.resources.requests.storage"), "87Gi");
  EXPECT_EQ(json::dump(*json::find(azure, "spec.taints")),
            R"([{"key":"sku","value":"gpu","effect":"NoSchedule"}])");
  const json::Object& annotations = *json::find_object(azure, "metadata.annotations");
  EXPECT_EQ(annotations.at("karpenter.sh/do-not-disrupt"), "true");
  EXPECT_EQ(annotations.at("kaito.sh/node-image-family"), "ubuntu");

  chosen.cloud = "aws";
  const json::Value aws = make_claim(seen, chosen, "ws1");
  EXPECT_EQ(value_of(aws, "karpenter.k8s.aws/instance-gpu-count"), "Gt [\"0\"]");
  EXPECT_EQ(value_of(aws, "karpenter.azure.com/sku-name"), "none");
  EXPECT_EQ(json::find_string(aws, "spec.nodeClassRef.kind"), "EC2NodeClass");

  chosen.cloud = "local";
  const json::Value local = make_claim(seen, chosen, "ws1");
  EXPECT_EQ(value_of(local, "karpenter.azure.com/sku-name"), "none");
  EXPECT_EQ(json::find_string(local, "spec.nodeClassRef.group"), "kaito.sh");
}

TEST(MakeClaim, MakesMachinesOfEarlierReleases) {
  const json::Value machine =
      make_claim(observed(preset_workspace()), options(NodeProvisioner::Machine), "ws1");
  EXPECT_EQ(json::find_string(machine, "apiVersion"), "karpenter.sh/v1alpha5");
  EXPECT_EQ(json::find_string(machine, "kind"), "Machine");
  EXPECT_EQ(json::find_string(machine, "spec.machineTemplateRef.name"), "ws1");
  EXPECT_EQ(value_of(machine, "karpenter.sh/provisioner-name"), "In [\"default\"]");
  EXPECT_EQ(value_of(machine, "kaito.sh/machine-type"), "In [\"gpu\"]");
  EXPECT_FALSE(json::find(machine, "spec.nodeClassRef"));
}

TEST(MakeClaim, GivesNewNodesWhatTheSelectorAsksFor) {
  api::Workspace workspace = preset_workspace();
  workspace.metadata.annotations["kaito.sh/node-image-family"] = "azurelinux";
  workspace.resource.label_selector.match_labels["kaito.sh/workspace"] = "somebody-else";
  workspace.resource.label_selector.match_expressions = {{"pool", "In", {"a", "b"}},
                                                         {"slow", "DoesNotExist", {}}};
  const json::Value made = make_claim(observed(workspace), options(), "ws1");
  const json::Object& labels = *json::find_object(made, "metadata.labels");
  EXPECT_EQ(labels.at("pool"), "a");
  EXPECT_FALSE(labels.contains("slow"));
  EXPECT_EQ(labels.at("kaito.sh/workspace"), "w");
  EXPECT_EQ(json::find_object(made, "metadata.annotations")->at("kaito.sh/node-image-family"),
            "azurelinux");
}

}  // namespace
}  // namespace workspace

#include "workspace/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workspace/testing.h"

namespace workspace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace workspace::testing;

/// A workspace with one node and a workload, and what becomes of its status.
class Status : public ::testing::Test {
 protected:
  Status() {
    seen = observed(workspace);
    seen.claims = {claim(claim_name("uid-1", 0))};
    add(seen, own_node("n1"));
    api::StatefulSet set;
    set.metadata.name = "w";
    set.metadata.generation = 1;
    set.spec.replicas = 1;
    set.spec.selector.match_labels = {{"kaito.sh/workspace", "w"}};
    set.status.observed_generation = 1;
    seen.stateful_set = std::make_shared<const api::StatefulSet>(set);
  }

  /// A pod of the current template.
  api::Pod pod(bool ready) const {
    api::Pod made;
    made.metadata.name = "w-0";
    made.metadata.uid = "pod-1";
    made.metadata.annotations[std::string(kTemplateHashAnnotation)] =
        plan_serving(seen, plan_nodes(seen, options()), options()).template_hash;
    made.status.pod_ip = "10.0.0.7";
    made.status.conditions = {{.type = "Ready", .status = ready ? "True" : "False"}};
    return made;
  }
  void add_pod(const api::Pod& made) {
    seen.pods.push_back(std::make_shared<const api::Pod>(made));
  }
  void add_failing(api::ContainerStatus container, bool init = false) {
    api::Pod made = pod(false);
    (init ? made.status.init_container_statuses
          : made.status.container_statuses) = {std::move(container)};
    add_pod(made);
  }

  ServingState serving_state() const {
    return observe_serving(seen, plan_serving(seen, plan_nodes(seen, options()), options()));
  }
  /// Computes the status and makes it the workspace's.
  void compute() {
    const NodePlan nodes = plan_nodes(seen, options());
    const ServePlan serving = plan_serving(seen, nodes, options());
    const ServingState state = observe_serving(seen, serving);
    status = compute_status({.observed = seen,
                             .nodes = nodes,
                             .serving = &serving,
                             .state = &state,
                             .canary = canary,
                             .error = error,
                             .now = now});
    workspace.status = status;
    seen.workspace = std::make_shared<const api::Workspace>(workspace);
  }
  std::string said(std::string_view type) const {
    const api::Condition* found = api::find_condition(status.conditions, type);
    return found ? found->status + " " + found->reason : "absent";
  }
  std::string message(std::string_view type) const {
    const api::Condition* found = api::find_condition(status.conditions, type);
    return found ? found->message : "absent";
  }

  api::Workspace workspace = preset_workspace();
  Observed seen;
  CanaryResult canary;
  std::optional<base::Error> error;
  api::Time now = "2026-11-24T20:00:00Z";
  api::WorkspaceStatus status;
};

TEST_F(Status, StartsPending) {
  seen.claims.clear();
  seen.nodes.clear();
  seen.stateful_set.reset();
  compute();
  EXPECT_EQ(status.state, "Pending");
  EXPECT_EQ(status.target_node_count, 1);
  EXPECT_EQ(said("NodeClaimReady"), "False NodeClaimNotReady");
  EXPECT_EQ(said("ResourceReady"), "False NodeClaimNotReady");
  EXPECT_EQ(said("InferenceReady"), "False WorkspaceInferenceStatusPending");
  EXPECT_EQ(said("WorkspaceReady"), "False NodeClaimNotReady");
  EXPECT_EQ(said("WorkspaceSucceeded"), "False workspacePending");
  EXPECT_EQ(said("Ready"), "False NodeClaimNotReady");
  EXPECT_EQ(said("Reconciling"), "True NodeClaimNotReady");
  EXPECT_EQ(said("Stalled"), "False NotStalled");
  for (const api::Condition& condition : status.conditions) {
    EXPECT_EQ(condition.observed_generation, 3);
    EXPECT_FALSE(condition.reason.empty()) << condition.type;
    EXPECT_FALSE(condition.message.empty()) << condition.type;
  }
}

TEST_F(Status, IsReadyOnlyWhenThePodGaveAToken) {
  add_pod(pod(true));
  compute();
  EXPECT_EQ(said("InferenceReady"), "True WorkspaceInferenceStatusSuccess");
  EXPECT_EQ(said("WorkspaceReady"), "False CanaryPending");
  EXPECT_EQ(status.state, "Pending");
  canary = {CanaryState::Failed, "connection refused"};
  compute();
  EXPECT_EQ(said("WorkspaceReady"), "False CanaryFailed");
  EXPECT_THAT(message("WorkspaceReady"), HasSubstr("w-0"));
  EXPECT_THAT(message("WorkspaceReady"), HasSubstr("connection refused"));
  canary = {CanaryState::Passed, ""};
  compute();
  EXPECT_EQ(said("WorkspaceReady"), "True workspaceReady");
  EXPECT_EQ(said("WorkspaceSucceeded"), "True workspaceSucceeded");
  EXPECT_EQ(said("Ready"), "True workspaceReady");
  EXPECT_EQ(said("Reconciling"), "False Settled");
  EXPECT_EQ(said("Stalled"), "False NotStalled");
  EXPECT_EQ(status.state, "Ready");
  EXPECT_THAT(status.worker_nodes, ElementsAre("n1"));
}

TEST_F(Status, StaysReadyWhileANewOperatorKnowsNothingYet) {
  add_pod(pod(true));
  canary.state = CanaryState::Passed;
  compute();
  canary.state = CanaryState::Unknown;
  compute();
  EXPECT_EQ(said("WorkspaceReady"), "True workspaceReady");
  seen.pods.clear();
  compute();
  EXPECT_EQ(status.state, "NotReady");
  add_pod(pod(true));
  compute();
  EXPECT_EQ(said("WorkspaceReady"), "False CanaryPending") << "it has to prove itself anew";
}

TEST_F(Status, IsTheSameTheSecondTime) {
  for (const bool ready : {false, true}) {
    seen.pods.clear();
    add_pod(pod(ready));
    canary.state = ready ? CanaryState::Passed : CanaryState::Unknown;
    compute();
    const json::Value first = json::write_value(status);
    now = "2027-01-01T00:00:00Z";
    compute();
    EXPECT_EQ(json::dump_canonical(first), json::dump_canonical(json::write_value(status)));
  }
}

TEST_F(Status, ARegressionIsNotReadyAndNeverPendingAgain) {
  add_pod(pod(true));
  canary.state = CanaryState::Passed;
  compute();
  ASSERT_EQ(status.state, "Ready");
  seen.nodes.clear();
  seen.pods.clear();
  now = "2026-11-24T21:00:00Z";
  compute();
  EXPECT_EQ(status.state, "NotReady");
  EXPECT_EQ(said("ResourceReady"), "False NodeNotReady");
  EXPECT_TRUE(status.worker_nodes.empty());
  EXPECT_EQ(api::find_condition(status.conditions, "Ready")->last_transition_time, now);
  EXPECT_EQ(api::find_condition(status.conditions, "NodeClaimReady")->last_transition_time,
            "2026-11-24T20:00:00Z");
  compute();
  EXPECT_EQ(status.state, "NotReady");
}

TEST_F(Status, CountsOnlyPodsOfTheCurrentTemplate) {
  api::Pod old = pod(true);
  old.metadata.annotations[std::string(kTemplateHashAnnotation)] = "old";
  add_pod(old);
  EXPECT_FALSE(serving_state().rolled_out);
  EXPECT_FALSE(serving_state().canary_target);
  add_pod(pod(true));
  const ServingState state = serving_state();
  EXPECT_TRUE(state.rolled_out);
  ASSERT_TRUE(state.canary_target);
  EXPECT_EQ(*state.canary_target, (CanaryTarget{"pod-1", 0, "10.0.0.7:5000"}));
  api::StatefulSet set = *seen.stateful_set;
  set.metadata.generation = 2;
  seen.stateful_set = std::make_shared<const api::StatefulSet>(set);
  EXPECT_FALSE(serving_state().rolled_out) << "its controller has not looked at it yet";
}

TEST_F(Status, SaysThatTheModelImageIsMissing) {
  api::ContainerStatus puller{.name = "model-weights-downloader"};
  puller.state.waiting = {.reason = "CrashLoopBackOff", .message = "back-off"};
  puller.last_state.terminated = {.exit_code = 3, .message = "registry.test has no kaito-x:1"};
  add_failing(puller, true);
  compute();
  EXPECT_EQ(said("InferenceReady"), "False ModelImageNotFound");
  EXPECT_EQ(said("WorkspaceReady"), "False ModelImageNotFound");
  EXPECT_EQ(said("Stalled"), "True ModelImageNotFound");
  EXPECT_EQ(said("Reconciling"), "False Settled");
  EXPECT_EQ(message("WorkspaceReady"), "registry.test has no kaito-x:1");
}

struct FaultCase {
  const char* reason;
  bool stalled;
  api::ContainerState state;
  api::ContainerState last_state;
  const char* message;
};

TEST_F(Status, SaysWhyAContainerDoesNotRun) {
  const auto waiting = [](const char* reason, const char* message) {
    api::ContainerState state;
    state.waiting = {.reason = reason, .message = message};
    return state;
  };
  const auto ended = [](const char* reason, std::int32_t code, const char* message) {
    api::ContainerState state;
    state.terminated = {.exit_code = code, .reason = reason, .message = message};
    return state;
  };
  for (const FaultCase& c : {
           FaultCase{
               "ImagePullError", true, waiting("ErrImagePull", "no such host"), {}, "no such host"},
           FaultCase{"ImagePullError", true, waiting("ImagePullBackOff", "b"), {}, "b"},
           FaultCase{"ContainerStartError",
                     true,
                     waiting("CreateContainerConfigError", "secret"),
                     {},
                     "secret"},
           FaultCase{"ContainerCrashLoopBackOff", true, waiting("CrashLoopBackOff", "back-off"),
                     ended("Error", 1, "cannot read model.gguf"),
                     "exit code 1: cannot read model.gguf"},
           FaultCase{"ContainerOOMKilled", true, waiting("CrashLoopBackOff", "back-off"),
                     ended("OOMKilled", 137, ""), "ran out of memory"},
           FaultCase{"ContainerStartError",
                     true,
                     ended("Error", 2, "bad flag"),
                     {},
                     "exit code 2: bad flag"},
       }) {
    seen.pods.clear();
    api::ContainerStatus container{.name = "w", .state = c.state, .last_state = c.last_state};
    container.restart_count = 4;
    add_failing(container);
    compute();
    EXPECT_EQ(said("InferenceReady"), std::string("False ") + c.reason);
    EXPECT_EQ(said("Ready"), std::string("False ") + c.reason);
    EXPECT_EQ(said("Stalled").substr(0, 4) == "True", c.stalled) << c.reason;
    EXPECT_THAT(message("InferenceReady"), HasSubstr(c.message));
    EXPECT_EQ(status.state, "Pending");
  }
}

TEST_F(Status, BetweenTwoCrashesItStillSaysWhy) {
  api::ContainerStatus container{.name = "w"};
  container.state.running = {.started_at = now};
  container.last_state.terminated = {.exit_code = 1, .message = "cannot read model.gguf"};
  container.restart_count = 1;
  add_failing(container);
  compute();
  EXPECT_EQ(said("InferenceReady"), "False ContainerCrashLoopBackOff");
  EXPECT_THAT(message("InferenceReady"), HasSubstr("cannot read model.gguf"));
}

TEST_F(Status, SaysWhatNodesDoToPods) {
  api::Pod evicted = pod(false);
  evicted.status.phase = "Failed";
  evicted.status.reason = "Evicted";
  evicted.status.message = "The node was low on resource: ephemeral-storage.";
  add_pod(evicted);
  compute();
  EXPECT_EQ(said("InferenceReady"), "False NodeDiskPressure");
  EXPECT_EQ(said("Stalled"), "False NotStalled");

  seen.pods.clear();
  api::Pod waiting = pod(false);
  waiting.status.conditions.push_back({.type = "PodScheduled",
                                       .status = "False",
                                       .reason = "Unschedulable",
                                       .message = "0/3 nodes are available"});
  add_pod(waiting);
  compute();
  EXPECT_EQ(said("InferenceReady"), "False Unschedulable");
  EXPECT_THAT(message("Ready"), HasSubstr("0/3 nodes"));
}

TEST_F(Status, CarriesTheErrorOfThePass) {
  error = base::Error(base::ErrorCode::Forbidden, "services is forbidden");
  compute();
  EXPECT_THAT(message("InferenceReady"), HasSubstr("services is forbidden"));
  EXPECT_THAT(message("WorkspaceReady"), HasSubstr("services is forbidden"));
}

TEST_F(Status, StallsOnWhatNobodyCanRun) {
  workspace.inference->preset->name = "no-such-model";
  seen = observed(workspace);
  compute();
  EXPECT_EQ(said("Ready"), "False PresetUnknown");
  EXPECT_EQ(said("Stalled"), "True PresetUnknown");
  EXPECT_EQ(said("InferenceReady"), "False PresetUnknown");
  EXPECT_EQ(status.state, "Pending");
}

TEST_F(Status, DropsConditionsOfAnotherProvisioner) {
  workspace.status.conditions = {
      {.type = "MachineReady", .status = "True", .reason = "MachinesReady"},
      {.type = "Foreign", .status = "True", .reason = "Kept"}};
  seen.workspace = std::make_shared<const api::Workspace>(workspace);
  compute();
  EXPECT_EQ(said("MachineReady"), "absent");
  EXPECT_EQ(said("Foreign"), "True Kept");
}

TEST_F(Status, SaysThatItIsBeingDeleted) {
  workspace.metadata.deletion_timestamp = now;
  seen.workspace = std::make_shared<const api::Workspace>(workspace);
  compute();
  EXPECT_EQ(said("WorkspaceDeleting"), "True workspaceDeleted");
  EXPECT_EQ(said("Ready"), "False workspaceDeleted");
}

TEST_F(Status, ATemplateNeedsNoCanary) {
  workspace.inference->preset.reset();
  workspace.inference->pod_template = json::Object{
      {"spec", json::Object{{"containers", json::Array{json::Object{{"name", "c"}}}}}}};
  seen.workspace = std::make_shared<const api::Workspace>(workspace);
  seen.preset.reset();
  resolve_phase(seen, {});
  add_pod(pod(true));
  compute();
  EXPECT_EQ(said("WorkspaceReady"), "True workspaceReady");
}

}  // namespace
}  // namespace workspace

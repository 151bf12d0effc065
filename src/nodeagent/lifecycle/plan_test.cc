#include "nodeagent/lifecycle/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nodeagent/lifecycle/status.h"

namespace nodeagent {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr base::SteadyTime kNow{1000s};

api::Pod make_pod(const std::string& restart_policy, std::vector<std::string> inits = {},
                  std::vector<std::string> sidecars = {}) {
  api::Pod pod;
  pod.metadata.name = "pod";
  pod.spec.restart_policy = restart_policy;
  for (const std::string& name : sidecars) {
    api::Container container;
    container.name = name;
    container.restart_policy = "Always";
    pod.spec.init_containers.push_back(container);
  }
  for (const std::string& name : inits) {
    api::Container container;
    container.name = name;
    pod.spec.init_containers.push_back(container);
  }
  api::Container main;
  main.name = "main";
  pod.spec.containers.push_back(main);
  return pod;
}

ContainerRecord running() {
  ContainerRecord record;
  record.phase = ContainerPhase::Running;
  record.started = record.ready = true;
  return record;
}

ContainerRecord ended(int exit_code, base::SteadyTime not_before = {}) {
  ContainerRecord record;
  record.phase = ContainerPhase::Ended;
  record.last = Termination{.exit_code = exit_code};
  record.not_before = not_before;
  return record;
}

Action start(std::string name) { return {ActionKind::Start, std::move(name)}; }
Action stop(std::string name) { return {ActionKind::Stop, std::move(name)}; }
Action kill(std::string name) { return {ActionKind::Kill, std::move(name)}; }

TEST(NextActions, InitContainersRunInOrderThenTheMainOnes) {
  const api::Pod pod = make_pod("Always", {"one", "two"});
  PodRecord record;
  EXPECT_THAT(next_actions(pod, record, kNow).actions, ElementsAre(start("one")));
  record.containers["one"] = running();
  EXPECT_THAT(next_actions(pod, record, kNow).actions, IsEmpty());
  record.containers["one"] = ended(0);
  EXPECT_THAT(next_actions(pod, record, kNow).actions, ElementsAre(start("two")));
  record.containers["two"] = ended(0);
  EXPECT_EQ(pod_phase(pod, record), "Pending");
  EXPECT_THAT(next_actions(pod, record, kNow).actions, ElementsAre(start("main")));
  record.containers["main"] = running();
  EXPECT_THAT(next_actions(pod, record, kNow).actions, IsEmpty());
  EXPECT_EQ(pod_phase(pod, record), "Running");
}

TEST(NextActions, AFailedInitContainerIsTriedAgainUnlessThePolicyForbids) {
  PodRecord record;
  record.containers["one"] = ended(1, kNow + 5s);
  const Plan waiting = next_actions(make_pod("Always", {"one"}), record, kNow);
  EXPECT_THAT(waiting.actions, IsEmpty());
  EXPECT_EQ(waiting.wake_at, kNow + 5s);
  EXPECT_THAT(next_actions(make_pod("Always", {"one"}), record, kNow + 5s).actions,
              ElementsAre(start("one")));
  EXPECT_THAT(next_actions(make_pod("Never", {"one"}), record, kNow + 5s).actions, IsEmpty());
  EXPECT_EQ(pod_phase(make_pod("Never", {"one"}), record), "Failed");
}

TEST(NextActions, SidecarsStartFirstAndStopLast) {
  const api::Pod pod = make_pod("Never", {}, {"proxy"});
  PodRecord record;
  EXPECT_THAT(next_actions(pod, record, kNow).actions, ElementsAre(start("proxy")));
  record.containers["proxy"] = running();
  record.containers["proxy"].started = false;
  EXPECT_THAT(next_actions(pod, record, kNow).actions, IsEmpty());
  record.containers["proxy"].started = true;
  EXPECT_THAT(next_actions(pod, record, kNow).actions, ElementsAre(start("main")));
  record.containers["main"] = ended(0);
  EXPECT_THAT(next_actions(pod, record, kNow).actions, ElementsAre(stop("proxy")));
  EXPECT_EQ(pod_phase(pod, record), "Succeeded");
  record.containers["main"] = running();
  record.removing = true;
  EXPECT_THAT(next_actions(pod, record, kNow).actions, ElementsAre(stop("main")));
}

struct RestartCase {
  std::string policy;
  int exit_code;
  bool restarts;
  std::string phase;
};

TEST(NextActions, RestartPolicyTable) {
  const std::vector<RestartCase> cases = {{"Always", 0, true, "Running"},
                                          {"Always", 1, true, "Running"},
                                          {"OnFailure", 0, false, "Succeeded"},
                                          {"OnFailure", 1, true, "Running"},
                                          {"Never", 0, false, "Succeeded"},
                                          {"Never", 1, false, "Failed"},
                                          {"", 1, true, "Running"}};
  for (const RestartCase& c : cases) {
    SCOPED_TRACE(c.policy + std::to_string(c.exit_code));
    PodRecord record;
    record.containers["main"] = ended(c.exit_code);
    const Plan plan = next_actions(make_pod(c.policy), record, kNow);
    EXPECT_EQ(!plan.actions.empty(), c.restarts);
    EXPECT_EQ(pod_phase(make_pod(c.policy), record), c.phase);
  }
}

TEST(NextActions, AStopBecomesAKillWhenTheGraceIsOver) {
  const api::Pod pod = make_pod("Always");
  PodRecord record;
  record.containers["main"] = running();
  record.containers["main"].stop = StopRequest{kNow + 30s, false};
  Plan plan = next_actions(pod, record, kNow);
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_EQ(plan.wake_at, kNow + 30s);
  EXPECT_FALSE(plan.all_ended);
  EXPECT_THAT(next_actions(pod, record, kNow + 30s).actions, ElementsAre(kill("main")));
  record.containers["main"].stop->killed = true;
  EXPECT_THAT(next_actions(pod, record, kNow + 31s).actions, IsEmpty());
}

TEST(NextBackoff, DoublesToItsLimitAndStartsAnewAfterALongRun) {
  const BackoffPolicy policy{1s, 10s, 600s};
  EXPECT_EQ(next_backoff(policy, 0ms, 1s), 1s);
  EXPECT_EQ(next_backoff(policy, 1s, 1s), 2s);
  EXPECT_EQ(next_backoff(policy, 8s, 1s), 10s);
  EXPECT_EQ(next_backoff(policy, 10s, 600s), 1s);
}

TEST(PodStatusOf, TellsTheStoryOfACrashingContainer) {
  api::Pod pod = make_pod("Always");
  pod.metadata.ns = "ns";
  PodRecord record;
  record.pod_ip = "127.32.0.5";
  record.containers["main"] = ended(3);
  record.containers["main"].restart_count = 2;
  record.containers["main"].last->message = "last words";
  record.containers["main"].last->reason = "Error";
  const api::PodStatus status = pod_status(pod, record, base::SystemTime{});
  EXPECT_EQ(status.phase, "Running");
  const api::ContainerStatus& container = status.container_statuses.at(0);
  ASSERT_TRUE(container.state.waiting);
  EXPECT_EQ(container.state.waiting->reason, "CrashLoopBackOff");
  ASSERT_TRUE(container.last_state.terminated);
  EXPECT_EQ(container.last_state.terminated->exit_code, 3);
  EXPECT_EQ(container.last_state.terminated->message, "last words");
  EXPECT_EQ(container.restart_count, 2);
  for (const auto& condition : status.conditions) {
    if (condition.type == "Ready") {
      EXPECT_EQ(condition.status, "False");
      EXPECT_EQ(condition.message, "containers with unready status: [main]");
    }
  }
}

TEST(PodStatusOf, IsTheSameASecondTimeAndKeepsTransitionTimes) {
  api::Pod pod = make_pod("Always", {"one"});
  PodRecord record;
  record.containers["one"] = ended(0);
  record.containers["main"] = running();
  pod.status = pod_status(pod, record, base::SystemTime{} + 1h);
  const json::Value first = json::encode(pod.status);
  EXPECT_EQ(status_patch(first, json::encode(pod_status(pod, record, base::SystemTime{} + 2h))),
            std::nullopt);
  record.containers["main"].ready = false;
  const auto patch =
      status_patch(first, json::encode(pod_status(pod, record, base::SystemTime{} + 2h)));
  ASSERT_TRUE(patch);
  EXPECT_TRUE(patch->get_object().contains("conditions"));
  EXPECT_FALSE(patch->get_object().contains("phase"));
}

TEST(RecordFromStatus, RunsThatWereAliveAreLostAndFinishedInitsStay) {
  api::Pod pod = make_pod("Always", {"one"});
  PodRecord record;
  record.containers["one"] = ended(0);
  record.containers["main"] = running();
  record.containers["main"].restart_count = 1;
  pod.status = pod_status(pod, record, base::SystemTime{} + 1h);
  const PodRecord again = record_from_status(pod, base::SystemTime{} + 2h, kNow);
  EXPECT_EQ(again.containers.at("one").last->exit_code, 0);
  EXPECT_EQ(again.containers.at("main").phase, ContainerPhase::Ended);
  EXPECT_EQ(again.containers.at("main").last->reason, "ContainerStatusUnknown");
  EXPECT_EQ(again.containers.at("main").restart_count, 1);
  EXPECT_THAT(next_actions(pod, again, kNow).actions, ElementsAre(start("main")));
}

TEST(StatusPatch, NullsWhatDisappears) {
  const json::Value before = json::Object{{"phase", "Pending"}, {"message", "x"}};
  const json::Value after = json::Object{{"phase", "Pending"}};
  EXPECT_EQ(*status_patch(before, after), (json::Value(json::Object{{"message", nullptr}})));
}

}  // namespace
}  // namespace nodeagent

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workloads/endpoints.h"
#include "workloads/failure_policy.h"
#include "workloads/garbage.h"
#include "workloads/job.h"
#include "workloads/stateful_set.h"

namespace workloads {
namespace {

using PodPointer = std::shared_ptr<const api::Pod>;

api::StatefulSet set_of(std::int32_t replicas, std::string policy = "Parallel") {
  api::StatefulSet set;
  set.metadata.name = "s";
  set.metadata.ns = "default";
  set.metadata.uid = "set-uid";
  set.metadata.generation = 3;
  set.spec.replicas = replicas;
  set.spec.pod_management_policy = std::move(policy);
  set.spec.pod_template.metadata.labels = {{"app", "s"}};
  set.spec.pod_template.spec.containers.resize(1);
  set.spec.pod_template.spec.containers[0].name = "c";
  return set;
}

api::Pod pod_of(const api::StatefulSet& set, int ordinal, bool ready) {
  api::Pod pod;
  pod.metadata.name = "s-" + std::to_string(ordinal);
  pod.metadata.ns = "default";
  pod.metadata.labels = {{"app", "s"}, {"controller-revision-hash", revision_name(set)}};
  pod.status.pod_ip = "127.1.0." + std::to_string(ordinal + 1);
  if (ready) pod.status.conditions.push_back({.type = "Ready", .status = "True"});
  return pod;
}

PodPointer share(api::Pod pod) { return std::make_shared<const api::Pod>(std::move(pod)); }

TEST(StatefulSet, ParallelCreatesAllAtOnce) {
  const StatefulSetPlan plan = plan_stateful_set(set_of(3), {});
  ASSERT_EQ(plan.create.size(), 3U);
  EXPECT_EQ(plan.create[2].metadata.name, "s-2");
  EXPECT_EQ(plan.create[0].metadata.labels.at("statefulset.kubernetes.io/pod-name"), "s-0");
  EXPECT_EQ(plan.create[0].metadata.owner_references[0].uid, "set-uid");
}

TEST(StatefulSet, OrderedWaitsForTheOneBefore) {
  const api::StatefulSet set = set_of(3, "OrderedReady");
  EXPECT_EQ(plan_stateful_set(set, {}).create.size(), 1U);
  EXPECT_EQ(plan_stateful_set(set, {share(pod_of(set, 0, false))}).create.size(), 0U);
  EXPECT_EQ(plan_stateful_set(set, {share(pod_of(set, 0, true))}).create[0].metadata.name, "s-1");
}

TEST(StatefulSet, NothingIsLeftToDoWhenAllIsWell) {
  api::StatefulSet set = set_of(2);
  const std::vector<PodPointer> pods{share(pod_of(set, 0, true)), share(pod_of(set, 1, true))};
  StatefulSetPlan plan = plan_stateful_set(set, pods);
  EXPECT_TRUE(plan.create.empty() && plan.remove.empty());
  EXPECT_EQ(plan.status.ready_replicas, 2);
  EXPECT_EQ(plan.status.observed_generation, 3);
  set.status = plan.status;
  EXPECT_TRUE(
      json::equal(json::encode(plan_stateful_set(set, pods).status), json::encode(set.status)));
}

TEST(StatefulSet, ScalesDownFromTheTop) {
  const api::StatefulSet set = set_of(1);
  const StatefulSetPlan plan = plan_stateful_set(
      set, {share(pod_of(set, 0, true)), share(pod_of(set, 1, true)), share(pod_of(set, 2, true))});
  ASSERT_EQ(plan.remove.size(), 2U);
  EXPECT_EQ(plan.remove[0].name, "s-2");
}

TEST(StatefulSet, UpdatesOnePodAtATimeFromTheTop) {
  const api::StatefulSet before = set_of(2);
  api::StatefulSet set = set_of(2);
  set.spec.pod_template.spec.containers[0].image = "new";
  EXPECT_EQ(plan_stateful_set(set, {share(pod_of(before, 0, true)), share(pod_of(before, 1, true))})
                .remove[0]
                .name,
            "s-1");
  EXPECT_TRUE(plan_stateful_set(set, {share(pod_of(before, 0, true)), share(pod_of(set, 1, false))})
                  .remove.empty());
  EXPECT_EQ(plan_stateful_set(set, {share(pod_of(before, 0, true)), share(pod_of(set, 1, true))})
                .remove[0]
                .name,
            "s-0");
}

TEST(Endpoints, HoldReadyPodsAndResolveNamedPorts) {
  const api::StatefulSet set = set_of(2);
  api::Service service;
  service.metadata.name = "svc";
  service.metadata.ns = "default";
  service.spec.selector = {{"app", "s"}};
  service.spec.ports.push_back({.name = "http",
                                .protocol = "",
                                .app_protocol = {},
                                .port = 80,
                                .target_port = "web",
                                .node_port = 0});
  api::Pod ready = pod_of(set, 0, true);
  ready.spec.containers.resize(1);
  ready.spec.containers[0].ports.push_back({.name = "web", .container_port = 5000});
  const auto endpoints = plan_endpoints(service, {share(ready), share(pod_of(set, 1, false))});
  ASSERT_TRUE(endpoints);
  ASSERT_EQ(endpoints->subsets.size(), 1U);
  EXPECT_EQ(endpoints->subsets[0].addresses.size(), 1U);
  EXPECT_EQ(endpoints->subsets[0].not_ready_addresses.size(), 1U);
  service.spec.selector.clear();
  EXPECT_FALSE(plan_endpoints(service, {}));
}

api::Job job_of() {
  api::Job job;
  job.metadata.name = "j";
  job.spec.backoff_limit = 1;
  return job;
}

PodPointer job_pod(std::string name, std::string phase) {
  api::Pod pod;
  pod.metadata.name = std::move(name);
  pod.status.phase = std::move(phase);
  return share(std::move(pod));
}

TEST(Job, RunsUntilOnePodSucceeded) {
  const base::SystemTime now{};
  EXPECT_EQ(plan_job(job_of(), {}, now).create.size(), 1U);
  EXPECT_TRUE(plan_job(job_of(), {job_pod("a", "Running")}, now).create.empty());
  const JobPlan done = plan_job(job_of(), {job_pod("a", "Succeeded")}, now);
  EXPECT_TRUE(done.create.empty());
  EXPECT_EQ(done.status.conditions.at(0).type, "Complete");
}

TEST(Job, GivesUpAfterTooManyFailures) {
  const base::SystemTime now{};
  EXPECT_EQ(plan_job(job_of(), {job_pod("a", "Failed")}, now).create.size(), 1U);
  EXPECT_EQ(plan_job(job_of(), {job_pod("a", "Failed"), job_pod("b", "Failed")}, now)
                .status.conditions.at(0)
                .reason,
            "BackoffLimitExceeded");
}

TEST(Job, NamesItsPodsTheSameWayEachTimeSoThatNoneIsMadeTwice) {
  api::Job job = job_of();
  job.spec.parallelism = job.spec.completions = 3;
  const auto names = plan_job(job, {}, {}).create;
  EXPECT_THAT(names, testing::SizeIs(3));
  EXPECT_EQ(plan_job(job, {}, {}).create, names);
  EXPECT_THAT(plan_job(job, {job_pod(names[1], "Running")}, {}).create,
              testing::ElementsAre(names[0], names[2]));
}

TEST(Job, WaitsLongerAfterEachFailure) {
  api::Job job = job_of();
  job.spec.backoff_limit = 5;
  const auto ended = *base::parse_rfc3339("2026-01-01T00:00:00Z");
  api::Pod failed = *job_pod("a", "Failed");
  failed.status.container_statuses = {{.name = "c",
                                       .state = {.terminated = api::ContainerStateTerminated{
                                                     .finished_at = base::format_rfc3339(ended)}}}};
  const JobPlan soon = plan_job(job, {share(failed)}, ended + std::chrono::seconds(1));
  EXPECT_TRUE(soon.create.empty());
  EXPECT_EQ(soon.wake_after, std::chrono::seconds(4));
  EXPECT_EQ(plan_job(job, {share(failed)}, ended + std::chrono::seconds(5)).create.size(), 1U);
  EXPECT_EQ(plan_job(job, {share(failed), share(failed)}, ended).wake_after,
            std::chrono::seconds(10));
}

TEST(Job, EndsAtItsDeadlineAndGoesAfterItsTime) {
  const auto start = *base::parse_rfc3339("2026-01-01T00:00:00Z");
  api::Job job = job_of();
  job.spec.active_deadline_seconds = 10;
  job.status = plan_job(job, {}, start).status;
  JobPlan plan = plan_job(job, {job_pod("a", "Running")}, start + std::chrono::seconds(10));
  EXPECT_EQ(plan.status.conditions.at(0).reason, "DeadlineExceeded");
  EXPECT_EQ(plan.remove.size(), 1U);
  job.status = plan.status;
  job.spec.ttl_seconds_after_finished = 5;
  EXPECT_FALSE(plan_job(job, {}, start + std::chrono::seconds(12)).remove_job);
  EXPECT_TRUE(plan_job(job, {}, start + std::chrono::seconds(15)).remove_job);
}

/// A pod in place: its init container and its container were started again this often.
PodPointer restarted_pod(std::string name, int init_restarts, int restarts,
                         std::string phase = "Running") {
  api::Pod pod = *job_pod(std::move(name), std::move(phase));
  pod.status.init_container_statuses = {
      {.name = "init", .state = {}, .last_state = {}, .restart_count = init_restarts}};
  pod.status.container_statuses = {
      {.name = "c", .state = {}, .last_state = {}, .restart_count = restarts}};
  return share(std::move(pod));
}

TEST(Job, RestartsInPlaceCountUnderOnFailure) {
  const base::SystemTime now{};
  api::Job job = job_of();
  job.spec.backoff_limit = 3;
  job.spec.pod_template.spec.restart_policy = "OnFailure";
  EXPECT_TRUE(plan_job(job, {restarted_pod("a", 1, 1)}, now).status.conditions.empty());
  const JobPlan over = plan_job(job, {restarted_pod("a", 1, 2)}, now);
  ASSERT_THAT(over.status.conditions, testing::SizeIs(1));
  EXPECT_EQ(over.status.conditions[0].type, "Failed");
  EXPECT_EQ(over.status.conditions[0].reason, "BackoffLimitExceeded");
  EXPECT_THAT(over.remove, testing::SizeIs(1));
  EXPECT_TRUE(over.create.empty());
  // Summed over pods, those that wait for their init containers too, but not those that are over.
  EXPECT_FALSE(plan_job(job, {restarted_pod("a", 0, 2), restarted_pod("b", 1, 0, "Pending")}, now)
                   .status.conditions.empty());
  EXPECT_EQ(
      plan_job(job, {restarted_pod("a", 0, 9, "Succeeded")}, now).status.conditions.at(0).type,
      "Complete");
  job.spec.backoff_limit = 0;
  EXPECT_TRUE(plan_job(job, {restarted_pod("a", 0, 0)}, now).status.conditions.empty());
  EXPECT_FALSE(plan_job(job, {restarted_pod("a", 0, 1)}, now).status.conditions.empty());
  job.spec.pod_template.spec.restart_policy = "Never";
  EXPECT_TRUE(plan_job(job, {restarted_pod("a", 0, 9)}, now).status.conditions.empty());
}

PodPointer exited_pod(std::string name, std::int32_t exit_code) {
  api::Pod pod = *job_pod(std::move(name), "Failed");
  pod.metadata.ns = "default";
  pod.status.container_statuses = {
      {.name = "tuner",
       .state = {.terminated = api::ContainerStateTerminated{.exit_code = exit_code}}}};
  return share(std::move(pod));
}

api::Job job_with_policy(std::string_view policy) {
  api::Job job = job_of();
  job.spec.backoff_limit = 5;
  job.spec.pod_template.spec.restart_policy = "Never";
  job.spec.pod_failure_policy = json::parse(policy)->get_object();
  return job;
}

constexpr std::string_view kPolicy = R"({"rules":[
  {"action":"Ignore","onPodConditions":[{"type":"DisruptionTarget"}]},
  {"action":"FailJob","onExitCodes":{"containerName":"other","operator":"In","values":[3]}},
  {"action":"Count","onExitCodes":{"operator":"In","values":[4]}},
  {"action":"FailJob","onExitCodes":{"containerName":"tuner","operator":"NotIn","values":[1,2]}}]})";

TEST(Job, APolicyEndsItAtOnceOrLetsAFailurePass) {
  const base::SystemTime now{};
  const api::Job job = job_with_policy(kPolicy);
  const JobPlan fatal = plan_job(job, {exited_pod("p", 3), job_pod("q", "Running")}, now);
  ASSERT_THAT(fatal.status.conditions, testing::SizeIs(1));
  EXPECT_EQ(fatal.status.conditions[0].reason, "PodFailurePolicy");
  EXPECT_EQ(
      fatal.status.conditions[0].message,
      "Container tuner for pod default/p failed with exit code 3 matching FailJob rule at index 3");
  EXPECT_THAT(fatal.remove, testing::SizeIs(1));
  for (const std::int32_t counted : {1, 4}) {
    const JobPlan plan = plan_job(job, {exited_pod("p", counted)}, now);
    EXPECT_TRUE(plan.status.conditions.empty()) << counted;
    EXPECT_EQ(plan.status.failed, 1) << counted;
  }
  api::Pod moved = *exited_pod("p", 3);
  moved.status.conditions.push_back({.type = "DisruptionTarget", .status = "True"});
  const JobPlan passed = plan_job(job, {share(moved)}, now);
  EXPECT_TRUE(passed.status.conditions.empty());
  EXPECT_EQ(passed.status.failed, 0);
  EXPECT_THAT(passed.create, testing::SizeIs(1));
}

TEST(Job, APolicyIsForPodsThatAreNotRestartedAndMustBeReadable) {
  api::Job job = job_with_policy(
      R"({"rules":[{"action":"FailJob","onExitCodes":{"operator":"In","values":[3]}}]})");
  job.spec.pod_template.spec.restart_policy = "OnFailure";
  EXPECT_TRUE(plan_job(job, {exited_pod("p", 3)}, {}).status.conditions.empty());
  const JobPlan plan =
      plan_job(job_with_policy(R"({"rules":[{"action":3}]})"), {exited_pod("p", 3)}, {});
  EXPECT_TRUE(plan.status.conditions.empty());
  EXPECT_THAT(plan.warning, testing::HasSubstr("podFailurePolicy is left out: "));
  EXPECT_THAT(plan.warning, testing::HasSubstr("action"));
}

TEST(OwnerGraph, KnowsWhoDependsOnWhom) {
  OwnerGraph graph;
  graph.put({api::Pod::kType,
             {"n", "child"},
             "c",
             {{.api_version = "apps/v1",
               .kind = "StatefulSet",
               .name = "s",
               .uid = "o",
               .controller = {},
               .block_owner_deletion = {}}},
             {},
             false});
  EXPECT_THAT(graph.dependents("o"), testing::ElementsAre("c"));
  graph.put({api::Pod::kType, {"n", "child"}, "c", {}, {}, false});
  EXPECT_TRUE(graph.dependents("o").empty());
  graph.erase("c");
  EXPECT_EQ(graph.find("c"), nullptr);
}

}  // namespace
}  // namespace workloads

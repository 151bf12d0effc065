#include "workspace/tune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workspace/serve.h"
#include "workspace/status.h"
#include "workspace/testing.h"

namespace workspace {
namespace {

using namespace std::chrono_literals;
using namespace workspace::testing;  // NOLINT(google-build-using-namespace)
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const base::SystemTime kNow = base::parse_rfc3339("2026-01-01T12:00:00Z").value();

Desired job_for(const api::Workspace& workspace) {
  const Observed seen = observed(workspace);
  return tuning_job(seen, plan_nodes(seen, options()), options());
}

/// The Job as the server has it, with conditions of `type`.
void give_job(Observed& seen, const std::string& condition, base::SystemTime now = kNow) {
  auto job = json::decode<api::Job>(tuning_job(seen, plan_nodes(seen, options()), options()).object)
                 .value();
  job.metadata.uid = "job-uid";
  job.status.active = 1;
  if (!condition.empty()) {
    job.status.active = 0;
    job.status.conditions.push_back(
        {.type = condition, .status = "True", .reason = "R", .message = "said the job"});
    job.status.completion_time = "2026-01-01T11:00:00Z";
  }
  seen.job = std::make_shared<const api::Job>(job);
  resolve_phase(seen, now);
}

std::vector<std::string> names(const json::Value& pod, std::string_view list) {
  std::vector<std::string> found;
  for (const json::Value& container : *json::find_array(pod, list))
    found.emplace_back(json::find_string(container, "name"));
  return found;
}

const api::Condition& condition(const api::WorkspaceStatus& status, std::string_view type) {
  static const api::Condition none{};
  const api::Condition* found = api::find_condition(status.conditions, type);
  return found ? *found : none;
}

api::WorkspaceStatus status_of(const Observed& seen, const std::string& progress = "") {
  const NodePlan nodes = plan_nodes(seen, options());
  StatusInputs in{.observed = seen, .nodes = nodes, .progress = progress, .now = "t"};
  return compute_status(in);
}

TEST(TuningJob, TakesOneStepAfterTheOther) {
  const json::Value pod = *json::find(job_for(tuning_workspace()).object, "spec.template.spec");
  EXPECT_THAT(names(pod, "initContainers"),
              ElementsAre("push-check", "model-weights-downloader", "data-downloader", "tuner"));
  EXPECT_THAT(names(pod, "containers"), ElementsAre("w"));
  EXPECT_EQ(json::find_string(pod, "restartPolicy"), "OnFailure");
  const std::string text = json::dump(pod);
  EXPECT_THAT(text, HasSubstr(R"("--url","https://data.test/rows.parquet")"));
  EXPECT_THAT(text, HasSubstr(R"("--method","qlora")"));
  EXPECT_THAT(text, HasSubstr(R"("path":"push.json")"));
  EXPECT_THAT(text, HasSubstr(R"("--authfile","/etc/kaito/push-auth/push.json")"));
}

TEST(TuningJob, OnAVolumeEndsWithTheTuner) {
  api::Workspace workspace = tuning_workspace();
  workspace.tuning->output->image.clear();
  workspace.tuning->output->image_push_secret.clear();
  workspace.tuning->output->volume_source =
      json::Object{{"hostPath", json::Object{{"path", "/results"}}}};
  workspace.tuning->input->urls.clear();
  workspace.tuning->input->volume_source =
      json::Object{{"hostPath", json::Object{{"path", "/rows"}}}};
  const json::Value pod = *json::find(job_for(workspace).object, "spec.template.spec");
  EXPECT_THAT(names(pod, "initContainers"), ElementsAre("model-weights-downloader"));
  EXPECT_THAT(names(pod, "containers"), ElementsAre("tuner"));
  EXPECT_THAT(json::dump(pod), HasSubstr(R"({"hostPath":{"path":"/rows"},"name":"data-volume"})"));
}

TEST(TuningJob, IsOutdatedByAnotherTuningOnly) {
  api::Workspace workspace = tuning_workspace();
  Observed seen = observed(workspace);
  give_job(seen, "");
  EXPECT_FALSE(is_outdated_job(workspace, *seen.job));
  workspace.metadata.labels["other"] = "label";
  EXPECT_FALSE(is_outdated_job(workspace, *seen.job));
  workspace.tuning->output->image = "registry.test/adapter:2";
  EXPECT_TRUE(is_outdated_job(workspace, *seen.job));
}

TEST(TuningPhase, ServesWhatItMade) {
  Observed seen = observed(tuning_workspace());
  EXPECT_EQ(seen.tuning, TuningPhase::Training);
  EXPECT_FALSE(seen.serves);
  give_job(seen, "");
  EXPECT_EQ(seen.tuning, TuningPhase::Training);
  give_job(seen, "Complete");
  EXPECT_EQ(seen.tuning, TuningPhase::Serving);
  ASSERT_TRUE(seen.serves);
  ASSERT_EQ(seen.serves->adapters.size(), 1U);
  EXPECT_EQ(seen.serves->adapters[0].source->image, "registry.test/adapter:1");
  const ServePlan plan = plan_serving(seen, plan_nodes(seen, options()), options());
  EXPECT_EQ(plan.objects.size(), 4U) << "two Services, the adapters' list, the StatefulSet";
  EXPECT_FALSE(plan.adapters_revision.empty());
}

TEST(TuningPhase, ServesNoLongerThanAsked) {
  api::Workspace workspace = tuning_workspace();
  workspace.metadata.annotations[std::string(kAnnotationServeAfterTuningTtl)] = "1h30m";
  Observed seen = observed(workspace);
  give_job(seen, "Complete");
  EXPECT_EQ(seen.tuning, TuningPhase::Serving);
  EXPECT_EQ(seen.serving_left, 30min);
  give_job(seen, "Complete", kNow + 31min);
  EXPECT_EQ(seen.tuning, TuningPhase::Done);
  workspace.metadata.annotations = {{std::string(kAnnotationServeAfterTuning), "false"}};
  seen = observed(workspace);
  give_job(seen, "Complete");
  EXPECT_EQ(seen.tuning, TuningPhase::Done);
}

TEST(TuningPhase, ReadsDurationsAsGoWritesThem) {
  EXPECT_EQ(parse_duration("1h2m3s"), 3723s);
  EXPECT_EQ(parse_duration("45s"), 45s);
  for (const char* wrong :
       {"", "5", "h", "1d", "-1h", "99999999999999999999h", "3000000000h", "876600h876600h"})
    EXPECT_FALSE(parse_duration(wrong)) << wrong;
}

TEST(TuningNodes, GoWhenNothingIsLeftToDo) {
  for (const char* end : {"Failed", "Complete"}) {
    api::Workspace workspace = tuning_workspace();
    workspace.metadata.annotations[std::string(kAnnotationServeAfterTuning)] = "false";
    Observed seen = observed(workspace);
    const std::string name = claim_name("uid-1", 0);
    seen.claims = {claim(name)};
    EXPECT_THAT(plan_nodes(seen, options()).remove, IsEmpty());
    give_job(seen, end);
    const NodePlan plan = plan_nodes(seen, options());
    EXPECT_THAT(plan.remove, ElementsAre(name)) << end;
    EXPECT_THAT(plan.create, IsEmpty());
    EXPECT_FALSE(plan.ready);
    seen.stateful_set = std::make_shared<const api::StatefulSet>();
    EXPECT_THAT(plan_nodes(seen, options()).remove, IsEmpty()) << "pods go before their node";
  }
}

TEST(TuningNodes, StayWhileItServes) {
  Observed seen = observed(tuning_workspace());
  seen.claims = {claim(claim_name("uid-1", 0))};
  give_job(seen, "Complete");
  EXPECT_THAT(plan_nodes(seen, options()).remove, IsEmpty());
}

TEST(TuningStatus, TellsHowFarItIs) {
  Observed seen = observed(tuning_workspace());
  seen.claims = {claim(claim_name("uid-1", 0))};
  add(seen, own_node("n"));
  give_job(seen, "");
  const auto status = status_of(seen, "step 3/9, loss 1.2, 40s left");
  EXPECT_EQ(condition(status, "JobStarted").status, "True");
  EXPECT_EQ(condition(status, "JobStarted").message, "step 3/9, loss 1.2, 40s left");
  EXPECT_EQ(condition(status, "WorkspaceReady").status, "False");
  EXPECT_EQ(condition(status, "Reconciling").status, "True");
  EXPECT_EQ(status.state, "Running");
}

TEST(TuningStatus, KeepsWhyItFailedWhenThePodsAreGone) {
  api::Workspace workspace = tuning_workspace();
  workspace.status.conditions = {{.type = "JobStarted",
                                  .status = "True",
                                  .reason = "ContainerCrashLoopBackOff",
                                  .message = "container tuner: exit code 3: row 7 is no JSON"}};
  Observed seen = observed(workspace);
  seen.claims = {claim(claim_name("uid-1", 0))};
  add(seen, own_node("n"));
  give_job(seen, "");
  EXPECT_THAT(condition(status_of(seen), "JobStarted").message, HasSubstr("row 7 is no JSON"))
      << "the pods go before the job says that it failed";
  give_job(seen, "Failed");
  const auto status = status_of(seen);
  EXPECT_THAT(condition(status, "WorkspaceReady").message, HasSubstr("row 7 is no JSON"));
  EXPECT_EQ(condition(status, "WorkspaceReady").reason, "TuningFailed");
  EXPECT_EQ(condition(status, "Stalled").status, "True");
  EXPECT_EQ(condition(status, "ResourceReady").reason, "NodesReleased");
  EXPECT_EQ(status.state, "Failed");
}

TEST(TuningStatus, IsDoneWhenNothingIsToBeServed) {
  api::Workspace workspace = tuning_workspace();
  workspace.metadata.annotations[std::string(kAnnotationServeAfterTuning)] = "false";
  Observed seen = observed(workspace);
  give_job(seen, "Complete");
  const auto status = status_of(seen);
  EXPECT_EQ(condition(status, "WorkspaceSucceeded").status, "True");
  EXPECT_EQ(condition(status, "Ready").status, "True");
  EXPECT_EQ(condition(status, "Reconciling").status, "False");
  EXPECT_EQ(status.state, "Succeeded");
  EXPECT_THAT(condition(status, "JobStarted").message, HasSubstr("registry.test/adapter:1"));
}

}  // namespace
}  // namespace workspace

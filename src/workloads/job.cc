#include "workloads/job.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/sha256.h"
#include "workloads/failure_policy.h"
#include "workloads/stateful_set.h"

namespace workloads {
namespace {

using base::ErrorCode;

constexpr std::int32_t kDefaultBackoffLimit = 6;
constexpr std::size_t kSuffixLength = 8;
/// Between a failed pod and the next one: this, doubled for each failure, at most the other.
constexpr std::chrono::seconds kRetryFirst{5};
constexpr std::chrono::seconds kRetryMax{360};

bool has_condition(const api::JobStatus& status, std::string_view type) {
  return std::any_of(status.conditions.begin(), status.conditions.end(),
                     [&](const auto& c) { return c.type == type && c.status == "True"; });
}

void conclude(api::JobStatus& status, std::string type, std::string reason, std::string message,
              const api::Time& now) {
  status.conditions.push_back({.type = std::move(type),
                               .status = "True",
                               .last_probe_time = now,
                               .last_transition_time = now,
                               .reason = std::move(reason),
                               .message = std::move(message)});
}

std::chrono::seconds since(const api::Time& begin, base::SystemTime now) {
  const auto time = base::parse_rfc3339(begin);
  return time ? std::chrono::duration_cast<std::chrono::seconds>(now - *time)
              : std::chrono::seconds(0);
}

/// The name of the job's `number`th pod. It depends on nothing else, so that a pod made twice (the
/// cache lags) is refused as there already.
std::string pod_name(const api::Job& job, std::int32_t number) {
  const std::string digest = base::sha256_hex(fmt::format("{}/{}", job.metadata.uid, number));
  return fmt::format("{}-{}", job.metadata.name, digest.substr(0, kSuffixLength));
}

api::Pod make_pod(const api::Job& job, const std::string& name) {
  api::Pod pod;
  pod.metadata.name = name;
  pod.metadata.ns = job.metadata.ns;
  pod.metadata.labels = job.spec.pod_template.metadata.labels;
  pod.metadata.labels["batch.kubernetes.io/job-name"] = job.metadata.name;
  pod.metadata.labels["batch.kubernetes.io/controller-uid"] = job.metadata.uid;
  pod.metadata.labels["job-name"] = job.metadata.name;
  pod.metadata.labels["controller-uid"] = job.metadata.uid;
  pod.metadata.annotations = job.spec.pod_template.metadata.annotations;
  pod.metadata.owner_references.push_back(api::controller_reference(job));
  pod.spec = job.spec.pod_template.spec;
  return pod;
}

/// How long the next pod has to wait because of those that failed.
std::chrono::seconds backoff_left(const std::vector<std::shared_ptr<const api::Pod>>& pods,
                                  std::int32_t failed, base::SystemTime now) {
  api::Time latest;
  for (const auto& pod : pods) {
    if (pod->status.phase != "Failed") continue;
    for (const auto* statuses :
         {&pod->status.init_container_statuses, &pod->status.container_statuses}) {
      for (const api::ContainerStatus& container : *statuses) {
        if (container.state.terminated)
          latest = std::max(latest, container.state.terminated->finished_at);
      }
    }
  }
  if (failed == 0 || latest.empty()) return std::chrono::seconds(0);
  const std::chrono::seconds wait =
      std::min<std::chrono::seconds>(kRetryFirst * (1LL << std::min(failed - 1, 10)), kRetryMax);
  return std::max(std::chrono::seconds(0), wait - since(latest, now));
}

/// Names for pods to come that no pod of the job has or had as far as is known.
std::vector<std::string> free_names(const api::Job& job,
                                    const std::vector<std::shared_ptr<const api::Pod>>& pods,
                                    std::int32_t count) {
  std::vector<std::string> names;
  for (std::int32_t number = 0; static_cast<std::int32_t>(names.size()) < count; ++number) {
    std::string name = pod_name(job, number);
    const bool taken = std::any_of(pods.begin(), pods.end(),
                                   [&](const auto& pod) { return pod->metadata.name == name; });
    if (!taken) names.push_back(std::move(name));
  }
  return names;
}

/// A finished job only waits for its end of life.
void plan_finished(const api::Job& job, base::SystemTime now, JobPlan& plan) {
  if (!job.spec.ttl_seconds_after_finished) return;
  api::Time ended;
  for (const auto& condition : plan.status.conditions)
    ended = std::max(ended, condition.last_transition_time);
  const auto left = std::chrono::seconds(*job.spec.ttl_seconds_after_finished) - since(ended, now);
  if (left.count() <= 0) {
    plan.remove_job = true;
  } else {
    plan.wake_after = left;
  }
}

/// The pods of a job, counted.
struct Tally {
  std::vector<api::ObjectKey> running;  ///< Neither over nor on their way out.
  std::int32_t ready = 0;
  std::int32_t succeeded = 0;
  std::int32_t failed = 0;
  std::int32_t ignored = 0;   ///< Failed, but not counted by the failure policy.
  std::int32_t restarts = 0;  ///< Of containers and init containers, over pods that are not over.
  std::string fatal;          ///< The failure that ends the job by its policy; "" when none does.
};

void count_failed(const api::Pod& pod, const FailurePolicy& policy, Tally& tally) {
  const FailureVerdict verdict = judge_failure(policy, pod);
  ++(verdict.action == FailureAction::Ignore ? tally.ignored : tally.failed);
  if (tally.fatal.empty()) tally.fatal = verdict.message;
}

Tally count_pods(const std::vector<std::shared_ptr<const api::Pod>>& pods,
                 const FailurePolicy& policy) {
  Tally tally;
  for (const auto& pod : pods) {
    if (pod->status.phase == "Succeeded") {
      ++tally.succeeded;
      continue;
    }
    if (pod->status.phase == "Failed") {
      count_failed(*pod, policy, tally);
      continue;
    }
    for (const auto* statuses :
         {&pod->status.init_container_statuses, &pod->status.container_statuses}) {
      for (const api::ContainerStatus& container : *statuses)
        tally.restarts += container.restart_count;
    }
    if (pod->metadata.deleting()) continue;
    tally.running.push_back(pod->metadata.key());
    if (is_pod_ready(*pod)) ++tally.ready;
  }
  return tally;
}

/// The policy of a job whose pods are not restarted in place; else one without rules.
FailurePolicy failure_policy(const api::Job& job, JobPlan& plan) {
  if (!job.spec.pod_failure_policy || job.spec.pod_template.spec.restart_policy != "Never")
    return {};
  base::Result<FailurePolicy> policy = parse_failure_policy(*job.spec.pod_failure_policy);
  if (policy) return *std::move(policy);
  plan.warning = "podFailurePolicy is left out: " + policy.error().message();
  return {};
}

/// Under OnFailure the node starts containers again, and each such start is a failure.
bool has_restarted_too_often(const api::Job& job, const Tally& tally) {
  if (job.spec.pod_template.spec.restart_policy != "OnFailure") return false;
  const std::int32_t limit = job.spec.backoff_limit.value_or(kDefaultBackoffLimit);
  return limit == 0 ? tally.restarts > 0 : tally.restarts >= limit;
}

void conclude_when_due(const api::Job& job, const Tally& tally, base::SystemTime now,
                       api::JobStatus& status) {
  const api::Time stamp = base::format_rfc3339(now);
  if (status.succeeded >= job.spec.completions.value_or(1)) {
    conclude(status, "Complete", "CompletionsReached",
             fmt::format("{} pods succeeded", status.succeeded), stamp);
    status.completion_time = stamp;
  } else if (!tally.fatal.empty()) {
    conclude(status, "Failed", "PodFailurePolicy", tally.fatal, stamp);
  } else if (status.failed > job.spec.backoff_limit.value_or(kDefaultBackoffLimit) ||
             has_restarted_too_often(job, tally)) {
    conclude(status, "Failed", "BackoffLimitExceeded",
             "Job has reached the specified backoff limit", stamp);
  } else if (job.spec.active_deadline_seconds &&
             since(status.start_time, now).count() >= *job.spec.active_deadline_seconds) {
    conclude(status, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline",
             stamp);
  }
}

}  // namespace

JobPlan plan_job(const api::Job& job, const std::vector<std::shared_ptr<const api::Pod>>& pods,
                 base::SystemTime now) {
  JobPlan plan;
  plan.status = job.status;
  api::JobStatus& status = plan.status;
  const bool finished = has_condition(status, "Complete") || has_condition(status, "Failed");
  const Tally tally = count_pods(pods, failure_policy(job, plan));
  // Counts never fall: pods that were counted may be gone.
  status.succeeded = std::max(status.succeeded, tally.succeeded);
  status.failed = std::max(status.failed, tally.failed);
  if (!finished) {
    if (status.start_time.empty()) status.start_time = base::format_rfc3339(now);
    conclude_when_due(job, tally, now, status);
  }
  if (has_condition(status, "Complete") || has_condition(status, "Failed")) {
    plan.remove = tally.running;
    status.active = 0;
    status.ready = 0;
    if (finished) plan_finished(job, now, plan);
    return plan;
  }
  const std::int32_t completions = job.spec.completions.value_or(1);
  const std::int32_t parallelism =
      job.spec.suspend.value_or(false) ? 0 : job.spec.parallelism.value_or(1);
  const auto active = static_cast<std::int32_t>(tally.running.size());
  const std::int32_t wanted = std::min(parallelism, completions - status.succeeded);
  const auto pause = backoff_left(pods, status.failed + tally.ignored, now);
  const std::int32_t missing = std::max(0, wanted - active);
  if (pause.count() == 0) plan.create = free_names(job, pods, missing);
  for (std::int32_t extra = active - wanted; extra > 0; --extra)
    plan.remove.push_back(tally.running[static_cast<std::size_t>(extra) - 1]);
  status.active =
      std::min(active + static_cast<std::int32_t>(plan.create.size()), std::max(active, wanted));
  status.ready = tally.ready;
  if (job.spec.active_deadline_seconds)
    plan.wake_after =
        std::chrono::seconds(*job.spec.active_deadline_seconds) - since(status.start_time, now);
  if (missing > 0 && pause.count() > 0)
    plan.wake_after = std::min(plan.wake_after.value_or(pause), pause);
  return plan;
}

base::Result<kube::Requeue> JobController::reconcile(const base::Context& ctx,
                                                     const api::ObjectKey& key) {
  const auto job = deps_.jobs.get(key);
  if (!job || job->metadata.deleting()) return kube::Requeue::none();
  const JobPlan plan =
      plan_job(*job, deps_.pods.by_index(kByOwner, job->metadata.uid), deps_.clock.now());
  const auto about = kube::ObjectReference::of(*job);
  if (!plan.warning.empty())
    deps_.events.record(about, kube::EventType::Warning, "InvalidPodFailurePolicy", plan.warning);
  if (plan.remove_job) {
    const auto removed = kube::remove<api::Job>(ctx, deps_.client, key,
                                                {.propagation = kube::Propagation::Background,
                                                 .grace_period_seconds = {},
                                                 .uid = job->metadata.uid,
                                                 .resource_version = {}});
    if (!removed && removed.error().code() != ErrorCode::NotFound) return removed.error();
    return kube::Requeue::none();
  }
  for (const api::ObjectKey& pod : plan.remove) {
    const auto removed = kube::remove<api::Pod>(ctx, deps_.client, pod);
    if (!removed && removed.error().code() != ErrorCode::NotFound) return removed.error();
  }
  if (!json::equal(json::encode(plan.status), json::encode(job->status))) {
    auto written = kube::patch_status<api::Job>(ctx, deps_.client, key, json::encode(plan.status),
                                                job->metadata.resource_version);
    if (!written) return std::move(written).error();
  }
  for (const std::string& name : plan.create) {
    auto created = kube::create(ctx, deps_.client, make_pod(*job, name));
    if (!created && created.error().code() == ErrorCode::AlreadyExists) continue;
    if (!created) {
      deps_.events.record(about, kube::EventType::Warning, "FailedCreate",
                          created.error().message());
      return std::move(created).error();
    }
    deps_.events.record(about, kube::EventType::Normal, "SuccessfulCreate",
                        fmt::format("Created pod: {}", created->metadata.name));
  }
  return plan.wake_after ? kube::Requeue::after(*plan.wake_after) : kube::Requeue::none();
}

}  // namespace workloads

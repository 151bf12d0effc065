#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/core/pod.h"
#include "api/core/unread.h"
#include "api/meta.h"

/// batch/v1 Job.
namespace api {

struct JobSpec {
  std::optional<std::int32_t> parallelism{};
  std::optional<std::int32_t> completions{};
  std::optional<std::int64_t> active_deadline_seconds{};
  std::optional<std::int32_t> backoff_limit{};
  std::optional<LabelSelector> selector{};
  std::optional<bool> manual_selector{};
  PodTemplateSpec pod_template{};  ///< `template` in JSON.
  std::optional<std::int32_t> ttl_seconds_after_finished{};
  std::string completion_mode{};
  std::optional<bool> suspend{};
  std::optional<json::Object> pod_failure_policy{};
  Unread unread{};
};
template <class V>
void describe(V& v, JobSpec& s) {
  v.field("parallelism", s.parallelism, Presence::Optional, "Pods that may run at once.");
  v.field("completions", s.completions, Presence::Optional, "Pods that must succeed.");
  v.field("activeDeadlineSeconds", s.active_deadline_seconds, Presence::Optional,
          "Seconds the job may take.");
  v.field("backoffLimit", s.backoff_limit, Presence::Optional, "Failures allowed; 6 by default.");
  v.field("selector", s.selector, Presence::Optional, "Labels of its pods; set by the server.",
          {.atomic_map = true});
  v.field("manualSelector", s.manual_selector, Presence::Optional,
          "Whether the user chose the selector.");
  v.field("template", s.pod_template, Presence::Required, "What each pod is.");
  v.field("ttlSecondsAfterFinished", s.ttl_seconds_after_finished, Presence::Optional,
          "Seconds until a finished job goes.");
  v.field("completionMode", s.completion_mode, Presence::Optional, "NonIndexed or Indexed.");
  v.field("suspend", s.suspend, Presence::Optional, "Whether it rests.");
  v.field("podFailurePolicy", s.pod_failure_policy, Presence::Optional, "How failures count.");
  v.field("backoffLimitPerIndex", s.unread, Presence::Optional, "Failures allowed for one index.");
  v.field("managedBy", s.unread, Presence::Optional, "Who runs the job.");
  v.field("maxFailedIndexes", s.unread, Presence::Optional, "Failed indexes allowed.");
  v.field("podReplacementPolicy", s.unread, Presence::Optional, "When a pod is replaced.");
  v.field("successPolicy", s.unread, Presence::Optional, "When it counts as a success.");
}

struct JobCondition {
  std::string type{};
  std::string status{};
  Time last_probe_time{};
  Time last_transition_time{};
  std::string reason{};
  std::string message{};
};
template <class V>
void describe(V& v, JobCondition& c) {
  v.field("type", c.type, Presence::Required, "Complete, Failed, ...");
  v.field("status", c.status, Presence::Required, "True, False or Unknown.");
  v.field("lastProbeTime", c.last_probe_time, Presence::Optional, "When it was last looked at.",
          {.format = "date-time"});
  v.field("lastTransitionTime", c.last_transition_time, Presence::Optional,
          "When the status last changed.", {.format = "date-time"});
  v.field("reason", c.reason, Presence::Optional, "CamelCase reason.");
  v.field("message", c.message, Presence::Optional, "Details for people.");
}

struct JobStatus {
  std::vector<JobCondition> conditions{};
  Time start_time{};
  Time completion_time{};
  std::int32_t active = 0;
  std::int32_t succeeded = 0;
  std::int32_t failed = 0;
  std::optional<std::int32_t> ready{};
  std::optional<json::Object> uncounted_terminated_pods{};
  Unread unread{};
};
template <class V>
void describe(V& v, JobStatus& s) {
  v.field("conditions", s.conditions, Presence::Optional, "Where the job stands.",
          {.merge_key = "type"});
  v.field("startTime", s.start_time, Presence::Optional, "When it began.", {.format = "date-time"});
  v.field("completionTime", s.completion_time, Presence::Optional, "When it succeeded.",
          {.format = "date-time"});
  v.field("active", s.active, Presence::Optional, "Pods that run or wait.");
  v.field("succeeded", s.succeeded, Presence::Optional, "Pods that succeeded.");
  v.field("failed", s.failed, Presence::Optional, "Pods that failed.");
  v.field("ready", s.ready, Presence::Optional, "Pods that are ready.");
  v.field("uncountedTerminatedPods", s.uncounted_terminated_pods, Presence::Optional,
          "Ended pods not yet counted.");
  v.field("completedIndexes", s.unread, Presence::Optional, "Indexes that succeeded.");
  v.field("failedIndexes", s.unread, Presence::Optional, "Indexes that failed.");
  v.field("terminating", s.unread, Presence::Optional, "Pods on their way out.");
}

struct Job {
  static constexpr ResourceType kType{"batch", "v1", "jobs", "Job", true};
  ObjectMeta metadata{};
  JobSpec spec{};
  JobStatus status{};
};
template <class V>
void describe(V& v, Job& j) {
  v.type("Pods that run until enough of them succeeded.");
  describe_root(v, j);
  v.field("spec", j.spec, Presence::Optional, "What is wanted.");
  v.field("status", j.status, Presence::Optional, "How far it is.");
}

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::Job> decode(const Value&);
extern template Value encode(const api::Job&);
}  // namespace json

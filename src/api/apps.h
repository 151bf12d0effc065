#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/core/pod.h"
#include "api/core/unread.h"
#include "api/meta.h"

/// apps/v1 StatefulSet and ControllerRevision.
namespace api {

struct RollingUpdateStatefulSetStrategy {
  std::optional<std::int32_t> partition{};
  std::optional<IntOrString> max_unavailable{};
};
template <class V>
void describe(V& v, RollingUpdateStatefulSetStrategy& s) {
  v.field("partition", s.partition, Presence::Optional, "Ordinals below it keep their revision.");
  v.field("maxUnavailable", s.max_unavailable, Presence::Optional,
          "Pods that may be down at once.");
}

struct StatefulSetUpdateStrategy {
  std::string type{};
  std::optional<RollingUpdateStatefulSetStrategy> rolling_update{};
};
template <class V>
void describe(V& v, StatefulSetUpdateStrategy& s) {
  v.field("type", s.type, Presence::Optional, "RollingUpdate or OnDelete.");
  v.field("rollingUpdate", s.rolling_update, Presence::Optional, "How it rolls.");
}

struct PvcRetentionPolicy {
  std::string when_deleted{};
  std::string when_scaled{};
};
template <class V>
void describe(V& v, PvcRetentionPolicy& p) {
  v.field("whenDeleted", p.when_deleted, Presence::Optional, "Retain or Delete.");
  v.field("whenScaled", p.when_scaled, Presence::Optional, "Retain or Delete.");
}

struct StatefulSetSpec {
  std::optional<std::int32_t> replicas{};
  LabelSelector selector{};
  PodTemplateSpec pod_template{};  ///< `template` in JSON.
  std::vector<json::Object> volume_claim_templates{};
  std::string service_name{};
  std::string pod_management_policy{};
  StatefulSetUpdateStrategy update_strategy{};
  std::optional<std::int32_t> revision_history_limit{};
  std::int32_t min_ready_seconds = 0;
  std::optional<PvcRetentionPolicy> persistent_volume_claim_retention_policy{};
  Unread unread{};
};
template <class V>
void describe(V& v, StatefulSetSpec& s) {
  v.field("replicas", s.replicas, Presence::Optional, "Pods wanted; 1 by default.");
  v.field("selector", s.selector, Presence::Required, "Labels of its pods; immutable.",
          {.atomic_map = true});
  v.field("template", s.pod_template, Presence::Required, "What each pod is.");
  v.field("volumeClaimTemplates", s.volume_claim_templates, Presence::Optional,
          "Claims made for each pod.", {.list_type = "atomic"});
  v.field("serviceName", s.service_name, Presence::Optional, "Headless Service of the pods.");
  v.field("podManagementPolicy", s.pod_management_policy, Presence::Optional,
          "OrderedReady or Parallel.");
  v.field("updateStrategy", s.update_strategy, Presence::Optional, "How pods get a new template.");
  v.field("revisionHistoryLimit", s.revision_history_limit, Presence::Optional,
          "Old revisions kept.");
  v.field("minReadySeconds", s.min_ready_seconds, Presence::Optional,
          "Seconds ready before available.");
  v.field("persistentVolumeClaimRetentionPolicy", s.persistent_volume_claim_retention_policy,
          Presence::Optional, "What becomes of claims.");
  v.field("ordinals", s.unread, Presence::Optional, "Where numbering starts.");
}

struct StatefulSetStatus {
  std::int64_t observed_generation = 0;
  std::int32_t replicas = 0;
  std::int32_t ready_replicas = 0;
  std::int32_t current_replicas = 0;
  std::int32_t updated_replicas = 0;
  std::int32_t available_replicas = 0;
  std::string current_revision{};
  std::string update_revision{};
  std::optional<std::int32_t> collision_count{};
  Unread unread{};
};
template <class V>
void describe(V& v, StatefulSetStatus& s) {
  v.field("observedGeneration", s.observed_generation, Presence::Optional,
          "Generation this is about.");
  v.field("replicas", s.replicas, Presence::Required, "Pods that exist.");
  v.field("readyReplicas", s.ready_replicas, Presence::Optional, "Pods that are ready.");
  v.field("currentReplicas", s.current_replicas, Presence::Optional,
          "Pods of the current revision.");
  v.field("updatedReplicas", s.updated_replicas, Presence::Optional,
          "Pods of the update revision.");
  v.field("availableReplicas", s.available_replicas, Presence::Required,
          "Pods ready for minReadySeconds.");
  v.field("currentRevision", s.current_revision, Presence::Optional, "Revision of the older pods.");
  v.field("updateRevision", s.update_revision, Presence::Optional, "Revision of the newer pods.");
  v.field("collisionCount", s.collision_count, Presence::Optional, "Name clashes of revisions.");
  v.field("conditions", s.unread, Presence::Optional, "Where it stands.");
}

struct StatefulSet {
  static constexpr ResourceType kType{"apps", "v1", "statefulsets", "StatefulSet", true};
  ObjectMeta metadata{};
  StatefulSetSpec spec{};
  StatefulSetStatus status{};
};
template <class V>
void describe(V& v, StatefulSet& s) {
  v.type("Pods with stable names.");
  describe_root(v, s);
  v.field("spec", s.spec, Presence::Optional, "What is wanted.");
  v.field("status", s.status, Presence::Optional, "What there is.");
}

struct ControllerRevision {
  static constexpr ResourceType kType{"apps", "v1", "controllerrevisions", "ControllerRevision",
                                      true};
  ObjectMeta metadata{};
  std::optional<json::Object> data{};
  std::int64_t revision = 0;
};
template <class V>
void describe(V& v, ControllerRevision& r) {
  v.type("An immutable snapshot of a workload's template.");
  describe_root(v, r);
  v.field("data", r.data, Presence::Optional, "The snapshot.");
  v.field("revision", r.revision, Presence::Required, "Its number.");
}

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::StatefulSet> decode(const Value&);
extern template Value encode(const api::StatefulSet&);
extern template base::Result<api::ControllerRevision> decode(const Value&);
extern template Value encode(const api::ControllerRevision&);
}  // namespace json

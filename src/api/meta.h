#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json/codec.h"

/// Kubernetes metadata (meta/v1), shared by every object type.
namespace api {

using json::Presence;
/// RFC 3339 text, as it travels. "" is unset.
using Time = std::string;

/// Identifies an object within its type. `ns` is "" for cluster-scoped types.
struct ObjectKey {
  std::string ns{};
  std::string name{};
  /// `ns/name`, or `name`.
  std::string text() const { return ns.empty() ? name : ns + "/" + name; }
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

/// Group, version, plural and kind of a resource type, for URLs and `apiVersion`.
struct ResourceType {
  std::string_view group{};
  std::string_view version{};
  std::string_view plural{};
  std::string_view kind{};
  bool namespaced = true;
  /// `apps/v1`, or `v1` for the core group.
  std::string api_version() const {
    return group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
  }
  friend bool operator==(const ResourceType&, const ResourceType&) = default;
};

struct OwnerReference {
  std::string api_version{};
  std::string kind{};
  std::string name{};
  std::string uid{};
  std::optional<bool> controller{};
  std::optional<bool> block_owner_deletion{};
};
template <class V>
void describe(V& v, OwnerReference& o) {
  v.field("apiVersion", o.api_version, Presence::Required, "API version of the owner.");
  v.field("kind", o.kind, Presence::Required, "Kind of the owner.");
  v.field("name", o.name, Presence::Required, "Name of the owner.");
  v.field("uid", o.uid, Presence::Required, "UID of the owner.");
  v.field("controller", o.controller, Presence::Optional, "Whether the owner manages this object.");
  v.field("blockOwnerDeletion", o.block_owner_deletion, Presence::Optional,
          "Whether the owner's foreground deletion waits for this object.");
}

struct ObjectMeta {
  std::string name{};
  std::string generate_name{};
  std::string ns{};  ///< `namespace` in JSON.
  std::string uid{};
  std::string resource_version{};
  std::int64_t generation = 0;
  Time creation_timestamp{};
  Time deletion_timestamp{};  ///< "" unless the object is being deleted.
  std::optional<std::int64_t> deletion_grace_period_seconds{};
  std::map<std::string, std::string> labels{};
  std::map<std::string, std::string> annotations{};
  std::vector<std::string> finalizers{};
  std::vector<OwnerReference> owner_references{};

  ObjectKey key() const { return {ns, name}; }
  bool deleting() const { return !deletion_timestamp.empty(); }
};
template <class V>
void describe(V& v, ObjectMeta& m) {
  v.field("name", m.name, Presence::Optional, "Unique within the namespace and type.");
  v.field("generateName", m.generate_name, Presence::Optional,
          "Prefix of a name the server completes.");
  v.field("namespace", m.ns, Presence::Optional, "The space within which the name is unique.");
  v.field("uid", m.uid, Presence::Optional, "Unique in time and space; set by the server.");
  v.field("resourceVersion", m.resource_version, Presence::Optional,
          "Opaque version for concurrency and watches.");
  v.field("generation", m.generation, Presence::Optional, "Counts changes of the desired state.");
  v.field("creationTimestamp", m.creation_timestamp, Presence::Optional,
          "When the server created the object.", {.format = "date-time"});
  v.field("deletionTimestamp", m.deletion_timestamp, Presence::Optional,
          "When deletion was asked for.", {.format = "date-time"});
  v.field("deletionGracePeriodSeconds", m.deletion_grace_period_seconds, Presence::Optional,
          "Seconds to end gracefully after deletion was asked for.");
  v.field("labels", m.labels, Presence::Optional, "Keys and values to select by.");
  v.field("annotations", m.annotations, Presence::Optional,
          "Keys and values for tools and people.");
  v.field("finalizers", m.finalizers, Presence::Optional,
          "Names that must be removed before the object goes.", {.list_type = "set"});
  v.field("ownerReferences", m.owner_references, Presence::Optional, "Objects this one depends on.",
          {.merge_key = "uid"});
}

/// metav1.Condition.
struct Condition {
  std::string type{};
  std::string status{};  ///< `True`, `False` or `Unknown`.
  std::int64_t observed_generation = 0;
  Time last_transition_time{};
  std::string reason{};
  std::string message{};
  friend bool operator==(const Condition&, const Condition&) = default;
};
template <class V>
void describe(V& v, Condition& c) {
  v.field("type", c.type, Presence::Required, "CamelCase name of the condition.");
  v.field("status", c.status, Presence::Required, "True, False or Unknown.",
          {.one_of = {"True", "False", "Unknown"}});
  v.field("observedGeneration", c.observed_generation, Presence::Optional,
          "Generation this was computed for.");
  v.field("lastTransitionTime", c.last_transition_time, Presence::Required,
          "When the status last changed.", {.format = "date-time"});
  v.field("reason", c.reason, Presence::Required, "CamelCase reason of the last transition.");
  v.field("message", c.message, Presence::Required, "Details for people.");
}

struct LabelSelectorRequirement {
  std::string key{};
  std::string op{};  ///< `operator` in JSON: In, NotIn, Exists, DoesNotExist.
  std::vector<std::string> values{};
};
template <class V>
void describe(V& v, LabelSelectorRequirement& r) {
  v.field("key", r.key, Presence::Required, "The label key.");
  v.field("operator", r.op, Presence::Required, "In, NotIn, Exists or DoesNotExist.");
  v.field("values", r.values, Presence::Optional, "Values for In and NotIn.",
          {.list_type = "atomic"});
}

struct LabelSelector {
  std::map<std::string, std::string> match_labels{};
  std::vector<LabelSelectorRequirement> match_expressions{};
};
template <class V>
void describe(V& v, LabelSelector& s) {
  v.field("matchLabels", s.match_labels, Presence::Optional, "Labels that must be equal.");
  v.field("matchExpressions", s.match_expressions, Presence::Optional, "Further requirements.",
          {.list_type = "atomic"});
}

struct ListMeta {
  std::string resource_version{};
  std::string continue_token{};
  std::optional<std::int64_t> remaining_item_count{};
};
template <class V>
void describe(V& v, ListMeta& m) {
  v.field("resourceVersion", m.resource_version, Presence::Optional, "Version of the whole list.");
  v.field("continue", m.continue_token, Presence::Optional, "Token for the next page.");
  v.field("remainingItemCount", m.remaining_item_count, Presence::Optional,
          "Items after this page.");
}

/// An object type that can travel: it says where it lives and has metadata.
template <class T>
concept Resource = json::Described<T> && requires(T& t) {
  { T::kType } -> std::convertible_to<const ResourceType&>;
  { t.metadata } -> std::same_as<ObjectMeta&>;
};

/// Describes what every root type begins with: apiVersion and kind (written from `T::kType`,
/// ignored when read) and metadata. Call it first in the `describe` of a root type.
template <class V, class T>
void describe_root(V& v, T& object) {
  std::string api_version = T::kType.api_version();
  std::string kind(T::kType.kind);
  v.field("apiVersion", api_version, Presence::Optional,
          "Group and version of the schema this object follows.");
  v.field("kind", kind, Presence::Optional, "The type of this object.");
  v.field("metadata", object.metadata, Presence::Optional, "Standard object metadata.");
}

/// An owner reference to `owner` with `controller` and `blockOwnerDeletion` set.
template <class T>
OwnerReference controller_reference(const T& owner) {
  return {.api_version = T::kType.api_version(),
          .kind = std::string(T::kType.kind),
          .name = owner.metadata.name,
          .uid = owner.metadata.uid,
          .controller = true,
          .block_owner_deletion = true};
}
/// The reference whose `controller` is true, or null.
const OwnerReference* find_controller(const ObjectMeta& metadata);

/// The condition of `type`, or null.
const Condition* find_condition(const std::vector<Condition>& conditions, std::string_view type);
/// True when `type` is there with status True.
bool is_condition_true(const std::vector<Condition>& conditions, std::string_view type);
/// Sets a condition in place. `last_transition_time` becomes `now` only when the status changes.
void set_condition(std::vector<Condition>& conditions, Condition wanted, const Time& now);

/// Whether `labels` satisfy the selector. An empty selector matches everything.
/// Errors: Invalid for an unknown operator or values that do not fit it.
base::Result<bool> matches(const LabelSelector& selector,
                           const std::map<std::string, std::string>& labels);

}  // namespace api

#pragma once

#include <optional>
#include <string>

#include "api/meta.h"

namespace api {

/// Names an object of a known type in the same namespace.
struct LocalObjectReference {
  std::string name{};
  friend bool operator==(const LocalObjectReference&, const LocalObjectReference&) = default;
};
template <class V>
void describe(V& v, LocalObjectReference& r) {
  v.field("name", r.name, Presence::Optional, "Name of the object.");
}

/// Names any object, as Events and Endpoints do.
struct ObjectReference {
  std::string kind{};
  std::string ns{};
  std::string name{};
  std::string uid{};
  std::string api_version{};
  std::string resource_version{};
  std::string field_path{};
};
template <class V>
void describe(V& v, ObjectReference& r) {
  v.field("kind", r.kind, Presence::Optional, "Kind of the object.");
  v.field("namespace", r.ns, Presence::Optional, "Namespace of the object.");
  v.field("name", r.name, Presence::Optional, "Name of the object.");
  v.field("uid", r.uid, Presence::Optional, "UID of the object.");
  v.field("apiVersion", r.api_version, Presence::Optional, "API version of the object.");
  v.field("resourceVersion", r.resource_version, Presence::Optional, "Version referred to.");
  v.field("fieldPath", r.field_path, Presence::Optional, "A part of the object.");
}

/// One key of a ConfigMap or Secret.
struct KeySelector {
  std::string name{};
  std::string key{};
  std::optional<bool> optional{};
};
template <class V>
void describe(V& v, KeySelector& s) {
  v.field("name", s.name, Presence::Optional, "Name of the ConfigMap or Secret.");
  v.field("key", s.key, Presence::Required, "The key to take.");
  v.field("optional", s.optional, Presence::Optional, "Whether the object or key may be missing.");
}

/// A field of the pod, as `metadata.name` or `status.podIP`.
struct ObjectFieldSelector {
  std::string api_version{};
  std::string field_path{};
};
template <class V>
void describe(V& v, ObjectFieldSelector& s) {
  v.field("apiVersion", s.api_version, Presence::Optional, "Version of the path's schema; v1.");
  v.field("fieldPath", s.field_path, Presence::Required, "Path of the field.");
}

}  // namespace api

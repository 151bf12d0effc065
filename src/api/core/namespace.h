#pragma once

#include <string>
#include <vector>

#include "api/core/unread.h"
#include "api/meta.h"

/// core/v1 Namespace and ServiceAccount.
namespace api {

struct NamespaceSpec {
  std::vector<std::string> finalizers{};
};
template <class V>
void describe(V& v, NamespaceSpec& s) {
  v.field("finalizers", s.finalizers, Presence::Optional,
          "Names that must be removed before it goes.", {.list_type = "atomic"});
}

struct NamespaceStatus {
  std::string phase{};
  Unread unread{};
};
template <class V>
void describe(V& v, NamespaceStatus& s) {
  v.field("phase", s.phase, Presence::Optional, "Active or Terminating.");
  v.field("conditions", s.unread, Presence::Optional, "What holds its end back.");
}

struct Namespace {
  static constexpr ResourceType kType{"", "v1", "namespaces", "Namespace", false};
  ObjectMeta metadata{};
  NamespaceSpec spec{};
  NamespaceStatus status{};
};
template <class V>
void describe(V& v, Namespace& n) {
  v.type("A space of names.");
  describe_root(v, n);
  v.field("spec", n.spec, Presence::Optional, "How it ends.");
  v.field("status", n.status, Presence::Optional, "Whether it does.");
}

struct ServiceAccount {
  static constexpr ResourceType kType{"", "v1", "serviceaccounts", "ServiceAccount", true};
  ObjectMeta metadata{};
  Unread unread{};
};
template <class V>
void describe(V& v, ServiceAccount& a) {
  v.type("An identity for pods.");
  describe_root(v, a);
  v.field("automountServiceAccountToken", a.unread, Presence::Optional,
          "Whether pods mount its token.");
  v.field("imagePullSecrets", a.unread, Presence::Optional, "Secrets for pulling images.");
  v.field("secrets", a.unread, Presence::Optional, "Secrets that pods may use.");
}

}  // namespace api

#pragma once

#include <string>
#include <vector>

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
};
template <class V>
void describe(V& v, NamespaceStatus& s) {
  v.field("phase", s.phase, Presence::Optional, "Active or Terminating.");
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
};
template <class V>
void describe(V& v, ServiceAccount& a) {
  v.type("An identity for pods.");
  describe_root(v, a);
}

}  // namespace api

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "api/core/unread.h"
#include "api/meta.h"

/// coordination.k8s.io/v1 Lease.
namespace api {

struct LeaseSpec {
  std::string holder_identity{};
  std::optional<std::int32_t> lease_duration_seconds{};
  Time acquire_time{};
  Time renew_time{};
  std::optional<std::int32_t> lease_transitions{};
  Unread unread{};
};
template <class V>
void describe(V& v, LeaseSpec& s) {
  v.field("holderIdentity", s.holder_identity, Presence::Optional, "Who holds it.");
  v.field("leaseDurationSeconds", s.lease_duration_seconds, Presence::Optional,
          "How long it holds.");
  v.field("acquireTime", s.acquire_time, Presence::Optional, "Since when.",
          {.format = "date-time"});
  v.field("renewTime", s.renew_time, Presence::Optional, "When it was renewed.",
          {.format = "date-time"});
  v.field("leaseTransitions", s.lease_transitions, Presence::Optional,
          "How often it changed hands.");
  v.field("preferredHolder", s.unread, Presence::Optional, "Who should hold it.");
  v.field("strategy", s.unread, Presence::Optional, "How the holder is chosen.");
}

struct Lease {
  static constexpr ResourceType kType{"coordination.k8s.io", "v1", "leases", "Lease", true};
  ObjectMeta metadata{};
  LeaseSpec spec{};
};
template <class V>
void describe(V& v, Lease& l) {
  v.type("A claim on something for a while.");
  describe_root(v, l);
  v.field("spec", l.spec, Presence::Optional, "Who holds it until when.");
}

}  // namespace api

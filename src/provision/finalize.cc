// The end of claims, nodes and machines: the second half of ClaimController.

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "provision/controller.h"
#include "provision/labels.h"
#include "provision/registration.h"

namespace provision {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;
using kube::Requeue;

/// Changes of pods and nodes wake the controller; this is for what no watch tells.
constexpr std::chrono::seconds kTearDownCheck{5};

Status ignore_not_found(Status status) {
  if (!status && status.error().code() == ErrorCode::NotFound) return {};
  return status;
}

std::optional<base::SystemTime> drain_deadline(const Claim& claim) {
  const auto grace = parse_duration(claim.termination_grace_period);
  const auto since = base::parse_rfc3339(claim.metadata.deletion_timestamp);
  if (!grace || !since) return std::nullopt;
  return *since + *grace;
}

}  // namespace

Result<Requeue> ClaimController::finalize(const base::Context& ctx, const Claim& claim) {
  if (!has_finalizer(claim.metadata)) return Requeue::none();
  const bool gone =
      TRY(tear_down(ctx, claim.metadata.name, claim.status.provider_id, drain_deadline(claim)));
  if (!gone) return Requeue::after(kTearDownCheck);
  const auto released =
      deps_.client.patch(ctx, claim_type(claim.kind), claim.metadata.key(), kube::PatchType::Merge,
                         finalizer_patch(claim.metadata, false));
  if (!released && released.error().code() != ErrorCode::NotFound) {
    return Error(released.error()).context("releasing the claim");
  }
  return Requeue::none();
}

/// Nodes that were made for a claim which is gone.
Result<Requeue> ClaimController::collect(const base::Context& ctx, const std::string& name) {
  for (const ClaimKind kind : deps_.observer.kinds()) written_.forget(claim_type(kind), {"", name});
  if (deps_.observer.nodes_of_claim(name).empty()) return Requeue::none();
  // The copy may lag behind a claim that was just made: the server knows.
  for (const ClaimKind kind : deps_.observer.kinds()) {
    const auto live = deps_.client.get(ctx, claim_type(kind), {"", name});
    if (live) return Requeue::none();  // Its own event follows.
    if (live.error().code() != ErrorCode::NotFound) return live.error();
  }
  const bool gone = TRY(tear_down(ctx, name, {}, std::nullopt));
  return gone ? Requeue::none() : Requeue::after(kTearDownCheck);
}

Result<bool> ClaimController::tear_down(const base::Context& ctx, const std::string& claim_name,
                                        const std::string& provider_id,
                                        std::optional<base::SystemTime> deadline) {
  std::set<std::string> machines;
  if (!provider_id.empty()) machines.insert(provider_id);
  auto nodes = deps_.observer.nodes_of_claim(claim_name);
  for (const auto& node : deps_.observer.nodes_with_provider_id(provider_id)) {
    if (std::ranges::find(nodes, node) == nodes.end()) nodes.push_back(node);
  }
  bool drained = true;
  for (const auto& node : nodes) {
    if (!node->spec.provider_id.empty()) machines.insert(node->spec.provider_id);
    const bool empty = TRY(drain(ctx, *node, deadline));
    drained = drained && empty;
  }
  if (!drained) return false;
  if (machines.empty()) {
    // It ended between launching the machine and writing down its id, or was never launched.
    for (const Instance& instance : TRY(deps_.cloud.list(ctx))) {
      if (instance.claim_name == claim_name) machines.insert(instance.provider_id);
    }
  }
  bool gone = true;
  for (const std::string& machine : machines) {
    const Status removed = deps_.cloud.remove(ctx, machine);
    if (!removed && removed.error().code() != ErrorCode::NotFound) {
      return Error(removed.error()).context(fmt::format("removing machine {}", machine));
    }
    gone = gone && !removed;
  }
  if (!gone) return false;
  for (const auto& node : nodes) TRY(release_node(ctx, node->metadata.name));
  return nodes.empty();  // Else their own end is an event.
}

Result<bool> ClaimController::drain(const base::Context& ctx, const api::Node& node,
                                    std::optional<base::SystemTime> deadline) {
  const DrainPlan plan =
      plan_drain(node, deps_.observer.pods_on(node.metadata.name), deps_.clock.now(), deadline);
  if (plan.node_patch) {
    const auto patched = patch(ctx, api::Node::kType, node.metadata.key(), *plan.node_patch);
    if (!patched && patched.error().code() == ErrorCode::NotFound) return true;
    if (!patched) return Error(patched.error()).context("tainting the node");
  }
  for (const auto& pod : plan.evict) TRY(evict(ctx, *pod));
  for (const auto& pod : plan.kill) {
    kube::DeleteOptions at_once;
    at_once.grace_period_seconds = 0;
    at_once.uid = pod->metadata.uid;
    TRY(ignore_not_found(
        deps_.client.remove(ctx, PodSummary::kType, pod->metadata.key(), at_once)));
  }
  return !plan.waits;
}

Status ClaimController::evict(const base::Context& ctx, const PodSummary& pod) {
  const json::Object eviction{
      {"apiVersion", "policy/v1"},
      {"kind", "Eviction"},
      {"metadata", json::Object{{"name", json::String(pod.metadata.name)},
                                {"namespace", json::String(pod.metadata.ns)}}},
      {"deleteOptions",
       json::Object{{"preconditions", json::Object{{"uid", json::String(pod.metadata.uid)}}}}}};
  kube::WriteOptions options;
  options.subresource = "eviction";
  const auto evicted = deps_.client.create(ctx, PodSummary::kType, eviction, options);
  if (evicted) return {};
  const ErrorCode code = evicted.error().code();
  // A disruption budget says not now: the drain goes on at the next look.
  if (code == ErrorCode::Throttled || code == ErrorCode::NotFound || code == ErrorCode::Conflict) {
    return {};
  }
  return Error(evicted.error()).context(fmt::format("evicting pod {}", pod.metadata.key().text()));
}

/// Deletes the Node object and lets it go: its machine is gone or going.
Status ClaimController::release_node(const base::Context& ctx, const std::string& name) {
  const api::ObjectKey key{"", name};
  const auto live = kube::get<api::Node>(ctx, deps_.client, key);
  if (!live) return ignore_not_found(live.error());
  if (!live->metadata.deleting()) {
    TRY(ignore_not_found(kube::remove<api::Node>(ctx, deps_.client, key)));
  }
  if (!has_finalizer(live->metadata)) return {};
  // The deletion made a new version: the finalizer is taken from that.
  const auto deleting = kube::get<api::Node>(ctx, deps_.client, key);
  if (!deleting) return ignore_not_found(deleting.error());
  const auto released = deps_.client.patch(ctx, api::Node::kType, key, kube::PatchType::Merge,
                                           finalizer_patch(deleting->metadata, false));
  written_.forget(api::Node::kType, key);
  if (released) return {};
  return ignore_not_found(released.error());
}

}  // namespace provision

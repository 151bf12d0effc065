#include "provision/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "provision/labels.h"
#include "provision/registration.h"

namespace provision {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;
using kube::PatchType;
using kube::Requeue;

namespace {

/// The event of our own write wakes the controller; this is for a watch that hangs.
constexpr std::chrono::seconds kCatchUpCheck{5};

}  // namespace

Result<Requeue> ClaimController::reconcile(const base::Context& ctx, const api::ObjectKey& key) {
  std::optional<Claim> claim = deps_.observer.claim(key.name);
  if (!claim) return collect(ctx, key.name);
  if (!is_managed(*claim)) return Requeue::none();
  if (is_behind(*claim)) return Requeue::after(kCatchUpCheck);
  if (claim->metadata.deleting()) return finalize(ctx, *claim);
  TRY(ensure_finalizer(ctx, *claim));

  const std::optional<Progress> progress = TRY(advance(ctx, *claim));
  if (!progress) return Requeue::none();
  const api::NodeClaimStatus status =
      compute_status(*claim, *progress, base::format_rfc3339(deps_.clock.now()));
  if (const auto* step = find_step(*claim, status, "Initialized"); step && step->status == "True") {
    TRY(mark_initialized(ctx, *progress));
  }
  TRY(write_status(ctx, *claim, status));
  // A wrong claim stays wrong; anything else is tried again.
  if (progress->launch_error && progress->launch_error->code() != ErrorCode::Invalid) {
    return *progress->launch_error;
  }
  return Requeue::none();
}

Result<std::optional<Progress>> ClaimController::advance(const base::Context& ctx,
                                                         const Claim& claim) {
  Progress progress;
  const std::string& provider_id = claim.status.provider_id;
  auto nodes =
      provider_id.empty() ? Observer::Nodes() : deps_.observer.nodes_with_provider_id(provider_id);
  if (!nodes.empty()) {
    progress.instance = Instance{.provider_id = provider_id,
                                 .claim_name = claim.metadata.name,
                                 .image_id = claim.status.image_id,
                                 .capacity = claim.status.capacity};
  } else {
    const bool was_registered = !claim.status.node_name.empty();
    auto found = provider_id.empty() ? Result<Instance>(Error(ErrorCode::NotFound, "not launched"))
                                     : deps_.cloud.get(ctx, provider_id);
    if (found) {
      progress.instance = *std::move(found);
    } else if (found.error().code() != ErrorCode::NotFound) {
      return std::move(found).error().context("looking for the machine");
    } else if (was_registered) {
      TRY(end_claim(ctx, claim, "InstanceGone",
                    fmt::format("the machine of node {} is gone; this claim ends with it",
                                claim.status.node_name)));
      return std::optional<Progress>();
    } else {
      TRY(launch(ctx, claim, progress));
    }
    if (progress.instance) {
      nodes = deps_.observer.nodes_with_provider_id(progress.instance->provider_id);
    }
  }
  progress.nodes = nodes.size();
  if (nodes.size() != 1) return std::optional<Progress>(std::move(progress));
  progress.node = nodes.front();
  if (progress.node->metadata.deleting()) {
    TRY(end_claim(ctx, claim, "NodeDeleted",
                  fmt::format("node {} is being deleted; this claim ends with it",
                              progress.node->metadata.name)));
    return std::optional<Progress>();
  }
  TRY(register_node(ctx, claim, progress));
  return std::optional<Progress>(std::move(progress));
}

Status ClaimController::launch(const base::Context& ctx, const Claim& claim, Progress& progress) {
  const auto request = to_request(claim);
  auto launched = request ? deps_.cloud.create(ctx, *request) : Result<Instance>(request.error());
  if (launched) {
    progress.instance = *std::move(launched);
    return {};
  }
  const Error& error = launched.error();
  if (error.code() == ErrorCode::Cancelled) return error;
  progress.launch_error = error;
  const api::Condition* known = find_step(claim, claim.status, "Launched");
  if (!known || known->message != error.message()) {
    deps_.events.record(reference(claim), kube::EventType::Warning, "LaunchFailed",
                        error.message());
  }
  return {};
}

Status ClaimController::register_node(const base::Context& ctx, const Claim& claim,
                                      Progress& progress) {
  const auto request = to_request(claim);
  if (!request) return {};  // The claim was registered when it was right; its spec cannot change.
  const auto wanted = plan_registration(claim, *request, *progress.node);
  if (!wanted) return {};
  const json::Value patched =
      TRY(base::with_context(patch(ctx, api::Node::kType, progress.node->metadata.key(), *wanted),
                             "registering the node"));
  progress.node = std::make_shared<const api::Node>(TRY(json::decode<api::Node>(patched)));
  return {};
}

Status ClaimController::mark_initialized(const base::Context& ctx, const Progress& progress) {
  const auto wanted = plan_initialization(*progress.node);
  if (!wanted) return {};
  TRY(base::with_context(patch(ctx, api::Node::kType, progress.node->metadata.key(), *wanted),
                         "marking the node as initialized"));
  return {};
}

Status ClaimController::ensure_finalizer(const base::Context& ctx, Claim& claim) {
  if (has_finalizer(claim.metadata)) return {};
  const json::Value patched =
      TRY(base::with_context(patch(ctx, claim_type(claim.kind), claim.metadata.key(),
                                   finalizer_patch(claim.metadata, true)),
                             "adding the finalizer"));
  claim.metadata.resource_version = json::find_string(patched, "metadata.resourceVersion");
  return {};
}

Status ClaimController::write_status(const base::Context& ctx, const Claim& claim,
                                     const api::NodeClaimStatus& wanted) {
  json::Value encoded = json::encode(wanted);
  if (json::equal(encoded, json::encode(claim.status))) return {};
  // Conditions are a list: a status computed from an old version must not replace a newer one.
  const json::Object body{
      {"metadata",
       json::Object{{"resourceVersion", json::String(claim.metadata.resource_version)}}},
      {"status", std::move(encoded)}};
  kube::WriteOptions options;
  options.subresource = "status";
  TRY(base::with_context(patch(ctx, claim_type(claim.kind), claim.metadata.key(), body, options),
                         "writing the status"));
  return {};
}

/// Deletes the claim; its finalizer then cleans up.
Status ClaimController::end_claim(const base::Context& ctx, const Claim& claim,
                                  std::string_view reason, std::string_view message) {
  deps_.events.record(reference(claim), kube::EventType::Warning, reason, message);
  kube::DeleteOptions options;
  options.uid = claim.metadata.uid;
  const Status removed =
      deps_.client.remove(ctx, claim_type(claim.kind), claim.metadata.key(), options);
  if (!removed && removed.error().code() != ErrorCode::NotFound) return removed;
  return {};
}

Result<json::Value> ClaimController::patch(const base::Context& ctx, const api::ResourceType& type,
                                           const api::ObjectKey& key, const json::Value& body,
                                           const kube::WriteOptions& options) {
  json::Value patched = TRY(deps_.client.patch(ctx, type, key, PatchType::Merge, body, options));
  written_.note(type, patched);
  return patched;
}

bool ClaimController::is_behind(const Claim& claim) {
  if (written_.is_behind(claim_type(claim.kind), claim.metadata)) return true;
  return std::ranges::any_of(
      deps_.observer.nodes_of_claim(claim.metadata.name),
      [&](const auto& node) { return written_.is_behind(api::Node::kType, node->metadata); });
}

kube::ObjectReference ClaimController::reference(const Claim& claim) const {
  return {claim_type(claim.kind), claim.metadata.key(), claim.metadata.uid};
}

}  // namespace provision

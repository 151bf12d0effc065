#include "workspace/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "api/nodeclaim/machine.h"
#include "api/nodeclaim/nodeclaim.h"
#include "api/workspace/names.h"

namespace workspace {
namespace {

using base::ErrorCode;
using base::Status;

constexpr std::string_view kFieldManager = "kaito-operator";
/// How long a local copy may lag behind a create before the create is repeated.
constexpr auto kCreateLag = std::chrono::seconds(15);

std::uint64_t version_number(const std::string& resource_version) {
  std::uint64_t number = 0;
  std::from_chars(resource_version.data(), resource_version.data() + resource_version.size(), number);
  return number;
}

const api::ResourceType& claim_type(const Options& options) {
  return options.provisioner == NodeProvisioner::Machine ? api::Machine::kType : api::NodeClaim::kType;
}

json::Value live_of(const Observed& observed, const Desired& desired) {
  const std::string_view name = json::find_string(desired.object, "metadata.name");
  if (desired.type == api::StatefulSet::kType) return observed.stateful_set ? json::encode(*observed.stateful_set) : json::Value();
  const auto& service = name == observed.workspace->metadata.name ? observed.service : observed.headless_service;
  return service ? json::encode(*service) : json::Value();
}

/// Desired objects in the terms of the types that the local copies keep, so that both sides compare.
json::Value as_known(const Desired& desired) {
  if (desired.type == api::StatefulSet::kType) {
    auto known = json::decode<api::StatefulSet>(desired.object);
    return known ? json::encode(*known) : desired.object;
  }
  auto known = json::decode<api::Service>(desired.object);
  return known ? json::encode(*known) : desired.object;
}

Status ignore(Status result, ErrorCode code) {
  if (!result && result.error().code() == code) return {};
  return result;
}

}  // namespace

WorkspaceController::Written WorkspaceController::written(const Observed& observed) const {
  return written_.with([&](const auto& all) {
    const auto found = all.find(observed.workspace->metadata.key());
    // A namesake that came later starts with nothing written.
    return found == all.end() || found->second.uid != observed.workspace->metadata.uid ? Written{} : found->second;
  });
}

bool WorkspaceController::was_just_created(const Observed& observed, const std::string& what) const {
  const Written known = written(observed);
  const auto found = known.created.find(what);
  return found != known.created.end() && deps_.clock.steady() - found->second < kCreateLag;
}

void WorkspaceController::note_created(const Observed& observed, const std::string& what) {
  const auto now = deps_.clock.steady();
  written_.with([&](auto& all) {
    Written& entry = all[observed.workspace->metadata.key()];
    if (entry.uid != observed.workspace->metadata.uid) entry = Written{.uid = observed.workspace->metadata.uid, .created = {}, .status_text = {}};
    entry.created[what] = now;
  });
}

base::Result<kube::Requeue> WorkspaceController::reconcile(const Ctx& ctx, const api::ObjectKey& key) {
  const std::optional<Observed> observed = deps_.observer.observe(key);
  if (!observed) {
    deps_.canary.forget(key);
    written_.with([&](auto& all) { all.erase(key); });
    return kube::Requeue::none();
  }
  if (observed->workspace->metadata.deleting()) return finalize(ctx, *observed);

  const NodePlan nodes = plan_nodes(*observed, deps_.options);
  Status done = ensure_finalizer(ctx, *observed);
  if (done) done = carry_out_nodes(ctx, *observed, nodes);

  std::optional<ServePlan> serving;
  std::optional<ServingState> state;
  CanaryResult canary;
  if (observed->workspace->inference) {
    serving = plan_serving(*observed, nodes, deps_.options);
    // A workload that runs is kept up to date even while its nodes have trouble.
    if (done && (nodes.ready || observed->stateful_set)) done = carry_out_serving(ctx, *observed, *serving);
    state = observe_serving(*observed, *serving);
    if (state->rolled_out && state->canary_target && observed->preset) canary = deps_.canary.result(key, *state->canary_target);
  }
  StatusInputs inputs{.observed = *observed,
                      .nodes = nodes,
                      .serving = serving ? &*serving : nullptr,
                      .state = state ? &*state : nullptr,
                      .canary = canary,
                      .error = done ? std::nullopt : std::optional(done.error()),
                      .now = base::format_rfc3339(deps_.clock.now())};
  const Status status_written = write_status(ctx, *observed, compute_status(inputs));
  if (!done) return done.error();
  if (!status_written) return status_written.error();
  return kube::Requeue::none();
}

Status WorkspaceController::ensure_finalizer(const Ctx& ctx, const Observed& observed) {
  const api::ObjectMeta& metadata = observed.workspace->metadata;
  const auto& finalizers = metadata.finalizers;
  if (std::find(finalizers.begin(), finalizers.end(), api::kWorkspaceFinalizer) != finalizers.end()) return {};
  if (was_just_created(observed, "finalizer")) return {};
  json::Array wanted;
  for (const std::string& name : finalizers) wanted.emplace_back(json::String(name));
  wanted.emplace_back(json::String(api::kWorkspaceFinalizer));
  // The version guards the list: another's finalizer must not be lost.
  const json::Object patch{{"metadata", json::Object{{"finalizers", std::move(wanted)}, {"resourceVersion", json::String(metadata.resource_version)}}}};
  kube::WriteOptions options;
  options.field_manager = kFieldManager;
  TRY(deps_.client.patch(ctx, api::Workspace::kType, metadata.key(), kube::PatchType::Merge, patch, options));
  note_created(observed, "finalizer");
  return {};
}

Status WorkspaceController::carry_out_nodes(const Ctx& ctx, const Observed& observed, const NodePlan& plan) {
  const auto& type = claim_type(deps_.options);
  const auto about = kube::ObjectReference::of(*observed.workspace);
  const std::string kind(type.kind);
  for (const std::string& name : plan.create) {
    if (was_just_created(observed, kind + "/" + name)) continue;
    const auto created = deps_.client.create(ctx, type, make_claim(observed, deps_.options, name));
    if (!created && created.error().code() != ErrorCode::AlreadyExists) {
      deps_.events.record(about, kube::EventType::Warning, kind + "CreationFailed", created.error().message());
      return base::Error(created.error()).context(fmt::format("creating {} {}", kind, name));
    }
    note_created(observed, kind + "/" + name);
    if (created) deps_.events.record(about, kube::EventType::Normal, kind + "Created", fmt::format("{} {} asks for one {}", kind, name, observed.workspace->resource.instance_type));
  }
  for (const std::string& name : plan.remove) {
    TRY(ignore(deps_.client.remove(ctx, type, {"", name}), ErrorCode::NotFound));
    deps_.events.record(about, kube::EventType::Normal, kind + "Deleted", fmt::format("{} {} is not needed any more", kind, name));
  }
  for (const std::string& node : plan.label_gpu) {
    const json::Object patch{{"metadata", json::Object{{"labels", json::Object{{"accelerator", "nvidia"}}}}}};
    TRY(deps_.client.patch(ctx, api::Node::kType, {"", node}, kube::PatchType::Merge, patch));
  }
  return {};
}

Status WorkspaceController::carry_out_serving(const Ctx& ctx, const Observed& observed, const ServePlan& plan) {
  for (const Desired& desired : plan.objects) {
    const json::Value live = live_of(observed, desired);
    TRY(write_object(ctx, observed, desired, live));
  }
  return {};
}

Status WorkspaceController::write_object(const Ctx& ctx, const Observed& observed, const Desired& desired, const json::Value& live) {
  const std::string name(json::find_string(desired.object, "metadata.name"));
  const api::ObjectKey key{observed.workspace->metadata.ns, name};
  kube::WriteOptions options;
  options.field_manager = kFieldManager;
  if (live.is_null()) {
    const std::string what = fmt::format("{}/{}/{}", desired.type.kind, name, desired.hash);
    if (was_just_created(observed, what)) return {};
    const auto created = deps_.client.create(ctx, desired.type, desired.object, options);
    if (!created && created.error().code() != ErrorCode::AlreadyExists) {
      return base::Error(created.error()).context(fmt::format("creating {} {}", desired.type.kind, key.text()));
    }
    note_created(observed, what);
    return {};
  }
  Desired known = desired;
  known.object = as_known(desired);
  if (is_up_to_date(known, live)) return {};
  options.force = true;
  const auto applied = deps_.client.patch(ctx, desired.type, key, kube::PatchType::Apply, desired.object, options);
  if (!applied) return base::Error(applied.error()).context(fmt::format("updating {} {}", desired.type.kind, key.text()));
  return {};
}

Status WorkspaceController::write_status(const Ctx& ctx, const Observed& observed, const api::WorkspaceStatus& wanted) {
  const api::Workspace& workspace = *observed.workspace;
  const std::string text = json::dump_canonical(json::encode(wanted));
  const Written known = written(observed);
  // The copy may be older than our last write; then that write is what the server has.
  const bool stale = version_number(workspace.metadata.resource_version) < known.status_version;
  if (text == (stale ? known.status_text : json::dump_canonical(json::encode(workspace.status)))) return {};
  auto patched = kube::patch_status<api::Workspace>(ctx, deps_.client, workspace.metadata.key(), json::encode(wanted));
  if (!patched) {
    if (patched.error().code() == ErrorCode::NotFound) return {};  // Deleted while we worked.
    return std::move(patched).error().context("writing the status");
  }
  written_.with([&](auto& all) {
    Written& entry = all[workspace.metadata.key()];
    if (entry.uid != workspace.metadata.uid) entry = Written{.uid = workspace.metadata.uid, .created = {}, .status_text = {}};
    entry.status_text = text;
    entry.status_version = version_number(patched->metadata.resource_version);
  });
  return {};
}

base::Result<kube::Requeue> WorkspaceController::finalize(const Ctx& ctx, const Observed& observed) {
  const api::Workspace& workspace = *observed.workspace;
  const auto key = workspace.metadata.key();
  deps_.canary.forget(key);
  const auto& finalizers = workspace.metadata.finalizers;
  if (std::find(finalizers.begin(), finalizers.end(), api::kWorkspaceFinalizer) == finalizers.end()) return kube::Requeue::none();
  NodePlan no_nodes;
  StatusInputs inputs{.observed = observed, .nodes = no_nodes, .canary = {}, .error = {}, .now = base::format_rfc3339(deps_.clock.now())};
  TRY(write_status(ctx, observed, compute_status(inputs)));

  // Pods end before their nodes go, so that they can end well.
  if (observed.stateful_set && !observed.stateful_set->metadata.deleting()) {
    TRY(ignore(deps_.client.remove(ctx, api::StatefulSet::kType, key, {.propagation = kube::Propagation::Background, .grace_period_seconds = {}, .uid = observed.stateful_set->metadata.uid, .resource_version = {}}), ErrorCode::NotFound));
    return kube::Requeue::none();  // Its deletion is an event.
  }
  if (observed.stateful_set || !observed.pods.empty()) return kube::Requeue::none();

  if (deps_.options.provisioner != NodeProvisioner::Byo) {
    // Asked of the server itself: a claim that the local copy does not show yet must not outlive us.
    const auto& type = claim_type(deps_.options);
    kube::ListOptions mine;
    mine.label_selector = fmt::format("{}={},{}={}", api::kLabelWorkspace, key.name, api::kLabelWorkspaceNamespace, key.ns);
    const kube::ListResult claims = TRY(deps_.client.list(ctx, type, mine));
    for (const json::Value& claim : claims.items) {
      if (!json::find_string(claim, "metadata.deletionTimestamp").empty()) continue;
      TRY(ignore(deps_.client.remove(ctx, type, {"", std::string(json::find_string(claim, "metadata.name"))}), ErrorCode::NotFound));
    }
    if (!claims.items.empty()) return kube::Requeue::none();  // The finalizer stays until the nodes are gone.
  }
  json::Array rest;
  for (const std::string& name : finalizers) {
    if (name != api::kWorkspaceFinalizer) rest.emplace_back(json::String(name));
  }
  const json::Object patch{{"metadata", json::Object{{"finalizers", std::move(rest)}}}};
  auto removed = deps_.client.patch(ctx, api::Workspace::kType, key, kube::PatchType::Merge, patch);
  if (!removed && removed.error().code() != ErrorCode::NotFound) return std::move(removed).error().context("removing the finalizer");
  return kube::Requeue::none();
}

}  // namespace workspace

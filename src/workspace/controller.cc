#include "workspace/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "api/nodeclaim/machine.h"
#include "api/nodeclaim/nodeclaim.h"
#include "api/workspace/names.h"
#include "workspace/adapters.h"
#include "workspace/tune.h"

namespace workspace {
namespace {

using base::ErrorCode;
using base::Status;

constexpr std::string_view kFieldManager = "kaito-operator";
/// How soon to look again for a ConfigMap whose namespace is being listed.
constexpr auto kConfigDelay = std::chrono::milliseconds(100);
/// How soon to look again for a workload that the local copy does not show yet.
constexpr auto kWorkloadDelay = std::chrono::seconds(1);

const api::ResourceType& claim_type(const Options& options) {
  return options.provisioner == NodeProvisioner::Machine ? api::Machine::kType
                                                         : api::NodeClaim::kType;
}

/// `Kind/name`, how writes are remembered.
std::string name_of(const api::ResourceType& type, std::string_view name) {
  return fmt::format("{}/{}", type.kind, name);
}

/// What the local copies have of a wanted object.
struct Live {
  const api::ObjectMeta* metadata = nullptr;  ///< Null when they have none.
  std::function<json::Value()> encode{};
};

template <class T>
Live live_from(const std::shared_ptr<const T>& object) {
  if (!object) return {};
  return {&object->metadata, [object] { return json::encode(*object); }};
}

Live live_of(const Observed& observed, const Desired& desired) {
  if (desired.type == api::StatefulSet::kType) return live_from(observed.stateful_set);
  if (desired.type == api::ConfigMap::kType) return live_from(observed.adapters_config);
  const bool main =
      json::find_string(desired.object, "metadata.name") == observed.workspace->metadata.name;
  return live_from(main ? observed.service : observed.headless_service);
}

/// Desired objects in the terms of the types that the local copies keep, so that both sides
/// compare.
json::Value as_known(const Desired& desired) {
  if (desired.type == api::StatefulSet::kType) {
    auto known = json::decode<api::StatefulSet>(desired.object);
    return known ? json::encode(*known) : desired.object;
  }
  if (desired.type == api::ConfigMap::kType) return desired.object;
  auto known = json::decode<api::Service>(desired.object);
  return known ? json::encode(*known) : desired.object;
}

/// Names a version of an object's spec together with what was wanted of it. A generation counts
/// only changes of the spec; objects without one change with every write.
std::string version_token(const Desired& desired, std::string_view uid, std::int64_t generation,
                          std::string_view version) {
  return generation > 0 ? fmt::format("{} {} generation {}", desired.hash, uid, generation)
                        : fmt::format("{} {} version {}", desired.hash, uid, version);
}

std::string version_token(const Desired& desired, const json::Value& object) {
  return version_token(desired, json::find_string(object, "metadata.uid"),
                       json::find_int(object, "metadata.generation").value_or(0),
                       json::find_string(object, "metadata.resourceVersion"));
}

Status ignore(Status result, ErrorCode code) {
  if (!result && result.error().code() == code) return {};
  return result;
}

bool has_finalizer(const api::ObjectMeta& metadata) {
  return std::find(metadata.finalizers.begin(), metadata.finalizers.end(),
                   api::kWorkspaceFinalizer) != metadata.finalizers.end();
}

/// A pod of this workspace's workload that has not ended.
bool is_running_pod(const api::Workspace& workspace, const api::Pod& pod) {
  if (pod.status.phase == "Succeeded" || pod.status.phase == "Failed") return false;
  const api::OwnerReference* owner = api::find_controller(pod.metadata);
  const bool workload =
      owner && (owner->kind == api::StatefulSet::kType.kind || owner->kind == api::Job::kType.kind);
  return workload && owner->name == workspace.metadata.name;
}

}  // namespace

void WorkspaceController::catch_up(const Observed& observed) {
  const api::ObjectMeta& workspace = observed.workspace->metadata;
  const auto& type = claim_type(deps_.options);
  for (const Claim& claim : observed.claims) {
    recent_.seen(workspace, name_of(type, claim.name));
    if (claim.deleting) recent_.seen(workspace, "removal of " + name_of(type, claim.name));
  }
  if (observed.stateful_set)
    recent_.seen(workspace, name_of(api::StatefulSet::kType, workspace.name));
  if (observed.job) {
    recent_.seen(workspace, name_of(api::Job::kType, workspace.name));
  } else {
    recent_.seen(workspace, "removal of " + name_of(api::Job::kType, workspace.name));
  }
  if (!observed.stateful_set)
    recent_.seen(workspace, "removal of " + name_of(api::StatefulSet::kType, workspace.name));
  if (observed.adapters_config) {
    recent_.seen(workspace,
                 name_of(api::ConfigMap::kType, observed.adapters_config->metadata.name));
  }
  if (observed.service) recent_.seen(workspace, name_of(api::Service::kType, workspace.name));
  if (observed.headless_service)
    recent_.seen(workspace, name_of(api::Service::kType, workspace.name + "-headless"));
}

void WorkspaceController::forget(const api::ObjectKey& key) {
  deps_.canary.forget(key);
  deps_.progress.forget(key);
  recent_.forget(key);
  workspace_writes_.forget(api::Workspace::kType, key);
  status_writes_.forget(api::Workspace::kType, key);
  object_writes_.forget(api::StatefulSet::kType, key);
  object_writes_.forget(api::Job::kType, key);
  object_writes_.forget(api::ConfigMap::kType, {key.ns, adapters_config_name(key.name)});
  object_writes_.forget(api::Service::kType, key);
  object_writes_.forget(api::Service::kType, {key.ns, key.name + "-headless"});
}

base::Result<kube::Requeue> WorkspaceController::reconcile(const Ctx& ctx,
                                                           const api::ObjectKey& key) {
  const std::optional<Observed> observed = deps_.observer.observe(key);
  if (!observed) {
    forget(key);
    return kube::Requeue::none();
  }
  catch_up(*observed);
  if (observed->workspace->metadata.deleting()) return finalize(ctx, *observed);
  if (!observed->config_known) return kube::Requeue::after(kConfigDelay);

  const NodePlan nodes = plan_nodes(*observed, deps_.options);
  Status done = ensure_finalizer(ctx, *observed);
  if (done) done = carry_out_nodes(ctx, *observed, nodes);

  std::optional<ServePlan> serving;
  std::optional<ServingState> state;
  CanaryResult canary;
  if (done && observed->workspace->tuning) done = carry_out_tuning(ctx, *observed, nodes);
  if (observed->serves) {
    serving = plan_serving(*observed, nodes, deps_.options);
    // A workload that runs is kept up to date even while its nodes have trouble.
    if (done && (nodes.ready || observed->stateful_set))
      done = carry_out_serving(ctx, *observed, *serving);
    state = observe_serving(*observed, *serving);
    if (state->rolled_out && state->canary_target && observed->preset) {
      canary = deps_.canary.result(key, *state->canary_target);
    } else if (state->loading_target) {
      canary = deps_.canary.result(key, *state->loading_target);
    } else {
      deps_.canary.forget(key);  // Its address may soon be another's.
    }
  } else {
    deps_.canary.forget(key);
  }
  const CanaryResult progress = ask_progress(*observed);
  // Somebody else wrote first: the copy is old, and so is all that was planned from it.
  if (!done && done.error().code() == ErrorCode::Conflict) return done.error();
  StatusInputs inputs{.observed = *observed,
                      .nodes = nodes,
                      .serving = serving ? &*serving : nullptr,
                      .state = state ? &*state : nullptr,
                      .canary = canary,
                      .progress = progress.message,
                      .error = done ? std::nullopt : std::optional(done.error()),
                      .now = base::format_rfc3339(deps_.clock.now())};
  const Status status_written = write_status(ctx, *observed, compute_status(inputs));
  if (!done) return done.error();
  if (!status_written) return status_written.error();
  // What was written should show up soon; if it does not, it was lost.
  const kube::Requeue lost = recent_.has_pending(observed->workspace->metadata)
                                 ? kube::Requeue::after(RecentWrites::kLag)
                                 : kube::Requeue::none();
  return observed->serving_left
             ? kube::Requeue::sooner(lost, kube::Requeue::after(*observed->serving_left))
             : lost;
}

CanaryResult WorkspaceController::ask_progress(const Observed& observed) {
  const auto key = observed.workspace->metadata.key();
  if (const auto tuner = running_tuner(observed))
    return deps_.progress.result(key, {tuner->uid, tuner->restarts, tuner->address, ""});
  deps_.progress.forget(key);
  return {};
}

Status WorkspaceController::remove_workload(const Ctx& ctx, const Observed& observed,
                                            const api::ResourceType& type,
                                            const api::ObjectMeta& live) {
  const api::ObjectMeta& workspace = observed.workspace->metadata;
  const std::string removal = "removal of " + name_of(type, live.name);
  if (live.deleting() || recent_.is_pending(workspace, removal)) return {};
  TRY(ignore(deps_.client.remove(ctx, type, live.key(),
                                 {.propagation = kube::Propagation::Background,
                                  .grace_period_seconds = {},
                                  .uid = live.uid,
                                  .resource_version = {}}),
             ErrorCode::NotFound));
  recent_.note(workspace, removal);
  return {};
}

Status WorkspaceController::carry_out_tuning(const Ctx& ctx, const Observed& observed,
                                             const NodePlan& nodes) {
  const api::Workspace& workspace = *observed.workspace;
  const api::ObjectMeta& meta = workspace.metadata;
  // Server and tuner do not fit on one node together, and an old adapter is not what is asked for.
  if (!observed.serves && observed.stateful_set)
    return remove_workload(ctx, observed, api::StatefulSet::kType, observed.stateful_set->metadata);
  if (observed.job) {
    return is_outdated_job(workspace, *observed.job)
               ? remove_workload(ctx, observed, api::Job::kType, observed.job->metadata)
               : Status();
  }
  if (observed.tuning != TuningPhase::Training || !nodes.ready || nodes.problem) return {};
  const std::string what = name_of(api::Job::kType, meta.name);
  if (recent_.is_pending(meta, what)) return {};
  const Desired job = tuning_job(observed, nodes, deps_.options);
  kube::WriteOptions options;
  options.field_manager = kFieldManager;
  const auto created = deps_.client.create(ctx, job.type, job.object, options);
  if (!created && created.error().code() == ErrorCode::AlreadyExists) {
    return base::Error(ErrorCode::AlreadyExists,
                       fmt::format("{} exists already: an older one is still going, or it does not "
                                   "belong to this workspace; in that case remove it or rename the "
                                   "workspace",
                                   what));
  }
  if (!created) return base::Error(created.error()).context("creating " + what);
  recent_.note(meta, what);
  deps_.events.record(kube::ObjectReference::of(workspace), kube::EventType::Normal,
                      "TuningStarted",
                      fmt::format("Job {} trains {}", meta.name, workspace.tuning->preset->name));
  return {};
}

Status WorkspaceController::ensure_finalizer(const Ctx& ctx, const Observed& observed) {
  const api::ObjectMeta& metadata = observed.workspace->metadata;
  if (has_finalizer(metadata) || workspace_writes_.is_behind(api::Workspace::kType, metadata))
    return {};
  json::Array wanted;
  for (const std::string& name : metadata.finalizers) wanted.emplace_back(json::String(name));
  wanted.emplace_back(json::String(api::kWorkspaceFinalizer));
  // The version guards the list: another's finalizer must not be lost.
  const json::Object patch{
      {"metadata", json::Object{{"finalizers", std::move(wanted)},
                                {"resourceVersion", json::String(metadata.resource_version)}}}};
  kube::WriteOptions options;
  options.field_manager = kFieldManager;
  auto patched = deps_.client.patch(ctx, api::Workspace::kType, metadata.key(),
                                    kube::PatchType::Merge, patch, options);
  if (!patched) return std::move(patched).error().context("adding the finalizer");
  workspace_writes_.note(api::Workspace::kType, *patched);
  return {};
}

Status WorkspaceController::carry_out_nodes(const Ctx& ctx, const Observed& observed,
                                            const NodePlan& plan) {
  const auto& type = claim_type(deps_.options);
  const auto about = kube::ObjectReference::of(*observed.workspace);
  const api::ObjectMeta& workspace = observed.workspace->metadata;
  const std::string kind(type.kind);
  for (const std::string& name : plan.create) {
    if (recent_.is_pending(workspace, name_of(type, name))) continue;
    const auto created = deps_.client.create(ctx, type, make_claim(observed, deps_.options, name));
    if (!created && created.error().code() != ErrorCode::AlreadyExists) {
      deps_.events.record(about, kube::EventType::Warning, kind + "CreationFailed",
                          created.error().message());
      return base::Error(created.error()).context(fmt::format("creating {} {}", kind, name));
    }
    recent_.note(workspace, name_of(type, name));
    if (created)
      deps_.events.record(about, kube::EventType::Normal, kind + "Created",
                          fmt::format("{} {} asks for one {}", kind, name,
                                      observed.workspace->resource.instance_type));
  }
  for (const std::string& name : plan.remove) {
    const std::string removal = "removal of " + name_of(type, name);
    if (recent_.is_pending(workspace, removal)) continue;
    TRY(ignore(deps_.client.remove(ctx, type, {"", name}), ErrorCode::NotFound));
    recent_.note(workspace, removal);
    deps_.events.record(about, kube::EventType::Normal, kind + "Deleted",
                        fmt::format("{} {} is not needed any more", kind, name));
  }
  for (const std::string& node : plan.label_gpu) {
    if (recent_.is_pending(workspace, "label of " + node)) continue;
    const json::Object patch{
        {"metadata", json::Object{{"labels", json::Object{{"accelerator", "nvidia"}}}}}};
    auto patched =
        deps_.client.patch(ctx, api::Node::kType, {"", node}, kube::PatchType::Merge, patch);
    if (!patched) return std::move(patched).error().context(fmt::format("labelling node {}", node));
    recent_.note(workspace, "label of " + node);
  }
  return {};
}

Status WorkspaceController::carry_out_serving(const Ctx& ctx, const Observed& observed,
                                              const ServePlan& plan) {
  for (const Desired& desired : plan.objects) TRY(write_object(ctx, observed, desired));
  return {};
}

Status WorkspaceController::write_object(const Ctx& ctx, const Observed& observed,
                                         const Desired& desired) {
  const api::ObjectMeta& workspace = observed.workspace->metadata;
  const std::string what =
      name_of(desired.type, json::find_string(desired.object, "metadata.name"));
  const Live live = live_of(observed, desired);
  if (!live.metadata)
    return recent_.is_pending(workspace, what) ? Status() : create_object(ctx, observed, desired);
  // Its own deletion ends first, and a copy older than our last write is about to be replaced.
  if (live.metadata->deleting() || object_writes_.is_behind(desired.type, *live.metadata))
    return {};
  const std::string token = version_token(desired, live.metadata->uid, live.metadata->generation,
                                          live.metadata->resource_version);
  const auto hash = live.metadata->annotations.find(std::string(kObjectHashAnnotation));
  if (hash != live.metadata->annotations.end() && hash->second == desired.hash &&
      recent_.is_settled(workspace, what, token))
    return {};
  const json::Value current = live.encode();
  if (!is_up_to_date({desired.type, as_known(desired), desired.hash}, current))
    return update_object(ctx, observed, desired, current);
  recent_.settle(workspace, what, token);
  return {};
}

Status WorkspaceController::create_object(const Ctx& ctx, const Observed& observed,
                                          const Desired& desired) {
  const api::ObjectMeta& workspace = observed.workspace->metadata;
  const std::string name(json::find_string(desired.object, "metadata.name"));
  const std::string what = name_of(desired.type, name);
  kube::WriteOptions options;
  options.field_manager = kFieldManager;
  auto created = deps_.client.create(ctx, desired.type, desired.object, options);
  if (created) {
    recent_.note(workspace, what);
    recent_.settle(workspace, what, version_token(desired, *created));
    return {};
  }
  if (created.error().code() != ErrorCode::AlreadyExists)
    return std::move(created).error().context("creating " + what);
  // The local copies lag, or somebody took the label away, or it is not ours at all.
  const json::Value live = TRY(deps_.client.get(ctx, desired.type, {workspace.ns, name}));
  const json::Array* owners = json::find_array(live, "metadata.ownerReferences");
  const bool ours =
      owners && std::any_of(owners->begin(), owners->end(), [&](const json::Value& owner) {
        return json::find_string(owner, "uid") == workspace.uid;
      });
  if (!ours) {
    return base::Error(
        ErrorCode::AlreadyExists,
        fmt::format(
            "{} {} exists and does not belong to this workspace; remove it or rename the workspace",
            desired.type.kind, name));
  }
  recent_.note(workspace, what);
  return update_object(ctx, observed, desired, live);
}

Status WorkspaceController::update_object(const Ctx& ctx, const Observed& observed,
                                          const Desired& desired, const json::Value& live) {
  const std::string name(json::find_string(desired.object, "metadata.name"));
  const std::string what = name_of(desired.type, name);
  const json::Value patch = update_patch(desired, live);
  if (patch.as_array().empty()) return {};
  kube::WriteOptions options;
  options.field_manager = kFieldManager;
  auto patched = deps_.client.patch(ctx, desired.type, {observed.workspace->metadata.ns, name},
                                    kube::PatchType::Json, patch, options);
  if (!patched) {
    if (patched.error().code() == ErrorCode::NotFound) return {};  // Its deletion is an event.
    return std::move(patched).error().context("updating " + what);
  }
  object_writes_.note(desired.type, *patched);
  // However the server spells what it was given: it is as wanted until somebody changes it.
  recent_.settle(observed.workspace->metadata, what, version_token(desired, *patched));
  return {};
}

Status WorkspaceController::write_status(const Ctx& ctx, const Observed& observed,
                                         const api::WorkspaceStatus& wanted) {
  const api::Workspace& workspace = *observed.workspace;
  // A copy older than our last write is about to be replaced; what is new by then is written then.
  if (status_writes_.is_behind(api::Workspace::kType, workspace.metadata)) return {};
  const json::Value before = json::write_value(workspace.status);
  json::Value after = json::write_value(wanted);
  if (json::equal(before, after)) return {};
  // What became empty is left out by the encoder and would stay in a merge.
  for (const auto& member : before.as_object()) {
    if (!after.as_object().contains(member.key())) after.as_object()[member.key()] = nullptr;
  }
  auto patched = kube::patch_status<api::Workspace>(ctx, deps_.client, workspace.metadata.key(),
                                                    std::move(after));
  if (!patched) {
    if (patched.error().code() == ErrorCode::NotFound) return {};  // Deleted while we worked.
    return std::move(patched).error().context("writing the status");
  }
  status_writes_.note(api::Workspace::kType, workspace.metadata.key(),
                      patched->metadata.resource_version);
  workspace_writes_.note(api::Workspace::kType, workspace.metadata.key(),
                         patched->metadata.resource_version);
  return {};
}

base::Result<kube::Requeue> WorkspaceController::finalize(const Ctx& ctx,
                                                          const Observed& observed) {
  const api::Workspace& workspace = *observed.workspace;
  const auto key = workspace.metadata.key();
  deps_.canary.forget(key);
  deps_.progress.forget(key);
  if (!has_finalizer(workspace.metadata)) return kube::Requeue::none();
  NodePlan no_nodes;
  StatusInputs inputs{.observed = observed,
                      .nodes = no_nodes,
                      .canary = {},
                      .error = {},
                      .now = base::format_rfc3339(deps_.clock.now())};
  TRY(write_status(ctx, observed, compute_status(inputs)));

  // Pods end before their nodes go, so that they can end well.
  if (observed.stateful_set)
    TRY(remove_workload(ctx, observed, api::StatefulSet::kType, observed.stateful_set->metadata));
  if (observed.job) TRY(remove_workload(ctx, observed, api::Job::kType, observed.job->metadata));
  const bool pods_left =
      std::any_of(observed.pods.begin(), observed.pods.end(),
                  [&](const auto& pod) { return is_running_pod(workspace, *pod); });
  if (observed.stateful_set || observed.job || pods_left)
    return kube::Requeue::none();  // Their end is an event.
  if (recent_.is_pending(workspace.metadata, name_of(api::StatefulSet::kType, key.name)) ||
      recent_.is_pending(workspace.metadata, name_of(api::Job::kType, key.name)))
    return kube::Requeue::after(kWorkloadDelay);

  if (deps_.options.provisioner != NodeProvisioner::Byo) {
    // Asked of the server itself: a claim that the local copy does not show yet must not outlive
    // us.
    const auto& type = claim_type(deps_.options);
    kube::ListOptions mine;
    mine.label_selector = fmt::format("{}={},{}={}", api::kLabelWorkspace, key.name,
                                      api::kLabelWorkspaceNamespace, key.ns);
    const kube::ListResult claims = TRY(deps_.client.list(ctx, type, mine));
    for (const json::Value& claim : claims.items) {
      if (!json::find_string(claim, "metadata.deletionTimestamp").empty()) continue;
      TRY(ignore(deps_.client.remove(ctx, type,
                                     {"", std::string(json::find_string(claim, "metadata.name"))}),
                 ErrorCode::NotFound));
    }
    if (!claims.items.empty())
      return kube::Requeue::none();  // The finalizer stays until the nodes are gone.
  }
  // With the version of a copy older than our own writes, the patch below would be refused.
  if (workspace_writes_.is_behind(api::Workspace::kType, workspace.metadata))
    return kube::Requeue::none();
  json::Array rest;
  for (const std::string& name : workspace.metadata.finalizers) {
    if (name != api::kWorkspaceFinalizer) rest.emplace_back(json::String(name));
  }
  const json::Object patch{
      {"metadata",
       json::Object{{"finalizers", std::move(rest)},
                    {"resourceVersion", json::String(workspace.metadata.resource_version)}}}};
  auto removed = deps_.client.patch(ctx, api::Workspace::kType, key, kube::PatchType::Merge, patch);
  if (!removed && removed.error().code() != ErrorCode::NotFound)
    return std::move(removed).error().context("removing the finalizer");
  return kube::Requeue::none();
}

}  // namespace workspace

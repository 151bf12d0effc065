#include <fmt/format.h>

#include <algorithm>

#include "apiserver/objects/engine.h"
#include "apiserver/objects/metadata.h"

/// Deletion: preconditions, grace, finalizers, and what follows a removal.
namespace apiserver {
namespace {

constexpr int kConflictRetries = 64;
constexpr const char* kForeground = "foregroundDeletion";
constexpr const char* kOrphan = "orphan";
constexpr const char* kCleanup = "customresourcecleanup.apiextensions.k8s.io";

void set_propagation_finalizers(json::Object& metadata, Propagation propagation) {
  if (propagation == Propagation::Default) return;
  json::Array kept;
  if (const json::Value* list = metadata.if_contains("finalizers"); list && list->is_array())
    for (const json::Value& entry : list->get_array())
      if (entry != kForeground && entry != kOrphan) kept.push_back(entry);
  if (propagation == Propagation::Foreground) kept.emplace_back(kForeground);
  if (propagation == Propagation::Orphan) kept.emplace_back(kOrphan);
  if (kept.empty()) {
    metadata.erase("finalizers");
  } else {
    metadata["finalizers"] = std::move(kept);
  }
}

bool is_crd(const ResourceDefinition& resource) {
  return resource.plural == "customresourcedefinitions" && resource.group == "apiextensions.k8s.io";
}

ApiStatus check_preconditions(const Target& target, const DeleteOptions& options,
                              const StoredObject& current) {
  const std::string_view uid = json::find_string(current.value, "metadata.uid");
  if (!options.uid.empty() && options.uid != uid)
    return conflict(*target.definition, target.name,
                    fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: "
                                "{}",
                                options.uid, uid));
  const std::string revision = fmt::format("{}", current.revision);
  if (!options.resource_version.empty() && options.resource_version != revision)
    return conflict(*target.definition, target.name,
                    fmt::format("Precondition failed: ResourceVersion in precondition: {}, "
                                "ResourceVersion in object meta: {}",
                                options.resource_version, revision));
  return {};
}

}  // namespace

ApiResult<DeleteOutcome> ObjectEngine::remove(const Target& target, const DeleteOptions& options) {
  for (int attempt = 0;; ++attempt) {
    auto outcome = remove_once(target, options);
    const bool raced = !outcome && outcome.error().reason == "Conflict" &&
                       outcome.error().message.find("has been modified") != std::string::npos;
    if (!raced || attempt == kConflictRetries) return outcome;
  }
}

ApiResult<DeleteOutcome> ObjectEngine::remove_once(const Target& target,
                                                   const DeleteOptions& options) {
  const ResourceDefinition& resource = *target.definition;
  const ObjectRef current = TRY(get(target));
  TRY(check_preconditions(target, options, *current));
  if (resource.strategy) {
    const auto problem = resource.strategy->delete_problem(current->value.get_object());
    if (!problem.empty()) return forbidden(resource, target.name, problem);
  }
  TRY(admit_delete(target, options, *current));

  json::Value value = current->value;
  json::Object& object = value.get_object();
  json::Object& metadata = child(object, "metadata");
  const bool already = is_deleting(value);
  set_propagation_finalizers(metadata, options.propagation);
  std::int64_t grace = 0;
  if (resource.strategy)
    grace = resource.strategy->grace_seconds(object, options.grace_seconds).value_or(0);
  const auto before = json::find_int(value, "metadata.deletionGracePeriodSeconds").value_or(0);
  if (!already || grace < before) {
    const auto end = deps_.clock.now() + std::chrono::seconds(grace);
    metadata["deletionTimestamp"] = json::String(base::format_rfc3339(end));
    metadata["deletionGracePeriodSeconds"] = grace;
    if (!already && metadata.contains("generation"))
      metadata["generation"] = json::find_int(value, "metadata.generation").value_or(0) + 1;
  }
  if (!already && resource.plural == "namespaces" && resource.group.empty())
    child(object, "status")["phase"] = "Terminating";

  DeleteOutcome outcome;
  outcome.object = current;
  if (may_be_removed(value)) {
    outcome.removed = true;
    if (options.dry_run) return outcome;
    outcome.object = TRY(erase(target, current->revision));
    return outcome;
  }
  if (options.dry_run || json::equal(value, current->value)) return outcome;
  auto stored =
      deps_.store.update(resource.storage_key(), target.key(), current->revision, std::move(value));
  if (!stored) return from_error(stored.error(), resource, target.name);
  outcome.object = *stored;
  if (resource.strategy) resource.strategy->committed(outcome.object->value.get_object());
  if (is_crd(resource)) {
    delete_instances(outcome.object->value);
    outcome.removed = !deps_.store.get(resource.storage_key(), target.key());
  }
  return outcome;
}

ApiResult<ObjectRef> ObjectEngine::erase(const Target& target, Revision expected) {
  const ResourceDefinition& resource = *target.definition;
  auto removed = deps_.store.remove(resource.storage_key(), target.key(), expected);
  if (!removed) return from_error(removed.error(), resource, target.name);
  if (resource.strategy) resource.strategy->released((*removed)->value.get_object());
  if (resource.custom) finish_custom_resource(resource);
  return *std::move(removed);
}

void ObjectEngine::delete_instances(const json::Value& crd) {
  const DefinitionRef definition = deps_.registry.catalog()->find(
      json::find_string(crd, "spec.group"), json::find_string(crd, "spec.names.plural"));
  if (!definition) return;
  for (const ObjectRef& object : deps_.store.list(definition->storage_key(), "").objects) {
    Target target{.definition = definition, .version = &definition->storage_version()};
    target.ns = json::find_string(object->value, "metadata.namespace");
    target.name = json::find_string(object->value, "metadata.name");
    // Refused or already gone: the definition stays until the last one has left.
    (void)remove(target, {});
  }
  finish_custom_resource(*definition);
}

void ObjectEngine::finish_custom_resource(const ResourceDefinition& resource) {
  const CatalogRef catalog = deps_.registry.catalog();
  const DefinitionRef current = catalog->find(resource.group, resource.plural);
  if (!current || !current->terminating || deps_.store.count(current->storage_key()) > 0) return;
  const DefinitionRef crds = catalog->find("apiextensions.k8s.io", "customresourcedefinitions");
  Target target{.definition = crds, .version = &crds->storage_version()};
  target.name = current->qualified();
  // Gone already means somebody else finished it.
  (void)edit(target, {.field_manager = "apiserver"}, [](const json::Value& now) {
    json::Value next = now;
    json::Object& metadata = child(next.get_object(), "metadata");
    json::Array kept;
    if (const json::Value* list = metadata.if_contains("finalizers"); list && list->is_array())
      for (const json::Value& entry : list->get_array())
        if (entry != kCleanup) kept.push_back(entry);
    metadata["finalizers"] = std::move(kept);
    return ApiResult<json::Value>(std::move(next));
  });
}

}  // namespace apiserver

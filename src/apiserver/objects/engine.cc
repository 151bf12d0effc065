#include "apiserver/objects/engine.h"

#include <fmt/format.h>

#include "apiserver/objects/metadata.h"

namespace apiserver {
namespace {

/// Times a write without a resourceVersion is tried against concurrent writers.
constexpr int kConflictRetries = 64;

/// Members with null mean nothing in built-in types.
void drop_nulls(json::Value& value) {
  if (json::Array* array = value.if_array()) {
    for (json::Value& element : *array) drop_nulls(element);
    return;
  }
  json::Object* object = value.if_object();
  if (!object) return;
  std::vector<std::string> empty;
  for (auto& member : *object) {
    if (member.value().is_null()) {
      empty.emplace_back(member.key());
    } else {
      drop_nulls(member.value());
    }
  }
  for (const auto& key : empty) object->erase(key);
}

bool differs_beyond(const json::Object& a, const json::Object& b, bool ignore_status) {
  const auto counts = [&](std::string_view key) {
    return key != "metadata" && key != "apiVersion" && key != "kind" &&
           (key != "status" || !ignore_status);
  };
  for (const auto& member : a) {
    if (!counts({member.key().data(), member.key().size()})) continue;
    const json::Value* other = b.if_contains(member.key());
    if (!other || !json::equal(member.value(), *other)) return true;
  }
  for (const auto& member : b)
    if (counts({member.key().data(), member.key().size()}) && !a.contains(member.key()))
      return true;
  return false;
}

ObjectRef unsaved(json::Value value) {
  auto object = std::make_shared<StoredObject>();
  object->text = json::dump(value);
  object->value = std::move(value);
  return object;
}

void set_api_version(json::Value& value, const std::string& api_version) {
  value.get_object()["apiVersion"] = json::String(api_version);
}

/// Status updates change the status, and for built-in types labels and annotations too.
json::Value with_status_of(const json::Value& old, const json::Value& wanted, bool custom) {
  json::Value out = old;
  json::Object& object = out.get_object();
  const json::Object& from = wanted.get_object();
  if (const json::Value* status = from.if_contains("status")) {
    object["status"] = *status;
  } else {
    object.erase("status");
  }
  const json::Object* metadata = child_if(from, "metadata");
  json::Object& target = child(object, "metadata");
  const auto take = [&](const char* key) {
    const json::Value* value = metadata ? metadata->if_contains(key) : nullptr;
    if (value) target[key] = *value;
  };
  take("managedFields");
  if (!custom) {
    take("labels");
    take("annotations");
  }
  return out;
}

}  // namespace

json::Value ObjectEngine::in_version(const ResourceDefinition& resource,
                                     const VersionDefinition& version, const StoredObject& object) {
  json::Value value = object.value;
  set_api_version(value, resource.api_version(version));
  return value;
}

ApiResult<ObjectRef> ObjectEngine::get(const Target& target) const {
  ObjectRef found = deps_.store.get(target.definition->storage_key(), target.key());
  if (!found) return not_found(*target.definition, target.name);
  return found;
}

ApiStatus ObjectEngine::check_namespace(const Target& target) const {
  if (!target.definition->namespaced) return {};
  const ObjectRef ns = deps_.store.get("/namespaces", {"", target.ns});
  const DefinitionRef namespaces = deps_.registry.catalog()->find("", "namespaces");
  if (!ns) return not_found(*namespaces, target.ns);
  if (!is_deleting(ns->value)) return {};
  auto error = forbidden(*target.definition, target.name,
                         fmt::format("unable to create new content in namespace {} because it is "
                                     "being terminated",
                                     target.ns));
  error.error().causes.push_back({"NamespaceTerminating",
                                  fmt::format("namespace {} is being terminated", target.ns),
                                  "metadata.namespace"});
  return error;
}

ApiStatus ObjectEngine::check_body(Draft& draft) const {
  const Target& target = draft.target;
  json::Object* object = draft.object.if_object();
  if (!object) return bad_request("the request body must be a JSON object");
  set_default(*object, "apiVersion", json::String(target.api_version()));
  set_default(*object, "kind", json::String(target.definition->kind));
  if (text_of(*object, "apiVersion") != target.api_version())
    return bad_request(
        fmt::format("the API version in the data ({}) does not match the expected API version ({})",
                    text_of(*object, "apiVersion"), target.api_version()));
  if (text_of(*object, "kind") != target.definition->kind)
    return bad_request(
        fmt::format("the kind in the data ({}) does not match the expected kind ({})",
                    text_of(*object, "kind"), target.definition->kind));
  const json::Value* metadata = object->if_contains("metadata");
  if (metadata && !metadata->is_object() && !metadata->is_null())
    return bad_request("metadata: expected object, found " +
                       std::string(json::kind_name(*metadata)));
  json::Object& meta = child(*object, "metadata");
  for (const char* key : {"name", "namespace", "generateName", "uid", "resourceVersion"}) {
    const json::Value* value = meta.if_contains(key);
    if (value && !value->is_string() && !value->is_null())
      return bad_request(
          fmt::format("metadata.{}: expected string, found {}", key, json::kind_name(*value)));
  }
  const std::string_view ns = text_of(meta, "namespace");
  if (target.definition->namespaced && !ns.empty() && ns != target.ns)
    return bad_request(
        fmt::format("the namespace of the provided object does not match the namespace sent on the "
                    "request: {} is not {}",
                    ns, target.ns));
  const std::string_view name = text_of(meta, "name");
  if (!target.name.empty() && !name.empty() && name != target.name)
    return bad_request(fmt::format(
        "the name of the object ({}) does not match the name on the URL ({})", name, target.name));
  if (!target.definition->custom) drop_nulls(draft.object);
  if (draft.options.field_validation == FieldValidation::Ignore) return {};
  std::vector<std::string> unknown =
      unknown_fields(*target.definition, *target.version, draft.object);
  if (unknown.empty()) return {};
  for (std::string& path : unknown) path = fmt::format("unknown field \"{}\"", path);
  if (draft.options.field_validation == FieldValidation::Strict)
    return bad_request(
        fmt::format("{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
                    target.definition->kind, target.version->name, target.definition->kind,
                    fmt::join(unknown, ", ")));
  draft.warnings.insert(draft.warnings.end(), unknown.begin(), unknown.end());
  return {};
}

ApiStatus ObjectEngine::admit(AdmissionPhase phase, Draft& draft) const {
  const Target& target = draft.target;
  for (const AdmissionRegistration& registration : deps_.admission) {
    if (registration.phase != phase || registration.group != target.definition->group ||
        registration.plural != target.definition->plural)
      continue;
    AdmissionRequest request;
    request.operation = draft.old ? Operation::Update : Operation::Create;
    request.group = target.definition->group;
    request.version = target.version->name;
    request.plural = target.definition->plural;
    request.kind = target.definition->kind;
    request.subresource = target.subresource;
    request.ns = target.ns;
    request.name = json::find_string(draft.object, "metadata.name");
    request.user = draft.options.user;
    request.dry_run = draft.options.dry_run;
    request.object = &draft.object;
    request.old_object = draft.old;
    AdmissionResult result = registration.admission(request);
    draft.warnings.insert(draft.warnings.end(), result.warnings.begin(), result.warnings.end());
    if (!result.allowed) {
      const std::string name(request.name);
      if (result.code == 422) return invalid(*target.definition, name, std::move(result.causes));
      auto error = forbidden(*target.definition, name, result.message);
      error.error().causes = std::move(result.causes);
      return error;
    }
    if (phase == AdmissionPhase::Mutate && result.object) draft.object = *std::move(result.object);
  }
  return {};
}

ApiStatus ObjectEngine::admit_delete(const Target& target, const DeleteOptions& options,
                                     const StoredObject& old) const {
  const json::Value value = in_version(*target.definition, *target.version, old);
  for (const AdmissionRegistration& registration : deps_.admission) {
    if (registration.phase != AdmissionPhase::Validate ||
        registration.group != target.definition->group ||
        registration.plural != target.definition->plural)
      continue;
    AdmissionRequest request;
    request.operation = Operation::Delete;
    request.group = target.definition->group;
    request.version = target.version->name;
    request.plural = target.definition->plural;
    request.kind = target.definition->kind;
    request.ns = target.ns;
    request.name = target.name;
    request.user = options.user;
    request.dry_run = options.dry_run;
    request.old_object = &value;
    AdmissionResult result = registration.admission(request);
    if (!result.allowed) return forbidden(*target.definition, target.name, result.message);
  }
  return {};
}

ApiStatus ObjectEngine::run_rules(Draft& draft) const {
  const ResourceDefinition& resource = *draft.target.definition;
  std::vector<Cause> causes;
  const json::Object* old = draft.old ? &draft.old->get_object() : nullptr;
  validate_metadata(resource, draft.object.get_object(), old, causes);
  if (resource.custom)
    validate_schema(resource, *draft.target.version, draft.object, draft.old, causes);
  if (resource.strategy && causes.empty())
    resource.strategy->validate(draft.object.get_object(), old, causes);
  if (!causes.empty())
    return invalid(resource, json::find_string(draft.object, "metadata.name"), std::move(causes));
  return admit(AdmissionPhase::Validate, draft);
}

ApiResult<json::Value> ObjectEngine::complete_create(Draft& draft) const {
  const Target& target = draft.target;
  const ResourceDefinition& resource = *target.definition;
  set_new_identity(draft.object.get_object(), resource, target.ns, deps_.clock.now());
  if (resource.custom && target.version->status_subresource)
    draft.object.get_object().erase("status");
  if (!resource.custom) {
    if (resource.strategy) resource.strategy->canonicalize(draft.object);
    std::vector<Cause> causes;
    validate_schema(resource, *target.version, draft.object, nullptr, causes);
    if (!causes.empty())
      return invalid(resource, json::find_string(draft.object, "metadata.name"), std::move(causes));
  }
  prune_and_default(resource, *target.version, draft.object);
  if (resource.strategy) resource.strategy->set_defaults(draft.object.get_object());
  TRY(admit(AdmissionPhase::Mutate, draft));
  prune_and_default(resource, *target.version, draft.object);
  if (resource.strategy) TRY(resource.strategy->prepare_create(draft.object.get_object()));
  drop_empty_metadata(draft.object.get_object());
  if (!draft.applied) {
    track_fields(resource, *target.version, nullptr, draft.object,
                 {.manager = draft.options.field_manager,
                  .subresource = target.subresource,
                  .api_version = target.api_version(),
                  .time = base::format_rfc3339(deps_.clock.now())});
  }
  ApiStatus rules = run_rules(draft);
  if (!rules) {
    if (resource.strategy) resource.strategy->released(draft.object.get_object());
    return std::unexpected(std::move(rules).error());
  }
  return std::move(draft.object);
}

ApiResult<json::Value> ObjectEngine::complete_update(Draft& draft) const {
  const Target& target = draft.target;
  const ResourceDefinition& resource = *target.definition;
  const json::Object& old = draft.old->get_object();
  const bool status_only = target.subresource == "status";
  if (!resource.custom) {
    if (resource.strategy) resource.strategy->canonicalize(draft.object);
    std::vector<Cause> causes;
    validate_schema(resource, *target.version, draft.object, draft.old, causes);
    if (!causes.empty()) return invalid(resource, target.name, std::move(causes));
  }
  if (status_only) {
    draft.object = with_status_of(*draft.old, draft.object, resource.custom);
  } else if (target.version->status_subresource) {
    if (const json::Value* status = old.if_contains("status")) {
      draft.object.get_object()["status"] = *status;
    } else {
      draft.object.get_object().erase("status");
    }
  }
  keep_identity(draft.object.get_object(), old);
  prune_and_default(resource, *target.version, draft.object);
  if (resource.strategy) resource.strategy->set_defaults(draft.object.get_object());
  TRY(admit(AdmissionPhase::Mutate, draft));
  prune_and_default(resource, *target.version, draft.object);
  json::Object& object = draft.object.get_object();
  if (resource.strategy && !status_only && target.subresource != "finalize")
    TRY(resource.strategy->prepare_update(object, old));
  if (resource.has_generation && !status_only &&
      differs_beyond(object, old, target.version->status_subresource))
    child(object, "metadata")["generation"] =
        json::find_int(*draft.old, "metadata.generation").value_or(0) + 1;
  drop_empty_metadata(draft.object.get_object());
  if (!draft.applied) {
    track_fields(resource, *target.version, draft.old, draft.object,
                 {.manager = draft.options.field_manager,
                  .subresource = target.subresource,
                  .api_version = target.api_version(),
                  .time = base::format_rfc3339(deps_.clock.now())});
  }
  TRY(run_rules(draft));
  return std::move(draft.object);
}

ApiResult<WriteOutcome> ObjectEngine::create(const Target& target, json::Value body,
                                             const WriteOptions& options) {
  Draft draft{.target = target, .options = options, .object = std::move(body)};
  TRY(check_body(draft));
  if (target.definition->terminating)
    return method_not_allowed("create not allowed while custom resource definition is terminating");
  if (!json::find_string(draft.object, "metadata.resourceVersion").empty())
    return bad_request("resourceVersion should not be set on objects to be created");
  return store_new(draft);
}

ApiResult<WriteOutcome> ObjectEngine::store_new(Draft& draft) {
  const Target& target = draft.target;
  const ResourceDefinition& resource = *target.definition;
  const bool generated = json::find_string(draft.object, "metadata.name").empty();
  json::Object& metadata = child(draft.object.get_object(), "metadata");
  if (generated && text_of(metadata, "generateName").empty())
    return invalid(resource, "",
                   {required_field("metadata.name", "name or generateName is required")});
  TRY(check_namespace(target));
  json::Value object = TRY(complete_create(draft));
  set_api_version(object, resource.api_version(resource.storage_version()));
  object = in_canonical_order(std::move(object.get_object()));
  const std::string name(json::find_string(object, "metadata.name"));
  WriteOutcome outcome;
  outcome.created = true;
  outcome.warnings = std::move(draft.warnings);
  const api::ObjectKey key{resource.namespaced ? target.ns : "", name};
  if (draft.options.dry_run) {
    if (resource.strategy) resource.strategy->released(object.get_object());
    if (deps_.store.get(resource.storage_key(), key)) return already_exists(resource, name);
    outcome.object = unsaved(std::move(object));
    return outcome;
  }
  auto stored = deps_.store.create(resource.storage_key(), key, object);
  if (!stored) {
    if (resource.strategy) resource.strategy->released(object.get_object());
    return from_error(stored.error(), resource, name);
  }
  if (resource.strategy) resource.strategy->committed((*stored)->value.get_object());
  outcome.object = *std::move(stored);
  return outcome;
}

ApiResult<WriteOutcome> ObjectEngine::store_update(Draft& draft, const ObjectRef& current,
                                                   bool exact) {
  const Target& target = draft.target;
  const ResourceDefinition& resource = *target.definition;
  TRY(check_body(draft));
  const std::string version(json::find_string(draft.object, "metadata.resourceVersion"));
  if (!version.empty() && version != fmt::format("{}", current->revision))
    return modified(resource, target.name);
  if (version.empty() && exact && !resource.unconditional_update)
    return invalid(
        resource, target.name,
        {invalid_field("metadata.resourceVersion", "0x0: must be specified for an update")});
  const std::string_view uid = json::find_string(draft.object, "metadata.uid");
  const std::string_view old_uid = json::find_string(current->value, "metadata.uid");
  if (!uid.empty() && uid != old_uid)
    return conflict(resource, target.name,
                    fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: "
                                "{}",
                                uid, old_uid));
  json::Value object = TRY(complete_update(draft));
  WriteOutcome outcome;
  outcome.warnings = std::move(draft.warnings);
  outcome.object = current;
  if (same_document(*draft.old, object) && !may_be_removed(object)) return outcome;
  set_api_version(object, resource.api_version(resource.storage_version()));
  object = in_canonical_order(std::move(object.get_object()));
  if (draft.options.dry_run) {
    outcome.object = unsaved(std::move(object));
    return outcome;
  }
  const bool remove = may_be_removed(object);
  auto stored = deps_.store.update(resource.storage_key(), target.key(), current->revision,
                                   std::move(object));
  if (!stored) return from_error(stored.error(), resource, target.name);
  outcome.object = *stored;
  if (remove) {
    // Somebody else may have removed it in between: the same end.
    auto erased = erase(target, (*stored)->revision);
    if (!erased && erased.error().code != 404) return std::unexpected(std::move(erased).error());
    return outcome;
  }
  if (resource.strategy) resource.strategy->committed(outcome.object->value.get_object());
  return outcome;
}

ApiResult<WriteOutcome> ObjectEngine::update(const Target& target, const json::Value& body,
                                             const WriteOptions& options) {
  const bool given = !json::find_string(body, "metadata.resourceVersion").empty();
  for (int attempt = 0;; ++attempt) {
    const ObjectRef current = TRY(get(target));
    const json::Value old = in_version(*target.definition, *target.version, *current);
    Draft draft{.target = target, .options = options, .object = body, .old = &old};
    auto outcome = store_update(draft, current, true);
    if (outcome || outcome.error().reason != "Conflict" || given || attempt == kConflictRetries)
      return outcome;
  }
}

ApiResult<WriteOutcome> ObjectEngine::edit(const Target& target, const WriteOptions& options,
                                           const Edit& edit) {
  for (int attempt = 0;; ++attempt) {
    const ObjectRef current = TRY(get(target));
    const json::Value old = in_version(*target.definition, *target.version, *current);
    Draft draft{.target = target, .options = options, .object = TRY(edit(old)), .old = &old};
    auto outcome = store_update(draft, current, false);
    if (outcome || outcome.error().reason != "Conflict" || attempt == kConflictRetries)
      return outcome;
    // The object moved on between reading and writing: try on its new state. A resourceVersion
    // inside the patch fails again, and for good.
    const ObjectRef now = deps_.store.get(target.definition->storage_key(), target.key());
    if (now == current) return outcome;
  }
}

ApiResult<WriteOutcome> ObjectEngine::patch(const Target& target, PatchType type,
                                            const json::Value& patch, const WriteOptions& options) {
  const ResourceDefinition& resource = *target.definition;
  if (type != PatchType::Apply) {
    return edit(target, options, [&](const json::Value& current) {
      return apply_patch(type, resource, *target.version, current, patch);
    });
  }
  const FieldWriter writer{.manager = options.field_manager,
                           .subresource = target.subresource,
                           .api_version = target.api_version(),
                           .time = base::format_rfc3339(deps_.clock.now()),
                           .force = options.force};
  // The applied document, not the result, is what the user wrote: its form is checked first.
  Draft given{.target = target, .options = options, .object = patch};
  TRY(check_body(given));
  if (const auto* fields = json::find_array(given.object, "metadata.managedFields");
      fields && !fields->empty())
    return bad_request("metadata.managedFields must be nil");
  WriteOptions quiet = options;
  quiet.field_validation = FieldValidation::Ignore;
  for (int attempt = 0;; ++attempt) {
    const ObjectRef current = deps_.store.get(resource.storage_key(), target.key());
    Draft draft{.target = target, .options = quiet, .applied = true};
    draft.warnings = given.warnings;
    ApiResult<WriteOutcome> outcome;
    if (current) {
      const json::Value old = in_version(resource, *target.version, *current);
      draft.object =
          TRY(apply_configuration(resource, *target.version, &old, given.object, writer));
      draft.old = &old;
      outcome = store_update(draft, current, false);
    } else {
      if (!target.subresource.empty()) return not_found(resource, target.name);
      if (!json::find_string(given.object, "metadata.uid").empty())
        return conflict(resource, target.name,
                        "uid mismatch: the provided object specified a uid "
                        "and no existing object was found");
      if (!json::find_string(given.object, "metadata.resourceVersion").empty())
        return not_found(resource, target.name);
      draft.object =
          TRY(apply_configuration(resource, *target.version, nullptr, given.object, writer));
      child(draft.object.get_object(), "metadata")["name"] = json::String(target.name);
      outcome = store_new(draft);
    }
    const bool raced = !outcome && (outcome.error().reason == "Conflict" ||
                                    outcome.error().reason == "AlreadyExists");
    if (!raced || attempt == kConflictRetries) return outcome;
    if (deps_.store.get(resource.storage_key(), target.key()) == current) return outcome;
  }
}

}  // namespace apiserver

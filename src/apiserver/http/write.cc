#include <fmt/format.h>

#include "apiserver/http/request.h"
#include "apiserver/objects/metadata.h"
#include "net/http.h"

/// POST, PUT, PATCH and DELETE.
namespace apiserver {
namespace {

void take_warnings(ApiRequest& request, const WriteOutcome& outcome) {
  request.warnings.insert(request.warnings.end(), outcome.warnings.begin(), outcome.warnings.end());
}

void merge_delete_options(DeleteOptions& options, const json::Value& body) {
  if (const auto grace = json::find_int(body, "gracePeriodSeconds")) options.grace_seconds = *grace;
  options.uid = json::find_string(body, "preconditions.uid");
  options.resource_version = json::find_string(body, "preconditions.resourceVersion");
  if (const json::Array* dry = json::find_array(body, "dryRun"); dry && !dry->empty())
    options.dry_run = true;
}

ApiResult<Propagation> propagation_of(std::string_view policy, const json::Value* orphan) {
  if (policy == "Foreground") return Propagation::Foreground;
  if (policy == "Background") return Propagation::Background;
  if (policy == "Orphan") return Propagation::Orphan;
  if (!policy.empty())
    return bad_request(fmt::format(
        "propagationPolicy: unknown value \"{}\", expected Foreground, Background or Orphan",
        policy));
  if (orphan && orphan->is_bool())
    return orphan->get_bool() ? Propagation::Orphan : Propagation::Background;
  return Propagation::Default;
}

ApiResult<DeleteOptions> delete_options(ApiRequest& request) {
  DeleteOptions options;
  options.user = request.user;
  options.grace_seconds = TRY(int_param(request, "gracePeriodSeconds"));
  options.dry_run = request.param("dryRun") == "All";
  const json::Value body = TRY(read_document(request));
  std::string policy(request.param("propagationPolicy"));
  const json::Value* orphan = nullptr;
  if (body.is_object()) {
    merge_delete_options(options, body);
    if (const auto own = json::find_string(body, "propagationPolicy"); !own.empty()) policy = own;
    orphan = json::find(body, "orphanDependents");
  } else if (!body.is_null()) {
    return bad_request("DeleteOptions must be an object");
  }
  options.propagation = TRY(propagation_of(policy, orphan));
  return options;
}

json::Value deleted_status(const Target& target, const StoredObject& object) {
  json::Object details{{"name", json::String(target.name)},
                       {"kind", json::String(target.definition->plural)},
                       {"uid", json::String(json::find_string(object.value, "metadata.uid"))}};
  if (!target.definition->group.empty()) details["group"] = json::String(target.definition->group);
  return json::Object{{"kind", "Status"},
                      {"apiVersion", "v1"},
                      {"metadata", json::Object{}},
                      {"status", "Success"},
                      {"details", std::move(details)}};
}

}  // namespace

ApiStatus handle_create(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const Answer answer = TRY(negotiate(request.accept()));
  const WriteOptions options = TRY(write_options(request));
  json::Value body = TRY(read_document(request));
  WriteOutcome outcome = TRY(deps.engine.create(target, std::move(body), options));
  take_warnings(request, outcome);
  send_object(request, deps, answer, target, 201, *outcome.object);
  return {};
}

ApiStatus handle_update(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const Answer answer = TRY(negotiate(request.accept()));
  const WriteOptions options = TRY(write_options(request));
  const json::Value body = TRY(read_document(request));
  WriteOutcome outcome = TRY(deps.engine.update(target, body, options));
  take_warnings(request, outcome);
  send_object(request, deps, answer, target, 200, *outcome.object);
  return {};
}

ApiResult<PatchBody> read_patch(ApiRequest& request, PatchSupport support) {
  const std::string type = net::media_type(request.head().headers.get_or("Content-Type", ""));
  PatchBody patch;
  bool yaml = false;
  if (type == "application/json-patch+json") {
    patch.type = PatchType::Json;
  } else if (type == "application/merge-patch+json") {
    patch.type = PatchType::Merge;
  } else if (type == "application/apply-patch+yaml") {
    patch.type = PatchType::Apply;
    yaml = true;
  } else if (type == "application/strategic-merge-patch+json" &&
             support == PatchSupport::WithStrategic) {
    patch.type = PatchType::StrategicMerge;
  } else {
    return status_error(
        415, "UnsupportedMediaType",
        fmt::format("the body of the request was in an unknown format - accepted media types "
                    "include: application/json-patch+json, application/merge-patch+json, {}"
                    "application/apply-patch+yaml",
                    support == PatchSupport::WithStrategic
                        ? "application/strategic-merge-patch+json, "
                        : ""));
  }
  const std::string body = TRY(read_body(request));
  if (patch.type == PatchType::Json) {
    auto parsed = json::parse(body);
    if (!parsed) return bad_request(parsed.error().message());
    patch.document = *std::move(parsed);
  } else {
    patch.document = TRY(parse_document(body, yaml));
    if (!patch.document.is_object()) return bad_request("the patch must be an object");
  }
  return patch;
}

ApiStatus handle_patch(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const Answer answer = TRY(negotiate(request.accept()));
  WriteOptions options = TRY(write_options(request));
  const PatchBody patch =
      TRY(read_patch(request, target.definition->custom ? PatchSupport::WithoutStrategic
                                                        : PatchSupport::WithStrategic));
  if (patch.type == PatchType::Apply && request.param("fieldManager").empty())
    return status_error(422, "Invalid",
                        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: "
                        "is required for apply patch");
  if (patch.type != PatchType::Apply && options.force)
    return status_error(422, "Invalid",
                        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be "
                        "specified for non-apply patch");
  WriteOutcome outcome = TRY(deps.engine.patch(target, patch.type, patch.document, options));
  take_warnings(request, outcome);
  send_object(request, deps, answer, target, outcome.created ? 201 : 200, *outcome.object);
  return {};
}

ApiStatus handle_delete(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const Answer answer = TRY(negotiate(request.accept()));
  const DeleteOptions options = TRY(delete_options(request));
  const DeleteOutcome outcome = TRY(deps.engine.remove(target, options));
  // As in Kubernetes, what went at once is confirmed by a Status; pods are shown.
  const bool is_pod = target.definition->group.empty() && target.definition->plural == "pods";
  if (outcome.removed && !is_pod) {
    send_value(request, 200, deleted_status(target, *outcome.object));
    return {};
  }
  send_object(request, deps, answer, target, 200, *outcome.object);
  return {};
}

ApiStatus handle_delete_collection(ApiRequest& request, const HandlerDeps& deps,
                                   const Target& target) {
  const Selection selection = TRY(selection_of(request));
  DeleteOptions options = TRY(delete_options(request));
  // Preconditions name one object.
  options.uid.clear();
  options.resource_version.clear();
  const Snapshot snapshot = deps.store.list(target.definition->storage_key(), target.ns);
  std::string items;
  for (const ObjectRef& object : snapshot.objects) {
    if (!selection.matches(object->value)) continue;
    Target one = target;
    one.ns = json::find_string(object->value, "metadata.namespace");
    one.name = json::find_string(object->value, "metadata.name");
    const auto outcome = deps.engine.remove(one, options);
    if (!outcome && outcome.error().code == 404) continue;
    if (!outcome) return std::unexpected(outcome.error());
    if (!items.empty()) items.push_back(',');
    items += object_text(target, *outcome->object);
  }
  const json::Object head{
      {"kind", json::String(target.definition->list_kind)},
      {"apiVersion", json::String(target.api_version())},
      {"metadata",
       json::Object{{"resourceVersion", json::String(fmt::format("{}", deps.store.revision()))}}}};
  std::string text = json::dump(head);
  text.pop_back();
  send_json(request, 200, text + ",\"items\":[" + items + "]}\n");
  return {};
}

}  // namespace apiserver

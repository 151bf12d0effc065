#include <fmt/format.h>

#include <algorithm>

#include "apiserver/http/request.h"
#include "apiserver/objects/metadata.h"
#include "apiserver/resources/json_path.h"
#include "base/clock.h"

/// scale, binding, eviction, finalize, and the reviews.
namespace apiserver {
namespace {

std::int64_t number_at(const json::Value& object, const std::string& path) {
  const auto parsed = JsonPath::parse(path);
  if (!parsed) return 0;
  const auto found = parsed->evaluate(object);
  return !found.empty() && found.front()->is_int64() ? found.front()->get_int64() : 0;
}

/// `a=b,c in (d)`; a string stays as it is.
std::string selector_text(const json::Value& object, const std::string& path) {
  const auto parsed = JsonPath::parse(path);
  if (path.empty() || !parsed) return {};
  const auto found = parsed->evaluate(object);
  if (found.empty()) return {};
  if (const json::String* text = found.front()->if_string()) return json::to_string(*text);
  std::vector<std::string> parts;
  if (const auto* labels = json::find_object(*found.front(), "matchLabels"))
    for (const auto& member : *labels)
      if (member.value().is_string())
        parts.push_back(fmt::format("{}={}", std::string_view(member.key()),
                                    json::view(member.value().get_string())));
  std::sort(parts.begin(), parts.end());
  return fmt::format("{}", fmt::join(parts, ","));
}

json::Value scale_of(const Target& target, const json::Value& object) {
  const ScaleDefinition& scale = *target.version->scale;
  json::Object metadata;
  for (const char* key : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
    if (const json::Value* value = json::find(object, std::string("metadata.") + key))
      metadata[key] = *value;
  json::Object status{{"replicas", number_at(object, scale.status_replicas_path)}};
  if (const auto selector = selector_text(object, scale.label_selector_path); !selector.empty())
    status["selector"] = json::String(selector);
  return json::Object{
      {"kind", "Scale"},
      {"apiVersion", "autoscaling/v1"},
      {"metadata", std::move(metadata)},
      {"spec", json::Object{{"replicas", number_at(object, scale.spec_replicas_path)}}},
      {"status", std::move(status)}};
}

/// Sets the member at a dotted path such as `.spec.replicas`.
void set_at(json::Object& object, std::string_view path, json::Value value) {
  while (path.starts_with('.')) path.remove_prefix(1);
  const auto dot = path.find('.');
  if (dot == std::string_view::npos) {
    object[path] = std::move(value);
  } else {
    set_at(child(object, path.substr(0, dot)), path.substr(dot + 1), std::move(value));
  }
}

ApiStatus handle_scale(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const std::string& method = request.head().method;
  if (method == "GET") {
    const ObjectRef object = TRY(deps.engine.get(target));
    send_value(request, 200, scale_of(target, object_value(target, *object)));
    return {};
  }
  const WriteOptions options = TRY(write_options(request));
  PatchBody patch;
  if (method == "PATCH") {
    patch = TRY(read_patch(request, PatchSupport::WithStrategic));
    if (patch.type == PatchType::Apply || patch.type == PatchType::StrategicMerge)
      patch.type = PatchType::Merge;
  } else if (method == "PUT") {
    patch.document = TRY(read_document(request));
  } else {
    return method_not_allowed();
  }
  const auto edit = [&](const json::Value& now) -> ApiResult<json::Value> {
    const json::Value before = scale_of(target, now);
    const json::Value wanted =
        TRY(apply_patch(patch.type, *target.definition, *target.version, before, patch.document));
    const auto replicas = json::find_int(wanted, "spec.replicas").value_or(0);
    if (replicas < 0)
      return invalid(
          *target.definition, target.name,
          {invalid_field("spec.replicas",
                         fmt::format("{}: must be greater than or equal to 0", replicas))});
    json::Value next = now;
    set_at(next.get_object(), target.version->scale->spec_replicas_path, replicas);
    if (const auto version = json::find_string(wanted, "metadata.resourceVersion");
        !version.empty())
      child(next.get_object(), "metadata")["resourceVersion"] = json::String(version);
    return next;
  };
  const WriteOutcome outcome = TRY(deps.engine.edit(target, options, edit));
  send_value(request, 200, scale_of(target, object_value(target, *outcome.object)));
  return {};
}

json::Value success_status() {
  return json::Object{{"kind", "Status"},
                      {"apiVersion", "v1"},
                      {"metadata", json::Object{}},
                      {"status", "Success"}};
}

ApiStatus handle_binding(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const WriteOptions options = TRY(write_options(request));
  const json::Value body = TRY(read_document(request));
  const std::string node(json::find_string(body, "target.name"));
  if (node.empty()) return bad_request("target.name: Required value");
  (void)TRY(
      deps.engine.edit(target, options, [&](const json::Value& now) -> ApiResult<json::Value> {
        if (is_deleting(now))
          return conflict(*target.definition, target.name,
                          "pod is being deleted, cannot be assigned to a host");
        if (const auto bound = json::find_string(now, "spec.nodeName"); !bound.empty())
          return conflict(
              *target.definition, target.name,
              fmt::format("pod {} is already assigned to node \"{}\"", target.name, bound));
        json::Value next = now;
        json::Object& pod = next.get_object();
        child(pod, "spec")["nodeName"] = json::String(node);
        return next;
      }));
  send_value(request, 201, success_status());
  return {};
}

ApiStatus handle_eviction(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const json::Value body = TRY(read_document(request));
  DeleteOptions options;
  options.user = request.user;
  if (const auto grace = json::find_int(body, "deleteOptions.gracePeriodSeconds"))
    options.grace_seconds = *grace;
  options.uid = json::find_string(body, "deleteOptions.preconditions.uid");
  (void)TRY(deps.engine.remove(target, options));
  send_value(request, 201, success_status());
  return {};
}

ApiStatus handle_finalize(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const WriteOptions options = TRY(write_options(request));
  const json::Value body = TRY(read_document(request));
  const WriteOutcome outcome =
      TRY(deps.engine.edit(target, options, [&](const json::Value& now) -> ApiResult<json::Value> {
        json::Value next = now;
        const json::Value* wanted = json::find(body, "spec.finalizers");
        child(next.get_object(), "spec")["finalizers"] =
            wanted && wanted->is_array() ? *wanted : json::Value(json::Array{});
        return next;
      }));
  send_object(request, deps, {}, target, 200, *outcome.object);
  return {};
}

}  // namespace

ApiStatus handle_subresource(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const std::string& method = request.head().method;
  const auto& extra = target.definition->subresources;
  const bool known = std::find(extra.begin(), extra.end(), target.subresource) != extra.end() ||
                     (target.subresource == "scale" && target.version->scale);
  if (!known)
    return status_error(404, "NotFound", "the server could not find the requested resource");
  if (target.subresource == "scale") return handle_scale(request, deps, target);
  if (target.subresource == "log")
    return method == "GET" ? handle_logs(request, deps, target) : method_not_allowed();
  if (target.subresource == "finalize")
    return method == "PUT" ? handle_finalize(request, deps, target) : method_not_allowed();
  if (method != "POST") return method_not_allowed();
  return target.subresource == "binding" ? handle_binding(request, deps, target)
                                         : handle_eviction(request, deps, target);
}

ApiStatus handle_review(ApiRequest& request, std::string_view group, std::string_view plural) {
  if (request.head().method != "POST") return method_not_allowed();
  json::Value body = TRY(read_document(request));
  if (!body.is_object()) return bad_request("the request body must be a JSON object");
  json::Object& object = body.get_object();
  if (plural == "selfsubjectaccessreviews" || plural == "subjectaccessreviews") {
    // Whoever holds a credential of this server may do everything.
    object["status"] = json::Object{{"allowed", true}};
  } else if (plural == "selfsubjectrulesreviews") {
    const json::Array all{"*"};
    object["status"] = json::Object{
        {"resourceRules",
         json::Array{json::Object{{"verbs", all}, {"apiGroups", all}, {"resources", all}}}},
        {"nonResourceRules", json::Array{json::Object{{"verbs", all}, {"nonResourceURLs", all}}}},
        {"incomplete", false}};
  } else if (plural == "selfsubjectreviews" && group == "authentication.k8s.io") {
    object["status"] =
        json::Object{{"userInfo", json::Object{{"username", json::String(request.user)},
                                               {"groups", json::Array{"system:masters"}}}}};
  } else {
    return status_error(404, "NotFound", "the server could not find the requested resource");
  }
  send_value(request, 201, body);
  return {};
}

}  // namespace apiserver

#include "workspace/desired.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/apps.h"
#include "api/core/config.h"
#include "api/core/service.h"
#include "api/workspace/names.h"
#include "workspace/pod_parts.h"

namespace workspace {
namespace {

/// A key as a step of a JSON pointer.
std::string pointer_token(std::string_view key) {
  std::string token;
  for (const char c : key) {
    if (c == '~') {
      token += "~0";
    } else if (c == '/') {
      token += "~1";
    } else {
      token += c;
    }
  }
  return token;
}

/// What the server never lets anybody change.
bool is_immutable(const api::ResourceType& type, std::string_view key) {
  if (type == api::StatefulSet::kType) {
    return key == "serviceName" || key == "podManagementPolicy" || key == "selector";
  }
  return key == "clusterIP";
}

}  // namespace

json::Object object_metadata(const api::Workspace& workspace, const std::string& name) {
  const json::Object owner{{"apiVersion", api::Workspace::kType.api_version()},
                           {"kind", text(api::Workspace::kType.kind)},
                           {"name", text(workspace.metadata.name)},
                           {"uid", text(workspace.metadata.uid)},
                           {"controller", true},
                           {"blockOwnerDeletion", true}};
  return {{"name", text(name)},
          {"namespace", text(workspace.metadata.ns)},
          {"labels", json::Object{{api::kLabelWorkspace, text(workspace.metadata.name)}}},
          {"ownerReferences", json::Array{owner}}};
}

Desired with_hash(const api::ResourceType& type, json::Object object) {
  Desired desired{type, {}, json::hash(object)};
  object["metadata"].as_object()["annotations"] =
      json::Object{{kObjectHashAnnotation, text(desired.hash)}};
  desired.object = std::move(object);
  return desired;
}

bool contains(const json::Value& live, const json::Value& wanted) {
  if (const auto* object = wanted.if_object()) {
    const auto* other = live.if_object();
    return other && std::all_of(object->begin(), object->end(), [&](const auto& member) {
             const json::Value* value = other->if_contains(member.key());
             return value ? contains(*value, member.value())
                          : (member.value().is_object() && member.value().get_object().empty());
           });
  }
  if (const auto* array = wanted.if_array()) {
    const auto* other = live.if_array();
    return other &&
           std::equal(other->begin(), other->end(), array->begin(), array->end(), contains);
  }
  return json::equal(live, wanted);
}

bool is_up_to_date(const Desired& desired, const json::Value& live) {
  const json::Object* annotations = json::find_object(live, "metadata.annotations");
  const json::Value* hash = annotations ? annotations->if_contains(kObjectHashAnnotation) : nullptr;
  if (!hash || !hash->is_string() || json::view(hash->get_string()) != desired.hash) return false;
  if (desired.type == api::ConfigMap::kType) {
    const json::Value* data = json::find(live, "data");
    return data && json::equal(*data, *json::find(desired.object, "data"));
  }
  const json::Value* live_spec = json::find(live, "spec");
  const json::Value* wanted_spec = json::find(desired.object, "spec");
  if (!live_spec || !wanted_spec || !contains(*live_spec, *wanted_spec)) return false;
  // One label too many would leave pods out.
  const json::Value* live_selector = json::find(live, "spec.selector");
  const json::Value* wanted_selector = json::find(desired.object, "spec.selector");
  return live_selector && wanted_selector && json::equal(*live_selector, *wanted_selector);
}

json::Value update_patch(const Desired& desired, const json::Value& live) {
  json::Array patch;
  const auto add = [&](std::string_view path, const json::Value& value) {
    patch.push_back(json::Object{{"op", "add"}, {"path", text(path)}, {"value", value}});
  };
  for (const std::string_view map : {"labels", "annotations"}) {
    const json::Object* wanted = json::find_object(desired.object, fmt::format("metadata.{}", map));
    const json::Object* current = json::find_object(live, fmt::format("metadata.{}", map));
    if (!wanted) continue;
    if (!current) {
      add(fmt::format("/metadata/{}", map), *wanted);
      continue;
    }
    for (const auto& member : *wanted) {
      const json::Value* value = current->if_contains(member.key());
      if (value && json::equal(*value, member.value())) continue;
      add(fmt::format("/metadata/{}/{}", map, pointer_token(member.key())), member.value());
    }
  }
  if (desired.type == api::ConfigMap::kType) {
    const json::Value& data = *json::find(desired.object, "data");
    const json::Value* current = json::find(live, "data");
    if (!current || !json::equal(*current, data)) add("/data", data);
    return patch;
  }
  const json::Object* wanted = json::find_object(desired.object, "spec");
  const json::Object* current = json::find_object(live, "spec");
  if (!wanted || !current) return patch;
  for (const auto& member : *wanted) {
    const std::string_view key = member.key();
    if (is_immutable(desired.type, key)) continue;
    const json::Value* value = current->if_contains(member.key());
    const bool exact = key == "selector";
    if (value && (exact ? json::equal(*value, member.value()) : contains(*value, member.value())))
      continue;
    add(fmt::format("/spec/{}", key), member.value());
  }
  if (desired.type == api::Service::kType && current->contains("ports") &&
      !wanted->contains("ports")) {
    patch.push_back(json::Object{{"op", "remove"}, {"path", "/spec/ports"}});
  }
  return patch;
}

}  // namespace workspace

#include "nodeagent/lifecycle/environment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/encoding.h"

namespace nodeagent {
namespace {

const std::string* find_variable(const Environment& environment, std::string_view name) {
  const auto found =
      std::ranges::find(environment.rbegin(), environment.rend(), name,
                        [](const auto& variable) { return std::string_view(variable.first); });
  return found == environment.rend() ? nullptr : &found->second;
}

void set_variable(Environment& environment, std::string name, std::string value) {
  const auto found =
      std::ranges::find(environment, name, [](const auto& variable) { return variable.first; });
  if (found != environment.end()) {
    found->second = std::move(value);
  } else {
    environment.emplace_back(std::move(name), std::move(value));
  }
}

/// `metadata.labels['key']` -> key, when `path` begins with `prefix`.
std::string_view subscript(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix) || path.size() < prefix.size() + 4) return {};
  path.remove_prefix(prefix.size());
  if (!path.starts_with("['") || !path.ends_with("']")) return {};
  return path.substr(2, path.size() - 4);
}

std::string map_value(const std::map<std::string, std::string>& map, std::string_view key) {
  const auto found = map.find(std::string(key));
  return found == map.end() ? std::string() : found->second;
}

base::Error missing_key(std::string_view kind, const api::KeySelector& selector) {
  return {base::ErrorCode::NotFound,
          fmt::format("couldn't find key {} in {} {}", selector.key, kind, selector.name)};
}

/// The value of one key; nothing when it is optional and missing.
template <class Object>
base::Result<std::optional<std::string>> key_value(base::Result<Object> object,
                                                   std::string_view kind,
                                                   const api::KeySelector& selector) {
  const bool optional = selector.optional.value_or(false);
  if (!object) {
    if (optional && object.error().code() == base::ErrorCode::NotFound)
      return std::optional<std::string>();
    return std::move(object).error().context(fmt::format("{} \"{}\"", kind, selector.name));
  }
  const auto found = object->data.find(selector.key);
  if (found == object->data.end()) {
    if (optional) return std::optional<std::string>();
    return missing_key(kind, selector);
  }
  if constexpr (std::is_same_v<Object, api::Secret>) {
    return std::optional<std::string>(TRY(base::from_base64(found->second)));
  } else {
    return std::optional<std::string>(found->second);
  }
}

base::Result<std::optional<std::string>> source_value(const api::Pod& pod,
                                                      const api::Container& container,
                                                      const api::EnvVarSource& source,
                                                      ConfigSource& configs) {
  const std::string& ns = pod.metadata.ns;
  if (source.field_ref) {
    return std::optional<std::string>(TRY(field_value(pod, source.field_ref->field_path)));
  }
  if (source.resource_field_ref) {
    return std::optional<std::string>(
        TRY(resource_value(pod, container, *source.resource_field_ref)));
  }
  if (source.config_map_key_ref) {
    return key_value(configs.config_map(ns, source.config_map_key_ref->name), "configmap",
                     *source.config_map_key_ref);
  }
  if (source.secret_key_ref) {
    return key_value(configs.secret(ns, source.secret_key_ref->name), "secret",
                     *source.secret_key_ref);
  }
  return base::Error(base::ErrorCode::Invalid, "env.valueFrom names no source");
}

template <class Object>
base::Status add_all(Environment& environment, base::Result<Object> object, std::string_view kind,
                     const api::OptionalObjectReference& reference, const std::string& prefix) {
  if (!object) {
    if (reference.optional.value_or(false) && object.error().code() == base::ErrorCode::NotFound)
      return {};
    return std::move(object).error().context(fmt::format("{} \"{}\"", kind, reference.name));
  }
  for (const auto& [key, value] : object->data) {
    if constexpr (std::is_same_v<Object, api::Secret>) {
      set_variable(environment, prefix + key, TRY(base::from_base64(value)));
    } else {
      set_variable(environment, prefix + key, value);
    }
  }
  return {};
}

}  // namespace

std::string expand_variables(std::string_view text, const Environment& environment) {
  std::string out;
  while (!text.empty()) {
    const std::size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar);
    if (text.starts_with("$$")) {
      out += '$';
      text.remove_prefix(2);
      continue;
    }
    const std::size_t close = text.starts_with("$(") ? text.find(')') : std::string_view::npos;
    const std::string* value = close == std::string_view::npos
                                   ? nullptr
                                   : find_variable(environment, text.substr(2, close - 2));
    if (value) {
      out += *value;
      text.remove_prefix(close + 1);
    } else {
      out += '$';
      text.remove_prefix(1);
    }
  }
  return out;
}

base::Result<std::string> field_value(const api::Pod& pod, std::string_view path) {
  if (path == "metadata.name") return pod.metadata.name;
  if (path == "metadata.namespace") return pod.metadata.ns;
  if (path == "metadata.uid") return pod.metadata.uid;
  if (path == "spec.nodeName") return pod.spec.node_name;
  if (path == "spec.serviceAccountName") return pod.spec.service_account_name;
  if (path == "status.podIP" || path == "status.podIPs") return pod.status.pod_ip;
  if (path == "status.hostIP" || path == "status.hostIPs") return pod.status.host_ip;
  if (const auto key = subscript(path, "metadata.labels"); !key.empty())
    return map_value(pod.metadata.labels, key);
  if (const auto key = subscript(path, "metadata.annotations"); !key.empty()) {
    return map_value(pod.metadata.annotations, key);
  }
  const auto all = [](const std::map<std::string, std::string>& map) {
    std::string lines;
    for (const auto& [key, value] : map) lines += fmt::format("{}=\"{}\"\n", key, value);
    return lines;
  };
  if (path == "metadata.labels") return all(pod.metadata.labels);
  if (path == "metadata.annotations") return all(pod.metadata.annotations);
  return base::Error(base::ErrorCode::Invalid, fmt::format("unsupported fieldPath: {}", path));
}

base::Result<std::string> resource_value(const api::Pod& pod, const api::Container& own,
                                         const api::ResourceFieldSelector& selector) {
  const api::Container* container = &own;
  if (!selector.container_name.empty() && selector.container_name != own.name) {
    const auto found =
        std::ranges::find(pod.spec.containers, selector.container_name, &api::Container::name);
    if (found == pod.spec.containers.end()) {
      return base::Error(base::ErrorCode::NotFound,
                         fmt::format("resourceFieldRef: no container {}", selector.container_name));
    }
    container = &*found;
  }
  const std::size_t dot = selector.resource.find('.');
  const std::string which = selector.resource.substr(0, dot);
  if (dot == std::string::npos || (which != "limits" && which != "requests")) {
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("unsupported resource: {}", selector.resource));
  }
  const auto& amounts =
      which == "limits" ? container->resources.limits : container->resources.requests;
  const auto found = amounts.find(selector.resource.substr(dot + 1));
  if (found == amounts.end()) return std::string("0");
  const std::string divisor =
      selector.divisor.text.empty() || selector.divisor.text == "0" ? "1" : selector.divisor.text;
  const std::int64_t amount = TRY(api::quantity_milli(found->second.text));
  const std::int64_t unit = std::max<std::int64_t>(TRY(api::quantity_milli(divisor)), 1);
  return std::to_string((amount + unit - 1) / unit);
}

base::Result<Environment> container_environment(const api::Pod& pod,
                                                const api::Container& container,
                                                ConfigSource& configs) {
  Environment environment;
  const std::string& ns = pod.metadata.ns;
  for (const api::EnvFromSource& from : container.env_from) {
    if (from.config_map_ref) {
      TRY(add_all(environment, configs.config_map(ns, from.config_map_ref->name), "configmap",
                  *from.config_map_ref, from.prefix));
    }
    if (from.secret_ref) {
      TRY(add_all(environment, configs.secret(ns, from.secret_ref->name), "secret",
                  *from.secret_ref, from.prefix));
    }
  }
  for (const api::EnvVar& variable : container.env) {
    if (!variable.value_from) {
      set_variable(environment, variable.name, expand_variables(variable.value, environment));
      continue;
    }
    std::optional<std::string> value = TRY(base::with_context(
        source_value(pod, container, *variable.value_from, configs), "env " + variable.name));
    if (value) set_variable(environment, variable.name, *std::move(value));
  }
  return environment;
}

}  // namespace nodeagent

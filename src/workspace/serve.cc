#include "workspace/serve.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/workspace/names.h"
#include "workspace/blocker.h"

namespace workspace {
namespace {

constexpr int kTorchPort = 29500;
constexpr std::string_view kWeightsPath = "/workspace/weights";
constexpr std::string_view kConfigHashAnnotation = "kaito.sh/config-hash";

json::String text(std::string_view s) { return json::String(s); }

json::Array strings(std::initializer_list<std::string_view> items) {
  json::Array array;
  for (const std::string_view item : items) array.emplace_back(text(item));
  return array;
}

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

json::Object tcp_port(std::string_view name, int port, int target) {
  return {{"name", text(name)}, {"port", port}, {"protocol", "TCP"}, {"targetPort", target}};
}

bool wants_load_balancer(const api::Workspace& workspace) {
  const auto found = workspace.metadata.annotations.find(std::string(api::kAnnotationEnableLb));
  return found != workspace.metadata.annotations.end() &&
         (found->second == "True" || found->second == "true");
}

Desired service(const api::Workspace& workspace) {
  const bool public_ip = wants_load_balancer(workspace);
  json::Array ports{tcp_port("http", 80, kServerPort)};
  // What only pods of one workload say to each other stays off a public address.
  if (!public_ip) ports.push_back(tcp_port("torch", kTorchPort, kTorchPort));
  return with_hash(
      api::Service::kType,
      {{"apiVersion", "v1"},
       {"kind", "Service"},
       {"metadata", object_metadata(workspace, workspace.metadata.name)},
       {"spec", json::Object{{"type", public_ip ? "LoadBalancer" : "ClusterIP"},
                             {"selector",
                              json::Object{{api::kLabelWorkspace, text(workspace.metadata.name)}}},
                             {"ports", std::move(ports)}}}});
}

Desired headless_service(const api::Workspace& workspace) {
  return with_hash(
      api::Service::kType,
      {{"apiVersion", "v1"},
       {"kind", "Service"},
       {"metadata", object_metadata(workspace, workspace.metadata.name + "-headless")},
       {"spec", json::Object{{"clusterIP", "None"},
                             {"selector",
                              json::Object{{api::kLabelWorkspace, text(workspace.metadata.name)}}},
                             {"publishNotReadyAddresses", true}}}});
}

json::Object expression(std::string_view key, std::string_view op, json::Array values) {
  json::Object requirement{{"key", text(key)}, {"operator", text(op)}};
  if (!values.empty()) requirement["values"] = std::move(values);
  return requirement;
}

/// Where pods may go: nodes that match the user's selector and, unless the user brought them, were
/// made for this workspace; or the preferred nodes that stand in for those.
json::Object node_affinity(const api::Workspace& workspace, const NodePlan& nodes,
                           const Options& options) {
  json::Array selector;
  for (const auto& [key, value] : sanitized_match_labels(workspace))
    selector.push_back(expression(key, "In", strings({value})));
  for (const auto& requirement : workspace.resource.label_selector.match_expressions) {
    json::Array values;
    for (const std::string& value : requirement.values) values.emplace_back(text(value));
    selector.push_back(expression(requirement.key, requirement.op, std::move(values)));
  }
  json::Array terms;
  const auto add_term = [&](json::Array expressions) {
    if (!expressions.empty())
      terms.push_back(json::Object{{"matchExpressions", std::move(expressions)}});
  };
  json::Array own = selector;
  if (options.provisioner != NodeProvisioner::Byo) {
    own.push_back(expression(api::kLabelWorkspace, "In", strings({workspace.metadata.name})));
    own.push_back(
        expression(api::kLabelWorkspaceNamespace, "In", strings({workspace.metadata.ns})));
  }
  add_term(std::move(own));
  if (!nodes.reused.empty()) {
    json::Array names;
    for (const std::string& name : nodes.reused) names.emplace_back(text(name));
    selector.push_back(expression("kubernetes.io/hostname", "In", std::move(names)));
    add_term(std::move(selector));
  }
  if (terms.empty()) return {};
  json::Object affinity{{"requiredDuringSchedulingIgnoredDuringExecution",
                         json::Object{{"nodeSelectorTerms", std::move(terms)}}}};
  return {{"nodeAffinity", std::move(affinity)}};
}

json::Array tolerations(const Options& options) {
  json::Array list{
      json::Object{{"key", "nvidia.com/gpu"}, {"operator", "Exists"}, {"effect", "NoSchedule"}},
      json::Object{
          {"key", "sku"}, {"operator", "Equal"}, {"value", "gpu"}, {"effect", "NoSchedule"}}};
  if (options.cloud == "azure") {
    list.push_back(json::Object{{"key", "kubernetes.azure.com/scalesetpriority"},
                                {"operator", "Equal"},
                                {"value", "spot"},
                                {"effect", "NoSchedule"}});
  }
  return list;
}

json::Object http_probe(int period_seconds, int timeout_seconds, std::int64_t failures) {
  return {{"httpGet", json::Object{{"path", "/health"}, {"port", kServerPort}, {"scheme", "HTTP"}}},
          {"periodSeconds", period_seconds},
          {"timeoutSeconds", timeout_seconds},
          {"failureThreshold", failures}};
}

/// Seconds a model may take to load: 15 minutes and 18 s for each GiB, within 30 minutes and 3
/// hours.
std::int64_t load_limit_seconds(std::int64_t weights_bytes) {
  const std::int64_t seconds = 15 * 60 + (weights_bytes >> 30) * 18;
  return std::clamp<std::int64_t>(seconds, 30 * 60, 180 * 60);
}

std::string format_number(double value) { return fmt::format("{:g}", value); }

json::Array server_command(const Observed& observed) {
  const model::Preset& preset = *observed.preset;
  json::Array command = strings({"kaito-server", "--model", kWeightsPath, "--served-model-name",
                                 preset.name, "--host", "$(POD_IP)", "--port", "5000",
                                 "--chat-template", preset.instruct ? "auto" : "none"});
  const auto add = [&](std::string_view flag, const std::string& value) {
    command.emplace_back(text(flag));
    command.emplace_back(text(value));
  };
  if (preset.sampling.temperature)
    add("--temperature", format_number(*preset.sampling.temperature));
  if (preset.sampling.top_p) add("--top-p", format_number(*preset.sampling.top_p));
  if (preset.sampling.top_k) add("--top-k", fmt::format("{}", *preset.sampling.top_k));
  if (observed.config) {
    // The one key of upstream's inference_config.yaml that this runtime has a use for.
    if (const auto length = model::max_model_len(observed.config->data))
      add("--ctx-size", fmt::format("{}", *length));
  }
  return command;
}

json::Object main_container(const Observed& observed, const Options& options) {
  const std::int64_t gpus = observed.sku ? observed.sku->gpu_count : 0;
  json::Object container{
      {"name", text(observed.workspace->metadata.name)},
      {"image", text(options.runtime_image)},
      {"command", server_command(observed)},
      {"ports", json::Array{json::Object{
                    {"name", "http"}, {"containerPort", kServerPort}, {"protocol", "TCP"}}}},
      {"env", json::Array{json::Object{
                  {"name", "POD_IP"},
                  {"valueFrom",
                   json::Object{{"fieldRef", json::Object{{"apiVersion", "v1"},
                                                          {"fieldPath", "status.podIP"}}}}}}}},
      {"volumeMounts", json::Array{json::Object{{"name", "model-weights-volume"},
                                                {"mountPath", text(kWeightsPath)}},
                                   json::Object{{"name", "model-cache"},
                                                {"mountPath", text(options.model_cache_path)},
                                                {"readOnly", true}}}},
      // A ready model should not wait for the next look: start-up is checked every second.
      {"startupProbe", http_probe(1, 2, load_limit_seconds(observed.preset->weights_bytes()))},
      {"livenessProbe", http_probe(10, 5, 3)},
      {"readinessProbe", http_probe(5, 5, 2)},
      {"terminationMessagePolicy", "FallbackToLogsOnError"}};
  if (gpus > 0) {
    const json::Object amount{{"nvidia.com/gpu", text(fmt::format("{}", gpus))}};
    container["resources"] = json::Object{{"limits", amount}, {"requests", amount}};
  }
  return container;
}

json::Object puller_container(const std::string& image, const Options& options) {
  return {
      {"name", "model-weights-downloader"},
      {"image", text(options.runtime_image)},
      {"command", strings({"kaito", "model", "pull", image, "--store", options.model_cache_path,
                           "--output", kWeightsPath})},
      {"volumeMounts",
       json::Array{
           json::Object{{"name", "model-weights-volume"}, {"mountPath", text(kWeightsPath)}},
           json::Object{{"name", "model-cache"}, {"mountPath", text(options.model_cache_path)}}}},
      {"terminationMessagePolicy", "FallbackToLogsOnError"}};
}

json::Object preset_pod(const Observed& observed, const std::string& image,
                        const Options& options) {
  json::Object spec{
      {"initContainers", json::Array{puller_container(image, options)}},
      {"containers", json::Array{main_container(observed, options)}},
      {"volumes",
       json::Array{json::Object{{"name", "model-weights-volume"}, {"emptyDir", json::Object{}}},
                   json::Object{{"name", "model-cache"},
                                {"hostPath", json::Object{{"path", text(options.model_cache_path)},
                                                          {"type", "DirectoryOrCreate"}}}}}},
      {"terminationGracePeriodSeconds", 30}};
  const auto& preset = *observed.workspace->inference->preset;
  if (preset.preset_options && !preset.preset_options->image_pull_secrets.empty()) {
    json::Array secrets;
    for (const std::string& name : preset.preset_options->image_pull_secrets) {
      secrets.push_back(json::Object{{"name", text(name)}});
    }
    spec["imagePullSecrets"] = std::move(secrets);
  }
  return spec;
}

/// Labels that the workload selects its pods by. Those it was made with stay: a selector cannot
/// change.
json::Object selector_labels(const Observed& observed) {
  const api::Workspace& workspace = *observed.workspace;
  if (observed.stateful_set && !observed.stateful_set->spec.selector.match_labels.empty()) {
    json::Object labels;
    for (const auto& [key, value] : observed.stateful_set->spec.selector.match_labels)
      labels[key] = text(value);
    return labels;
  }
  json::Object labels{{api::kLabelWorkspace, text(workspace.metadata.name)}};
  for (const std::string_view key : api::kPropagatedLabels) {
    const auto found = workspace.metadata.labels.find(std::string(key));
    if (found != workspace.metadata.labels.end()) labels[key] = text(found->second);
  }
  return labels;
}

/// Puts the operator's placement into a pod template and seals it with its hash.
std::string seal_template(json::Object& pod_template, const Observed& observed,
                          const NodePlan& nodes, const Options& options) {
  const api::Workspace& workspace = *observed.workspace;
  json::Object& metadata = pod_template["metadata"].is_object()
                               ? pod_template["metadata"].as_object()
                               : pod_template["metadata"].emplace_object();
  json::Object& labels = metadata["labels"].is_object() ? metadata["labels"].as_object()
                                                        : metadata["labels"].emplace_object();
  for (const auto& member : selector_labels(observed)) labels[member.key()] = member.value();
  json::Object& spec = pod_template["spec"].is_object() ? pod_template["spec"].as_object()
                                                        : pod_template["spec"].emplace_object();
  json::Object affinity = node_affinity(workspace, nodes, options);
  // What a template says about other pods stays; where its nodes come from is ours to say.
  if (!affinity.empty()) {
    json::Object& all = spec["affinity"].is_object() ? spec["affinity"].as_object()
                                                     : spec["affinity"].emplace_object();
    all["nodeAffinity"] = std::move(affinity["nodeAffinity"]);
  }
  json::Array& tolerated = spec["tolerations"].is_array() ? spec["tolerations"].as_array()
                                                          : spec["tolerations"].emplace_array();
  for (json::Value& toleration : tolerations(options)) tolerated.push_back(std::move(toleration));
  json::Object& annotations = metadata["annotations"].is_object()
                                  ? metadata["annotations"].as_object()
                                  : metadata["annotations"].emplace_object();
  annotations.erase(kTemplateHashAnnotation);
  if (observed.config) {
    json::Object data;
    for (const auto& [key, value] : observed.config->data) data[key] = text(value);
    annotations[kConfigHashAnnotation] = text(json::hash(data));
  }
  const std::string hash = json::hash(pod_template);
  annotations[kTemplateHashAnnotation] = text(hash);
  return hash;
}

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

Desired stateful_set(const Observed& observed, const NodePlan& nodes, json::Object pod_template) {
  const api::Workspace& workspace = *observed.workspace;
  return with_hash(
      api::StatefulSet::kType,
      {{"apiVersion", "apps/v1"},
       {"kind", "StatefulSet"},
       {"metadata", object_metadata(workspace, workspace.metadata.name)},
       {"spec", json::Object{{"replicas", nodes.target},
                             {"serviceName", text(workspace.metadata.name + "-headless")},
                             {"podManagementPolicy", "Parallel"},
                             {"selector", json::Object{{"matchLabels", selector_labels(observed)}}},
                             {"template", std::move(pod_template)}}}});
}

/// The preset's image, or the user's own for accessMode private.
std::string model_image(const Observed& observed, const Options& options) {
  const api::PresetSpec& preset = *observed.workspace->inference->preset;
  if (preset.access_mode == "private" && preset.preset_options &&
      !preset.preset_options->image.empty())
    return preset.preset_options->image;
  return model::image_reference(*observed.preset, options.preset_registry);
}

}  // namespace

ServePlan plan_serving(const Observed& observed, const NodePlan& nodes, const Options& options) {
  const api::Workspace& workspace = *observed.workspace;
  ServePlan plan;
  plan.objects.push_back(service(workspace));
  plan.objects.push_back(headless_service(workspace));
  plan.problem = find_blocker(observed);
  if (plan.problem) return plan;
  json::Object pod_template = workspace.inference->pod_template.value_or(json::Object());
  if (observed.preset) {
    plan.model_image = model_image(observed, options);
    pod_template = {{"spec", preset_pod(observed, plan.model_image, options)}};
  }
  plan.template_hash = seal_template(pod_template, observed, nodes, options);
  plan.objects.push_back(stateful_set(observed, nodes, std::move(pod_template)));
  return plan;
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

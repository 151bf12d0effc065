#include "workspace/serve.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/workspace/names.h"
#include "workspace/adapters.h"
#include "workspace/blocker.h"
#include "workspace/pod_parts.h"

namespace workspace {
namespace {

constexpr int kTorchPort = 29500;
constexpr std::string_view kConfigHashAnnotation = "kaito.sh/config-hash";

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
  json::Array command = server_command(observed);
  json::Array mounts{volume_mount("model-weights-volume", kWeightsPath)};
  json::Object cache = volume_mount("model-cache", options.model_cache_path);
  cache["readOnly"] = true;
  mounts.push_back(std::move(cache));
  add_adapter_flags(observed, command, mounts);
  json::Object container{
      {"name", text(observed.workspace->metadata.name)},
      {"image", text(options.runtime_image)},
      {"command", std::move(command)},
      {"volumeMounts", std::move(mounts)},
      // A ready model should not wait for the next look: start-up is checked every second.
      {"startupProbe", http_probe(1, 2, load_limit_seconds(observed.preset->weights_bytes()))},
      {"livenessProbe", http_probe(10, 5, 3)},
      {"readinessProbe", http_probe(5, 5, 2)},
      {"terminationMessagePolicy", "FallbackToLogsOnError"}};
  listen_at_pod_ip(container);
  if (json::Object gpus = gpu_resources(observed); !gpus.empty())
    container["resources"] = std::move(gpus);
  return container;
}

json::Object preset_pod(const Observed& observed, const std::string& image,
                        const Options& options) {
  const api::PresetSpec& preset = *observed.serves->preset;
  json::Array volumes = model_volumes(preset, options);
  add_adapter_volumes(observed, volumes);
  json::Object spec{{"initContainers", json::Array{model_puller(preset, image, options)}},
                    {"containers", json::Array{main_container(observed, options)}},
                    {"volumes", std::move(volumes)},
                    {"terminationGracePeriodSeconds", 30}};
  if (const auto secrets = pull_secrets(preset); !secrets.empty())
    spec["imagePullSecrets"] = secret_references(secrets);
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
  // Both are there before one is referred to: adding the other could move it.
  pod_template["metadata"];
  pod_template["spec"];
  json::Object& metadata = pod_template["metadata"].is_object()
                               ? pod_template["metadata"].as_object()
                               : pod_template["metadata"].emplace_object();
  json::Object& labels = metadata["labels"].is_object() ? metadata["labels"].as_object()
                                                        : metadata["labels"].emplace_object();
  for (const auto& member : selector_labels(observed)) labels[member.key()] = member.value();
  json::Object& spec = pod_template["spec"].is_object() ? pod_template["spec"].as_object()
                                                        : pod_template["spec"].emplace_object();
  place_pod(spec, observed, nodes, options);
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

}  // namespace

ServePlan plan_serving(const Observed& observed, const NodePlan& nodes, const Options& options) {
  const api::Workspace& workspace = *observed.workspace;
  ServePlan plan;
  plan.objects.push_back(service(workspace));
  plan.objects.push_back(headless_service(workspace));
  plan.problem = find_blocker(observed);
  if (plan.problem) return plan;
  if (auto adapters = adapters_config(observed)) {
    plan.adapters_revision = std::move(adapters->revision);
    plan.objects.push_back(std::move(adapters->object));
  }
  json::Object pod_template = observed.serves->pod_template.value_or(json::Object());
  if (observed.preset) {
    plan.model_image = model_image(*observed.serves->preset, *observed.preset, options);
    pod_template = {{"spec", preset_pod(observed, plan.model_image, options)}};
  }
  plan.template_hash = seal_template(pod_template, observed, nodes, options);
  plan.objects.push_back(stateful_set(observed, nodes, std::move(pod_template)));
  return plan;
}

}  // namespace workspace

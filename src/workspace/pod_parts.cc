#include "workspace/pod_parts.h"

#include <fmt/format.h>

#include "api/workspace/names.h"

namespace workspace {
namespace {

constexpr std::string_view kModelAuthPath = "/etc/kaito/model-auth";

json::Object expression(std::string_view key, std::string_view op, json::Array values) {
  json::Object requirement{{"key", text(key)}, {"operator", text(op)}};
  if (!values.empty()) requirement["values"] = std::move(values);
  return requirement;
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

}  // namespace

json::String text(std::string_view s) { return json::String(s); }

json::Array strings(std::initializer_list<std::string_view> items) {
  json::Array array;
  for (const std::string_view item : items) array.emplace_back(text(item));
  return array;
}

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

void place_pod(json::Object& spec, const Observed& observed, const NodePlan& nodes,
               const Options& options) {
  json::Object affinity = node_affinity(*observed.workspace, nodes, options);
  // What a template says about other pods stays; where its nodes come from is ours to say.
  if (!affinity.empty()) {
    json::Object& all = spec["affinity"].is_object() ? spec["affinity"].as_object()
                                                     : spec["affinity"].emplace_object();
    all["nodeAffinity"] = std::move(affinity["nodeAffinity"]);
  }
  json::Array& tolerated = spec["tolerations"].is_array() ? spec["tolerations"].as_array()
                                                          : spec["tolerations"].emplace_array();
  for (json::Value& toleration : tolerations(options)) tolerated.push_back(std::move(toleration));
}

std::string model_image(const api::PresetSpec& chosen, const model::Preset& preset,
                        const Options& options) {
  if (chosen.access_mode == "private" && chosen.preset_options &&
      !chosen.preset_options->image.empty())
    return chosen.preset_options->image;
  return model::image_reference(preset, options.preset_registry);
}

std::vector<std::string> pull_secrets(const api::PresetSpec& chosen) {
  return chosen.preset_options ? chosen.preset_options->image_pull_secrets
                               : std::vector<std::string>();
}

json::Object model_puller(const api::PresetSpec& chosen, const std::string& image,
                          const Options& options) {
  json::Array command = strings({"kaito", "model", "pull", image, "--store",
                                 options.model_cache_path, "--output", kWeightsPath});
  json::Array mounts{volume_mount("model-weights-volume", kWeightsPath),
                     volume_mount("model-cache", options.model_cache_path)};
  // The step pulls the model itself: what the kubelet may pull with does not reach it.
  if (const auto secrets = pull_secrets(chosen); !secrets.empty()) {
    add_credentials(command, kModelAuthPath, secrets);
    mounts.push_back(volume_mount("model-auth", kModelAuthPath));
  }
  return {{"name", "model-weights-downloader"},
          {"image", text(options.runtime_image)},
          {"command", std::move(command)},
          {"volumeMounts", std::move(mounts)},
          {"terminationMessagePolicy", "FallbackToLogsOnError"}};
}

json::Object volume_mount(std::string_view name, std::string_view path) {
  return {{"name", text(name)}, {"mountPath", text(path)}};
}

json::Object empty_volume(std::string_view name) {
  return {{"name", text(name)}, {"emptyDir", json::Object{}}};
}

json::Object named_volume(std::string_view name, json::Object source) {
  source["name"] = text(name);
  return source;
}

json::Array model_volumes(const api::PresetSpec& chosen, const Options& options) {
  json::Array volumes{
      empty_volume("model-weights-volume"),
      json::Object{{"name", "model-cache"},
                   {"hostPath", json::Object{{"path", text(options.model_cache_path)},
                                             {"type", "DirectoryOrCreate"}}}}};
  if (const auto secrets = pull_secrets(chosen); !secrets.empty())
    volumes.push_back(credentials_volume("model-auth", secrets));
  return volumes;
}

void listen_at_pod_ip(json::Object& container) {
  container["ports"] = json::Array{
      json::Object{{"name", "http"}, {"containerPort", kServerPort}, {"protocol", "TCP"}}};
  const json::Object field{{"apiVersion", "v1"}, {"fieldPath", "status.podIP"}};
  container["env"] = json::Array{
      json::Object{{"name", "POD_IP"}, {"valueFrom", json::Object{{"fieldRef", field}}}}};
}

json::Object gpu_resources(const Observed& observed) {
  const std::int64_t gpus = observed.sku ? observed.sku->gpu_count : 0;
  if (gpus == 0) return {};
  const json::Object amount{{"nvidia.com/gpu", text(fmt::format("{}", gpus))}};
  return {{"limits", amount}, {"requests", amount}};
}

json::Object credentials_volume(std::string_view name, const std::vector<std::string>& secrets) {
  json::Array sources;
  for (const std::string& secret : secrets) {
    const json::Object item{{"key", ".dockerconfigjson"}, {"path", text(secret + ".json")}};
    sources.push_back(json::Object{
        {"secret", json::Object{{"name", text(secret)}, {"items", json::Array{item}}}}});
  }
  return {{"name", text(name)}, {"projected", json::Object{{"sources", std::move(sources)}}}};
}

void add_credentials(json::Array& command, std::string_view path,
                     const std::vector<std::string>& secrets) {
  for (const std::string& secret : secrets) {
    command.emplace_back("--authfile");
    command.emplace_back(text(fmt::format("{}/{}.json", path, secret)));
  }
}

json::Array secret_references(const std::vector<std::string>& secrets) {
  json::Array references;
  for (const std::string& name : secrets) references.push_back(json::Object{{"name", text(name)}});
  return references;
}

}  // namespace workspace

#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "json/value.h"
#include "workspace/nodes.h"
#include "workspace/observed.h"

/// Parts of pod specs that serving and tuning share.
namespace workspace {

/// Where the model's files are mounted.
inline constexpr std::string_view kWeightsPath = "/workspace/weights";
/// Where preset pods listen, the tuner included.
inline constexpr int kServerPort = 5000;

json::String text(std::string_view s);
json::Array strings(std::initializer_list<std::string_view> items);

/// Where pods may go: nodes that match the user's selector and, unless the user brought them, were
/// made for this workspace; or the preferred nodes that stand in for those.
json::Object node_affinity(const api::Workspace& workspace, const NodePlan& nodes,
                           const Options& options);

/// Adds affinity and tolerations to a pod spec; what it says about other pods stays.
void place_pod(json::Object& spec, const Observed& observed, const NodePlan& nodes,
               const Options& options);

/// The image of a preset's model: the catalogue's, or the user's own for accessMode private.
std::string model_image(const api::PresetSpec& chosen, const model::Preset& preset,
                        const Options& options);

/// Secrets with which the preset's image is pulled.
std::vector<std::string> pull_secrets(const api::PresetSpec& chosen);

/// The init container that lands the model in `kWeightsPath`, with the node's cache at hand.
json::Object model_puller(const api::PresetSpec& chosen, const std::string& image,
                          const Options& options);
json::Object volume_mount(std::string_view name, std::string_view path);
json::Object empty_volume(std::string_view name);
/// `volume`, a volume source as users write it, under a name.
json::Object named_volume(std::string_view name, json::Object source);
/// The volumes of `model_puller`: the model's place, the node's cache, credentials if needed.
json::Array model_volumes(const api::PresetSpec& chosen, const Options& options);
/// Gives a container that serves HTTP its port and, as $(POD_IP), the address to listen at.
void listen_at_pod_ip(json::Object& container);
/// All GPUs of the instance type, as limits and requests; empty where it has none.
json::Object gpu_resources(const Observed& observed);

/// A volume of registry credentials: `SECRET.json` for each Secret of type dockerconfigjson.
json::Object credentials_volume(std::string_view name, const std::vector<std::string>& secrets);
/// Adds flags of `kaito` that name the files of such a volume, mounted at `path`.
void add_credentials(json::Array& command, std::string_view path,
                     const std::vector<std::string>& secrets);
/// References for `imagePullSecrets`.
json::Array secret_references(const std::vector<std::string>& secrets);

}  // namespace workspace

#include "workspace/adapters.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "api/core/config.h"
#include "workspace/pod_parts.h"

namespace workspace {
namespace {

constexpr std::string_view kConfigPath = "/etc/kaito/adapters";
constexpr std::string_view kCredentialsPath = "/etc/kaito/adapters-auth";
constexpr std::string_view kFile = "adapters.yaml";
constexpr std::size_t kRevisionDigits = 16;

std::string adapter_path(const api::AdapterSpec& adapter) {
  return fmt::format("/mnt/adapter/{}", adapter.source->name);
}

std::vector<std::string> pull_secrets(const Observed& observed) {
  std::set<std::string> names;
  for (const auto& adapter : observed.serves->adapters) {
    if (adapter.source)
      names.insert(adapter.source->image_pull_secrets.begin(),
                   adapter.source->image_pull_secrets.end());
  }
  return {names.begin(), names.end()};
}

std::string volume_name(std::size_t index) { return fmt::format("adapter-{}", index); }

}  // namespace

std::string adapters_config_name(std::string_view workspace) {
  return fmt::format("{}-adapters", workspace);
}

std::optional<AdaptersConfig> adapters_config(const Observed& observed) {
  const auto& adapters = observed.serves->adapters;
  if (!observed.preset || (adapters.empty() && !observed.adapters_config)) return std::nullopt;
  json::Array entries;
  for (const auto& adapter : adapters) {
    if (!adapter.source) continue;
    json::Object entry{{"name", text(adapter.source->name)},
                       {"strength", text(adapter.strength.value_or("1.0"))}};
    if (adapter.source->volume_source) {
      entry["path"] = text(adapter_path(adapter));
    } else {
      entry["image"] = text(adapter.source->image);
    }
    entries.push_back(std::move(entry));
  }
  std::string revision = json::hash(entries).substr(0, kRevisionDigits);
  const json::Object file{{"revision", text(revision)}, {"adapters", std::move(entries)}};
  return AdaptersConfig{
      with_hash(
          api::ConfigMap::kType,
          {{"apiVersion", "v1"},
           {"kind", "ConfigMap"},
           {"metadata", object_metadata(*observed.workspace,
                                        adapters_config_name(observed.workspace->metadata.name))},
           {"data", json::Object{{kFile, text(json::dump_pretty(file))}}}}),
      std::move(revision)};
}

void add_adapter_flags(const Observed& observed, json::Array& command, json::Array& mounts) {
  command.emplace_back("--adapters-file");
  command.emplace_back(text(fmt::format("{}/{}", kConfigPath, kFile)));
  mounts.push_back(volume_mount("adapters-config", kConfigPath));
  if (!pull_secrets(observed).empty()) {
    command.emplace_back("--adapters-auth");
    command.emplace_back(text(kCredentialsPath));
    mounts.push_back(volume_mount("adapters-auth", kCredentialsPath));
  }
  const auto& adapters = observed.serves->adapters;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    if (!adapters[i].source || !adapters[i].source->volume_source) continue;
    json::Object mount = volume_mount(volume_name(i), adapter_path(adapters[i]));
    mount["readOnly"] = true;
    mounts.push_back(std::move(mount));
  }
}

void add_adapter_volumes(const Observed& observed, json::Array& volumes) {
  // Optional: a pod made before the first adapter follows it, too.
  volumes.push_back(json::Object{
      {"name", "adapters-config"},
      {"configMap",
       json::Object{{"name", text(adapters_config_name(observed.workspace->metadata.name))},
                    {"optional", true}}}});
  if (const auto secrets = pull_secrets(observed); !secrets.empty())
    volumes.push_back(credentials_volume("adapters-auth", secrets));
  const auto& adapters = observed.serves->adapters;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    if (adapters[i].source && adapters[i].source->volume_source)
      volumes.push_back(named_volume(volume_name(i), *adapters[i].source->volume_source));
  }
}

}  // namespace workspace

#include "nodeagent/volumes/volumes.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "nodeagent/volumes/payload.h"

namespace nodeagent {
namespace {

namespace fs = std::filesystem;

using Files = VolumeFiles;

base::Status make_directory(const std::string& path, mode_t mode = 0755) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return base::system_error("creating " + path, error.value());
  ::chmod(path.c_str(), mode);
  return {};
}

/// Picks keys of `data` by `items`, or all of them.
base::Status select(const std::map<std::string, std::string>& data,
                    const std::vector<api::KeyToPath>& items,
                    std::optional<std::int32_t> default_mode, bool optional, Files& files) {
  const auto mode_of = [&](std::optional<std::int32_t> mode) {
    return static_cast<mode_t>(mode.value_or(default_mode.value_or(kDefaultFileMode)));
  };
  if (items.empty()) {
    for (const auto& [key, value] : data) files[key] = {value, mode_of({})};
    return {};
  }
  for (const api::KeyToPath& item : items) {
    const auto found = data.find(item.key);
    if (found != data.end()) {
      files[item.path] = {found->second, mode_of(item.mode)};
    } else if (!optional) {
      return base::Error(base::ErrorCode::NotFound,
                         fmt::format("references non-existent key: {}", item.key));
    }
  }
  return {};
}

base::Result<std::map<std::string, std::string>> contents(const api::ConfigMap& map) {
  std::map<std::string, std::string> data = map.data;
  for (const auto& [key, value] : map.binary_data) data[key] = TRY(base::from_base64(value));
  return data;
}

base::Result<std::map<std::string, std::string>> contents(const api::Secret& secret) {
  std::map<std::string, std::string> data;
  for (const auto& [key, value] : secret.data) data[key] = TRY(base::from_base64(value));
  return data;
}

struct ObjectPart {
  std::string kind;
  std::string name;
  const std::vector<api::KeyToPath>& items;
  std::optional<std::int32_t> default_mode;
  bool optional = false;
};

template <class Object>
base::Status add_object(base::Result<Object> object, const ObjectPart& part, Files& files) {
  if (!object) {
    if (part.optional && object.error().code() == base::ErrorCode::NotFound) return {};
    return std::move(object).error().context(fmt::format("{} \"{}\"", part.kind, part.name));
  }
  const std::map<std::string, std::string> data = TRY(contents(*object));
  return base::with_context(select(data, part.items, part.default_mode, part.optional, files),
                            fmt::format("{} \"{}\"", part.kind, part.name));
}

base::Status add_downward(const api::Pod& pod, const std::vector<api::DownwardApiVolumeFile>& items,
                          std::optional<std::int32_t> default_mode, Files& files) {
  for (const api::DownwardApiVolumeFile& item : items) {
    std::string value;
    if (item.field_ref) value = TRY(field_value(pod, item.field_ref->field_path));
    if (item.resource_field_ref) {
      value = TRY(resource_value(pod, pod.spec.containers.front(), *item.resource_field_ref));
    }
    files[item.path] = {
        value, static_cast<mode_t>(item.mode.value_or(default_mode.value_or(kDefaultFileMode)))};
  }
  return {};
}

base::Result<Files> projected_files(const api::Pod& pod, const api::ProjectedVolumeSource& source,
                                    ConfigSource& configs) {
  Files files;
  const std::string& ns = pod.metadata.ns;
  for (const api::VolumeProjection& part : source.sources) {
    if (part.config_map) {
      TRY(add_object(configs.config_map(ns, part.config_map->name),
                     {"configmap", part.config_map->name, part.config_map->items,
                      source.default_mode, part.config_map->optional.value_or(false)},
                     files));
    }
    if (part.secret) {
      TRY(add_object(configs.secret(ns, part.secret->name),
                     {"secret", part.secret->name, part.secret->items, source.default_mode,
                      part.secret->optional.value_or(false)},
                     files));
    }
    if (part.downward_api)
      TRY(add_downward(pod, part.downward_api->items, source.default_mode, files));
    if (part.service_account_token) {
      return base::Error(base::ErrorCode::Invalid,
                         "projected serviceAccountToken is not supported on this node");
    }
  }
  return files;
}

base::Result<std::string> host_path(const api::HostPathVolumeSource& source) {
  const std::string type = source.type.value_or("");
  std::error_code error;
  if (type == "DirectoryOrCreate" && !fs::exists(source.path, error))
    TRY(make_directory(source.path));
  if (type == "FileOrCreate" && !fs::exists(source.path, error)) {
    TRY(base::write_file_atomic(source.path, "", kDefaultFileMode));
  }
  const fs::file_status status = fs::status(source.path, error);
  if (!fs::exists(status)) {
    return base::Error(base::ErrorCode::NotFound,
                       fmt::format("hostPath {} does not exist on this node", source.path));
  }
  const bool fits = type.empty() || (type.starts_with("Directory") && fs::is_directory(status)) ||
                    (type.starts_with("File") && fs::is_regular_file(status)) ||
                    (type == "Socket" && fs::is_socket(status)) ||
                    (type == "CharDevice" && fs::is_character_file(status)) ||
                    (type == "BlockDevice" && fs::is_block_file(status));
  if (!fits) {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("hostPath type check failed: {} is not a {}", source.path, type));
  }
  return source.path;
}

std::string kind_of(const api::VolumeSource& source) {
  const json::Value encoded = json::encode(source);
  const auto& members = encoded.get_object();
  return members.empty() ? "unknown" : std::string(members.begin()->key());
}

/// Whether the node makes the volume's files from objects of the API.
bool is_made_of_objects(const api::VolumeSource& source) {
  return source.config_map || source.secret || source.projected || source.downward_api;
}

/// What a volume that `is_made_of_objects` shows now.
base::Result<Files> object_files(const api::Pod& pod, const api::VolumeSource& source,
                                 ConfigSource& configs) {
  const std::string& ns = pod.metadata.ns;
  if (source.projected) return projected_files(pod, *source.projected, configs);
  Files files;
  if (source.config_map) {
    TRY(add_object(configs.config_map(ns, source.config_map->name),
                   {"configmap", source.config_map->name, source.config_map->items,
                    source.config_map->default_mode, source.config_map->optional.value_or(false)},
                   files));
  } else if (source.secret) {
    TRY(add_object(configs.secret(ns, source.secret->secret_name),
                   {"secret", source.secret->secret_name, source.secret->items,
                    source.secret->default_mode, source.secret->optional.value_or(false)},
                   files));
  } else {
    TRY(add_downward(pod, source.downward_api->items, source.downward_api->default_mode, files));
  }
  return files;
}

base::Status write_objects(const api::Pod& pod, const api::VolumeSource& source,
                           const std::string& directory, ConfigSource& configs) {
  const Files files = TRY(object_files(pod, source, configs));
  return write_payload(directory, files);
}

base::Result<std::string> prepare_volume(const api::Pod& pod, const api::Volume& volume,
                                         const std::string& directory, ConfigSource& configs) {
  const api::VolumeSource& source = volume.source;
  constexpr mode_t kShared = 0777;
  if (source.empty_dir) {
    TRY(make_directory(directory, kShared));
    return directory;
  }
  if (source.host_path) return host_path(*source.host_path);
  if (!is_made_of_objects(source)) {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("kind {} is not supported on this node; use emptyDir or hostPath",
                    kind_of(source)));
  }
  TRY(write_objects(pod, source, directory, configs));
  return directory;
}

}  // namespace

base::Result<VolumePaths> prepare_volumes(const api::Pod& pod, const std::string& volumes_dir,
                                          ConfigSource& configs) {
  VolumePaths paths;
  for (const api::Volume& volume : pod.spec.volumes) {
    paths[volume.name] = TRY(
        base::with_context(prepare_volume(pod, volume, volumes_dir + "/" + volume.name, configs),
                           fmt::format("volume \"{}\"", volume.name)));
  }
  return paths;
}

base::Status refresh_volumes(const api::Pod& pod, const std::string& volumes_dir,
                             ConfigSource& configs) {
  base::Status outcome;
  for (const api::Volume& volume : pod.spec.volumes) {
    if (!is_made_of_objects(volume.source)) continue;
    base::Status written = base::with_context(
        write_objects(pod, volume.source, volumes_dir + "/" + volume.name, configs),
        fmt::format("volume \"{}\"", volume.name));
    if (!written && outcome) outcome = std::move(written);
  }
  return outcome;
}

std::string volume_reference(std::string_view kind, const api::ObjectKey& key) {
  return fmt::format("{}/{}/{}", kind, key.ns, key.name);
}

std::vector<std::string> volume_references(const api::Pod& pod) {
  std::set<std::string> references;
  const auto add = [&](std::string_view kind, const std::string& name) {
    references.insert(volume_reference(kind, {pod.metadata.ns, name}));
  };
  for (const api::Volume& volume : pod.spec.volumes) {
    const api::VolumeSource& source = volume.source;
    if (source.config_map) add(api::ConfigMap::kType.kind, source.config_map->name);
    if (source.secret) add(api::Secret::kType.kind, source.secret->secret_name);
    if (!source.projected) continue;
    for (const api::VolumeProjection& part : source.projected->sources) {
      if (part.config_map) add(api::ConfigMap::kType.kind, part.config_map->name);
      if (part.secret) add(api::Secret::kType.kind, part.secret->name);
    }
  }
  return {references.begin(), references.end()};
}

base::Result<std::vector<Mount>> container_mounts(const api::Container& container,
                                                  const VolumePaths& paths,
                                                  const Environment& environment) {
  std::vector<Mount> mounts;
  for (const api::VolumeMount& mount : container.volume_mounts) {
    const auto path = paths.find(mount.name);
    if (path == paths.end()) {
      return base::Error(base::ErrorCode::Invalid,
                         fmt::format("volumeMount \"{}\" names no volume of the pod", mount.name));
    }
    std::string source = path->second;
    const std::string sub_path = mount.sub_path_expr.empty()
                                     ? mount.sub_path
                                     : expand_variables(mount.sub_path_expr, environment);
    if (!sub_path.empty()) {
      if (!stays_inside(sub_path)) {
        return base::Error(
            base::ErrorCode::Invalid,
            fmt::format("subPath '{}' of volumeMount \"{}\" must stay inside the volume", sub_path,
                        mount.name));
      }
      source += "/" + sub_path;
      std::error_code error;
      if (!fs::exists(source, error)) TRY(make_directory(source));
    }
    mounts.push_back({source, mount.mount_path, mount.read_only});
  }
  return mounts;
}

std::string rewrite_paths(std::string text, const std::vector<Mount>& mounts) {
  // The longest target first, so that /data/inner is not taken for /data.
  std::vector<Mount> sorted = mounts;
  std::ranges::sort(sorted, std::ranges::greater(),
                    [](const Mount& mount) { return mount.target.size(); });
  const auto is_path_character = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  };
  for (std::size_t at = 0; at < text.size();) {
    const bool begins =
        text[at] == '/' && (at == 0 || (!is_path_character(text[at - 1]) && text[at - 1] != '/'));
    const auto mount = std::ranges::find_if(sorted, [&](const Mount& candidate) {
      const std::string& target = candidate.target;
      return begins && text.compare(at, target.size(), target) == 0 &&
             (at + target.size() == text.size() || !is_path_character(text[at + target.size()]));
    });
    if (mount == sorted.end()) {
      ++at;
      continue;
    }
    text.replace(at, mount->target.size(), mount->source);
    at += mount->source.size();
  }
  return text;
}

}  // namespace nodeagent

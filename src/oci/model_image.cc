#include "oci/model_image.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "oci/disk.h"
#include "oci/file_name.h"
#include "oci/hash_file.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr mode_t kModelFileMode = 0644;
constexpr int kRegularFileMode = 0644;
constexpr int kTarRegularFile = '0';  // `typeflag` of ModelPack's file metadata.

void put(json::Object& object, std::string_view key, const std::string& value) {
  if (!value.empty()) object.emplace(key, json::String(value));
}

std::string model_config(const ModelPackOptions& options, const Digest& weights) {
  json::Object descriptor;
  put(descriptor, "family", options.family);
  put(descriptor, "name", options.name);
  put(descriptor, "title", options.title);
  json::Object config;
  put(config, "architecture", options.architecture);
  put(config, "format", options.format);
  put(config, "paramSize", options.param_size);
  put(config, "quantization", options.quantization);
  json::Object modelfs{{"type", "layers"}, {"diffIds", json::Array{json::String(weights.text())}}};
  return json::dump_canonical(json::Object{{"descriptor", std::move(descriptor)},
                                           {"config", std::move(config)},
                                           {"modelfs", std::move(modelfs)}});
}

Descriptor descriptor_of(std::string_view type, std::string_view bytes) {
  Descriptor descriptor;
  descriptor.media_type = type;
  descriptor.digest = Digest::of(bytes);
  descriptor.size = static_cast<std::int64_t>(bytes.size());
  return descriptor;
}

Descriptor weights_descriptor(const HashedFile& hashed, const std::string& name) {
  Descriptor weights;
  weights.media_type = media_type::kModelWeightRaw;
  weights.digest = hashed.digest;
  weights.size = static_cast<std::int64_t>(hashed.size);
  // Owner and time are fixed, so that the digest depends on the content alone.
  const json::Object metadata{{"name", json::String(name)},
                              {"mode", kRegularFileMode},
                              {"uid", 0},
                              {"gid", 0},
                              {"size", weights.size},
                              {"mtime", "1970-01-01T00:00:00Z"},
                              {"typeflag", kTarRegularFile}};
  weights.annotations = {{std::string(annotation::kModelFilepath), name},
                         {std::string(annotation::kModelFileMetadata), json::dump(metadata)},
                         {std::string(annotation::kModelUntested), "false"},
                         {std::string(annotation::kTitle), name}};
  return weights;
}

std::string model_document(const PulledImage& pulled, const std::string& weights) {
  json::Array files;
  for (const ImageFile& file : pulled.image.files) {
    files.push_back(json::Object{{"path", json::String(file.path)},
                                 {"digest", json::String(file.blob.digest.text())},
                                 {"size", file.blob.size},
                                 {"mediaType", json::String(file.blob.media_type)}});
  }
  for (const std::string& path : pulled.files) {
    const auto is_listed = [&](const ImageFile& file) { return file.path == path; };
    if (std::ranges::none_of(pulled.image.files, is_listed))
      files.push_back(json::Object{{"path", json::String(path)}});
  }
  const Reference& reference = pulled.image.reference;
  return json::dump_pretty(json::Object{{"reference", json::String(reference.text())},
                                        {"digest", json::String(reference.digest->text())},
                                        {"weights", json::String(weights)},
                                        {"files", std::move(files)}}) +
         "\n";
}

}  // namespace

std::string format_param_size(std::uint64_t parameters) {
  constexpr std::string_view kPrefixes = "kmbtq";
  if (parameters == 0) return {};
  double value = static_cast<double>(parameters);
  std::size_t steps = 0;
  while (value >= 1000 && steps < kPrefixes.size()) {
    value /= 1000;
    ++steps;
  }
  if (steps == 0) return {};  // The notation begins with thousands.
  const std::string number =
      value >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.1f}", value);
  return (number.ends_with(".0") ? number.substr(0, number.size() - 2) : number) +
         kPrefixes[steps - 1];
}

base::Result<PackedModel> pack_model(const base::Context& ctx, const std::filesystem::path& file,
                                     const ModelPackOptions& options,
                                     const ProgressCallback& progress) {
  const std::string name = options.file_name.empty() ? file.filename().string() : options.file_name;
  TRY(check_file_path(name));
  const HashedFile hashed = TRY(hash_file(ctx, file, progress));
  PackedModel packed;
  packed.file = file;
  packed.weights = weights_descriptor(hashed, name);
  packed.config = model_config(options, hashed.digest);
  packed.config_descriptor = descriptor_of(media_type::kModelConfig, packed.config);

  Manifest manifest;
  manifest.media_type = media_type::kOciManifest;
  manifest.artifact_type = media_type::kModelManifest;
  manifest.config = packed.config_descriptor;
  manifest.layers = {packed.weights};
  if (!options.name.empty()) manifest.annotations[std::string(annotation::kTitle)] = options.name;
  packed.manifest.media_type = media_type::kOciManifest;
  packed.manifest.bytes = json::dump(json::encode(manifest));
  packed.manifest.digest = Digest::of(packed.manifest.bytes);
  return packed;
}

base::Result<Descriptor> push_model(const base::Context& ctx, RegistryClient& client,
                                    const Reference& ref, const PackedModel& packed,
                                    const ProgressCallback& progress) {
  TRY(client.push_blob(ctx, ref, packed.weights, packed.file, progress));
  TRY(client.push_blob(ctx, ref, packed.config_descriptor, packed.config));
  return client.put_manifest(ctx, ref, packed.manifest);
}

base::Result<PulledModel> pull_model(const base::Context& ctx, RegistryClient& client,
                                     const Reference& ref, ContentStore& store,
                                     const std::filesystem::path& destination,
                                     const ProgressCallback& progress) {
  Image image = TRY(inspect_image(ctx, client, ref));
  // A folder without model.json is not complete.
  const auto marker = destination / kModelFileName;
  if (::unlink(marker.c_str()) != 0 && errno != ENOENT)
    return base::system_error(fmt::format("removing {}", marker.string()), errno);
  PullOptions options;
  options.content = ImageContent::Model;
  options.store = &store;
  PulledModel pulled;
  static_cast<PulledImage&>(pulled) =
      TRY(pull_image(ctx, client, std::move(image), destination, options, progress));
  const auto& files = pulled.files;
  const auto weights =
      std::ranges::find_if(files, [](const std::string& file) { return file.ends_with(".gguf"); });
  if (weights != files.end()) pulled.weights = *weights;
  TRY(base::write_file_atomic(marker, model_document(pulled, pulled.weights), kModelFileMode,
                              base::Durability::Synced));
  return pulled;
}

}  // namespace oci

#include "oci/image_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "oci/failure.h"
#include "oci/file_name.h"
#include "oci/hash_file.h"
#include "oci/in_parallel.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr std::string_view kImageConfig = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kLayerTar = "application/vnd.oci.image.layer.v1.tar";
constexpr std::string_view kFilesArtifact = "application/vnd.kaito.files.v1";
constexpr std::string_view kOctets = "application/octet-stream";
constexpr std::string_view kModelName = "sh.kaito.model.name";
constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr const char* kAdapterWeights = "adapter_model.safetensors";

struct SourceFile {
  std::string path;  ///< Relative.
  std::uint64_t bytes = 0;
};

Descriptor descriptor_of(std::string_view type, std::string_view bytes) {
  Descriptor descriptor;
  descriptor.media_type = type;
  descriptor.digest = Digest::of(bytes);
  descriptor.size = static_cast<std::int64_t>(bytes.size());
  return descriptor;
}

/// The plain files below `folder`, sorted. Links to files count as files; names that begin with a
/// dot are left out, since tools keep their notes in them.
base::Result<std::vector<SourceFile>> find_files(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<SourceFile> files;
  for (std::filesystem::recursive_directory_iterator entry(folder, error), end;
       !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
      continue;
    }
    if (entry->is_directory(error)) continue;
    const std::string path = entry->path().lexically_relative(folder).string();
    if (!entry->is_regular_file(error)) {
      return Error(ErrorCode::Invalid,
                   fmt::format("{} is neither a file nor a folder", entry->path().string()));
    }
    files.push_back({path, entry->file_size(error)});
    if (files.size() > kMaxDescriptors)
      return Error(ErrorCode::Invalid,
                   fmt::format("{} holds more than {} files", folder.string(), kMaxDescriptors));
  }
  if (error) return base::system_error(fmt::format("reading {}", folder.string()), error.value());
  if (files.empty())
    return Error(ErrorCode::Invalid, fmt::format("{} holds no files", folder.string()));
  std::ranges::sort(files, {}, &SourceFile::path);
  return files;
}

base::Result<std::vector<SourceFile>> named_files(const std::filesystem::path& folder,
                                                  const std::vector<std::string>& names) {
  std::vector<SourceFile> files;
  for (const std::string& name : names) {
    std::error_code error;
    const auto size = std::filesystem::file_size(folder / name, error);
    if (error)
      return base::system_error(fmt::format("reading {}", (folder / name).string()), error.value());
    files.push_back({name, size});
  }
  std::ranges::sort(files, {}, &SourceFile::path);
  return files;
}

/// A file without a name in `folder`.
base::Result<base::UniqueFd> make_scratch(const std::filesystem::path& folder) {
  std::error_code error;
  const auto place = folder.empty() ? std::filesystem::temp_directory_path(error) : folder;
  std::string name = (place / ".kaito-layer-XXXXXX").string();
  base::UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) return file_error(fmt::format("creating a file in {}", place.string()), errno);
  ::unlink(name.c_str());
  return fd;
}

std::string layer_type(Compression compression) {
  switch (compression) {
    case Compression::None:
      break;
    case Compression::Gzip:
      return fmt::format("{}+gzip", kLayerTar);
    case Compression::Zstd:
      return fmt::format("{}+zstd", kLayerTar);
  }
  return std::string(kLayerTar);
}

void seal(PackedImage& image, std::string_view config_type, std::string artifact_type,
          const Annotations& annotations) {
  image.config_descriptor = descriptor_of(config_type, image.config);
  Manifest manifest;
  manifest.media_type = media_type::kOciManifest;
  manifest.artifact_type = std::move(artifact_type);
  manifest.config = image.config_descriptor;
  for (const PackedImage::Layer& layer : image.layers) manifest.layers.push_back(layer.blob);
  manifest.annotations = annotations;
  image.manifest.media_type = media_type::kOciManifest;
  image.manifest.bytes = json::dump(json::encode(manifest));
  image.manifest.digest = Digest::of(image.manifest.bytes);
}

/// The folders on the way to `path` that are not in the archive yet, outermost first.
Status add_folders(TarWriter& writer, const std::string& path, std::set<std::string>& done) {
  for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (done.insert(folder).second) TRY(writer.add_folder(folder));
  }
  return {};
}

std::string_view model_layer_type(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  for (const std::string_view end : {".safetensors", ".gguf", ".bin", ".pt", ".pth"}) {
    if (name.ends_with(end)) return media_type::kModelWeightRaw;
  }
  if (name.ends_with(".md") || name.starts_with("LICENSE") || name.starts_with("README"))
    return "application/vnd.cncf.model.doc.v1.raw";
  if (name.ends_with(".py")) return "application/vnd.cncf.model.code.v1.raw";
  return "application/vnd.cncf.model.weight.config.v1.raw";
}

std::string model_config(const PackedImage& image, const std::string& name) {
  json::Array digests;
  bool safetensors = false;
  for (const PackedImage::Layer& layer : image.layers) {
    digests.push_back(json::String(layer.blob.digest.text()));
    safetensors = safetensors || layer.file.string().ends_with(".safetensors");
  }
  json::Object config{{"architecture", "transformer"}};
  if (safetensors) config.emplace("format", "safetensors");
  json::Object descriptor;
  if (!name.empty()) descriptor.emplace("name", json::String(name));
  return json::dump_canonical(
      json::Object{{"descriptor", std::move(descriptor)},
                   {"config", std::move(config)},
                   {"modelfs", json::Object{{"type", "layers"}, {"diffIds", std::move(digests)}}}});
}

}  // namespace

std::uint64_t PackedImage::layer_bytes() const {
  std::uint64_t total = 0;
  for (const Layer& layer : layers) total += layer.blob.bytes();
  return total;
}

base::Result<PackedImage> pack_folder(const base::Context& ctx, const std::filesystem::path& folder,
                                      const PackFolderOptions& options,
                                      const ProgressCallback& progress) {
  const auto files =
      TRY(options.files.empty() ? find_files(folder) : named_files(folder, options.files));
  std::uint64_t total = 0;
  for (const SourceFile& file : files) total += file.bytes;
  PackedImage image;
  image.scratch = TRY(make_scratch(options.scratch));
  TarWriter writer = TRY(TarWriter::create(image.scratch.get(), options.compression));
  std::set<std::string> folders;
  std::uint64_t before = 0;
  for (const SourceFile& file : files) {
    TRY(check_file_path(file.path));
    const std::string path =
        options.image_folder.empty() ? file.path : options.image_folder + "/" + file.path;
    TRY(add_folders(writer, path, folders));
    TRY(writer.add_file(ctx, path, folder / file.path, [&](std::uint64_t done) {
      if (progress) progress({before + done, total});
    }));
    before += file.bytes;
  }
  const TarWriter::Written written = TRY(writer.finish());
  PackedImage::Layer layer;
  layer.blob.media_type = layer_type(options.compression);
  layer.blob.digest = written.packed;
  layer.blob.size = static_cast<std::int64_t>(written.packed_bytes);
  layer.file = fmt::format("/proc/self/fd/{}", image.scratch.get());
  image.layers = {std::move(layer)};
  image.config = json::dump_canonical(json::Object{
      {"rootfs", json::Object{{"type", "layers"},
                              {"diff_ids", json::Array{json::String(written.plain.text())}}}}});
  seal(image, kImageConfig, {}, options.annotations);
  return image;
}

base::Result<PackedImage> pack_adapter(const base::Context& ctx,
                                       const std::filesystem::path& folder,
                                       const std::string& model_name, PackFolderOptions options,
                                       const ProgressCallback& progress) {
  for (const char* name : {kAdapterConfig, kAdapterWeights}) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(folder / name, error)) {
      return Error(ErrorCode::Invalid,
                   fmt::format("{} is not an adapter: it holds no {}", folder.string(), name));
    }
  }
  options.files = {kAdapterConfig, kAdapterWeights};
  if (!model_name.empty()) options.annotations[std::string(kModelName)] = model_name;
  return pack_folder(ctx, folder, options, progress);
}

base::Result<PackedImage> pack_files(const base::Context& ctx, const std::filesystem::path& folder,
                                     const PackFilesOptions& options,
                                     const ProgressCallback& progress) {
  const auto files = TRY(find_files(folder));
  std::uint64_t total = 0;
  for (const SourceFile& file : files) total += file.bytes;
  const bool model = options.form == FilesForm::ModelPack;
  PackedImage image;
  std::uint64_t before = 0;
  for (const SourceFile& file : files) {
    TRY(check_file_path(file.path));
    const HashedFile hashed = TRY(hash_file(ctx, folder / file.path, [&](const Progress& part) {
      if (progress) progress({before + part.done_bytes, total});
    }));
    before += file.bytes;
    PackedImage::Layer layer;
    layer.blob.media_type = model ? model_layer_type(file.path) : kOctets;
    layer.blob.digest = hashed.digest;
    layer.blob.size = static_cast<std::int64_t>(hashed.size);
    layer.blob.annotations[std::string(annotation::kTitle)] = file.path;
    if (model) layer.blob.annotations[std::string(annotation::kModelFilepath)] = file.path;
    layer.file = folder / file.path;
    image.layers.push_back(std::move(layer));
  }
  if (model) {
    image.config = model_config(image, options.name);
    seal(image, media_type::kModelConfig, std::string(media_type::kModelManifest),
         options.annotations);
  } else {
    image.config = "{}";
    seal(image, media_type::kEmpty, std::string(kFilesArtifact), options.annotations);
  }
  return image;
}

base::Result<Descriptor> push_image(const base::Context& ctx, RegistryClient& client,
                                    const Reference& ref, const PackedImage& packed,
                                    const ProgressCallback& progress) {
  SharedProgress shared(packed.layers.size(), packed.layer_bytes(), progress);
  TRY(in_parallel(ctx, packed.layers.size(), [&](const base::Context& inner, std::size_t item) {
    const PackedImage::Layer& layer = packed.layers[item];
    return client.push_blob(inner, ref, layer.blob, layer.file, shared.callback(item));
  }));
  shared.show();
  TRY(client.push_blob(ctx, ref, packed.config_descriptor, packed.config));
  return client.put_manifest(ctx, ref, packed.manifest);
}

}  // namespace oci

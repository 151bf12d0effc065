#include "oci/model_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "base/file.h"
#include "base/sha256.h"
#include "oci/disk.h"
#include "oci/failure.h"
#include "oci/limits.h"
#include "oci/place_file.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr mode_t kModelFileMode = 0644;
constexpr int kRegularFileMode = 0644;
constexpr int kTarRegularFile = '0';  // `typeflag` of ModelPack's file metadata.

struct HashedFile {
  Digest digest;
  std::uint64_t size = 0;
};

base::Result<HashedFile> hash_file(const base::Context& ctx, const std::filesystem::path& file,
                                   const ProgressCallback& progress) {
  const base::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0)
    return base::system_error(fmt::format("reading {}", file.string()), errno);
  if (!S_ISREG(info.st_mode))
    return Error(ErrorCode::Invalid, fmt::format("{} is not a plain file", file.string()));
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  const auto total = static_cast<std::uint64_t>(info.st_size);
  base::Sha256 hash;
  std::vector<char> buffer(kCopyBufferBytes);
  std::uint64_t done = 0;
  for (;;) {
    TRY(ctx.check());
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::system_error(fmt::format("reading {}", file.string()), errno);
    if (got == 0) break;
    hash.update({buffer.data(), static_cast<std::size_t>(got)});
    done += static_cast<std::uint64_t>(got);
    if (progress) progress({done, total});
  }
  return HashedFile{TRY(Digest::from_hex(hash.finish_hex())), done};
}

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

/// `Status` saying why `path` may not be created below a folder.
Status check_file_path(std::string_view path) {
  const auto wrong = [&](std::string_view why) {
    return Error(ErrorCode::Invalid,
                 fmt::format("model image: the file name \"{}\" {}", path.substr(0, 100), why));
  };
  if (path.empty()) return wrong("is empty");
  if (path.size() > kMaxFileNameLength) return wrong("is too long");
  if (path.front() == '/') return wrong("is absolute");
  if (!base::is_utf8(path))
    return Error(ErrorCode::Invalid, "model image: a file name is not UTF-8");
  if (std::ranges::any_of(path,
                          [](char c) { return (c >= 0 && c < ' ') || c == 127 || c == '\\'; }))
    return wrong("holds a control character or a backslash");
  if (path == kModelFileName) return wrong("is reserved");
  for (std::string_view rest = path;;) {
    const auto slash = rest.find('/');
    const auto component = rest.substr(0, slash);
    if (component.empty() || component == "." || component == "..")
      return wrong("leaves its folder or has empty parts");
    if (component.size() > kMaxFileNameComponent) return wrong("is too long");
    if (slash == std::string_view::npos) return {};
    rest.remove_prefix(slash + 1);
  }
}

/// The entry of an index that this machine can use.
base::Result<Descriptor> choose(const Index& index) {
  const Descriptor* chosen = nullptr;
  for (const Descriptor& entry : index.manifests) {
    if (!media_type::is_manifest(entry.media_type) && !media_type::is_index(entry.media_type))
      continue;
    const bool fits = !entry.platform ||
                      (entry.platform->os == "linux" && entry.platform->architecture == "amd64");
    if (fits && !chosen) chosen = &entry;
  }
  if (!chosen) return Error(ErrorCode::NotFound, "the index holds no manifest for linux/amd64");
  return *chosen;
}

std::string model_document(const ModelImage& image, const std::string& weights) {
  json::Array files;
  for (const ModelFile& file : image.files) {
    files.push_back(json::Object{{"path", json::String(file.path)},
                                 {"digest", json::String(file.blob.digest.text())},
                                 {"size", file.blob.size},
                                 {"mediaType", json::String(file.blob.media_type)}});
  }
  return json::dump_pretty(json::Object{{"reference", json::String(image.reference.text())},
                                        {"digest", json::String(image.reference.digest->text())},
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

std::string_view to_string(Placement placement) {
  switch (placement) {
    case Placement::HardLink:
      return "hard link";
    case Placement::Reflink:
      return "reflink";
    case Placement::SymbolicLink:
      return "symbolic link";
    case Placement::Copy:
      return "copy";
  }
  return "unknown";
}

std::uint64_t ModelImage::total_bytes() const {
  std::uint64_t total = 0;
  for (const ModelFile& file : files) total += file.blob.bytes();
  return total;
}

base::Result<std::vector<ModelFile>> model_files(const Manifest& manifest) {
  std::vector<ModelFile> files;
  std::set<std::string> seen;
  for (const Descriptor& layer : manifest.layers) {
    const std::string_view type = layer.media_type;
    std::string_view path = find_annotation(layer.annotations, annotation::kModelFilepath);
    if (path.empty()) path = find_annotation(layer.annotations, annotation::kCnaiFilepath);
    if (path.empty()) path = find_annotation(layer.annotations, annotation::kTitle);
    const bool packed_folder =
        find_annotation(layer.annotations, annotation::kOrasUnpack) == "true";
    // `oras push` calls plain files tar layers by default; the title tells that they are files.
    const bool tar =
        media_type::is_tar_layer(type) && (media_type::is_model_layer(type) || path.empty());
    if (tar || packed_folder) {
      return Error(ErrorCode::Invalid,
                   fmt::format("the image holds packed layers ({}), which this version does not "
                               "unpack; import the GGUF file with: kaito model import FILE",
                               type));
    }
    if (path.empty()) continue;  // Such as the empty layer of artifacts without files.
    TRY(check_file_path(path));
    if (!seen.insert(std::string(path)).second)
      return Error(ErrorCode::Invalid,
                   fmt::format("model image: two files are named \"{}\"", path));
    files.push_back({std::string(path), layer});
  }
  for (const std::string& path : seen) {
    for (auto slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      if (seen.contains(path.substr(0, slash)))
        return Error(
            ErrorCode::Invalid,
            fmt::format("model image: \"{}\" is both a file and a folder", path.substr(0, slash)));
    }
  }
  if (files.empty())
    return Error(ErrorCode::Invalid, "the image holds no files (no layer names one)");
  return files;
}

base::Result<ModelImage> inspect_model(const base::Context& ctx, RegistryClient& client,
                                       const Reference& ref) {
  Reference current = ref;
  for (int depth = 0; depth <= kMaxIndexDepth; ++depth) {
    const RawManifest raw = TRY(client.get_manifest(ctx, current));
    AnyManifest decoded = TRY(base::with_context(raw.decode(), ref.text()));
    if (const auto* index = std::get_if<Index>(&decoded)) {
      current = current.with_digest(TRY(base::with_context(choose(*index), ref.text())).digest);
      continue;
    }
    ModelImage image;
    image.manifest = std::get<Manifest>(std::move(decoded));
    image.files = TRY(base::with_context(model_files(image.manifest), ref.text()));
    image.reference = ref.with_digest(raw.digest);
    return image;
  }
  return Error(ErrorCode::Invalid,
               fmt::format("{}: indexes are nested more than {} deep", ref.text(), kMaxIndexDepth));
}

base::Result<PulledModel> pull_model(const base::Context& ctx, RegistryClient& client,
                                     const Reference& ref, ContentStore& store,
                                     const std::filesystem::path& destination,
                                     const ProgressCallback& progress) {
  PulledModel pulled;
  pulled.image = TRY(inspect_model(ctx, client, ref));
  for (const ModelFile& file : pulled.image.files)
    pulled.downloaded_bytes += store.missing_bytes(file.blob);
  TRY(store.check_space(pulled.downloaded_bytes));
  TRY(make_directories(destination));
  // A folder without model.json is not complete.
  const auto marker = destination / kModelFileName;
  if (::unlink(marker.c_str()) != 0 && errno != ENOENT)
    return base::system_error(fmt::format("removing {}", marker.string()), errno);

  const std::uint64_t total = pulled.image.total_bytes();
  std::uint64_t before = 0;
  for (const ModelFile& file : pulled.image.files) {
    const auto fetch = [&](std::uint64_t offset, const ContentStore::Take& take) {
      return client.fetch_blob(ctx, pulled.image.reference, file.blob, offset, take);
    };
    const auto report = [&](const Progress& part) {
      if (progress) progress({before + part.done_bytes, total});
    };
    const auto blob =
        TRY(base::with_context(store.ensure(ctx, file.blob, fetch, report), file.path));
    const Placement placement = TRY(place_file(ctx, blob, destination, file.path));
    pulled.placement = std::max(pulled.placement, placement);
    before += file.blob.bytes();
    if (pulled.weights.empty() && file.path.ends_with(".gguf")) pulled.weights = file.path;
  }
  TRY(base::write_file_atomic(marker, model_document(pulled.image, pulled.weights), kModelFileMode,
                              base::Durability::Synced));
  return pulled;
}

}  // namespace oci

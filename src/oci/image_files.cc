#include "oci/image_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/file.h"
#include "oci/disk.h"
#include "oci/failure.h"
#include "oci/file_name.h"
#include "oci/in_parallel.h"
#include "oci/limits.h"
#include "oci/place_file.h"
#include "oci/unpack.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr mode_t kMarkerMode = 0644;
/// Within the destination: downloads of a pull without store, and what is being unpacked.
constexpr const char* kWorkFolder = ".kaito-partial";

/// The name that a layer gives its file, or "".
std::string_view file_name_of(const Descriptor& layer) {
  for (const std::string_view key :
       {annotation::kModelFilepath, annotation::kCnaiFilepath, annotation::kTitle}) {
    if (const auto name = find_annotation(layer.annotations, key); !name.empty()) return name;
  }
  return {};
}

/// Whether the layer is a packed folder rather than a file.
bool is_archive(const Descriptor& layer) {
  if (find_annotation(layer.annotations, annotation::kOrasUnpack) == "true") return true;
  if (!media_type::is_tar_layer(layer.media_type)) return false;
  // `oras push` calls plain files tar layers by default; the title tells that they are files.
  return media_type::is_model_layer(layer.media_type) || file_name_of(layer).empty();
}

Status check_clashes(const std::set<std::string>& names) {
  for (const std::string& path : names) {
    for (auto slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      if (names.contains(path.substr(0, slash))) {
        return Error(ErrorCode::Invalid, fmt::format("image: \"{}\" is both a file and a folder",
                                                     path.substr(0, slash)));
      }
    }
  }
  return {};
}

/// The entry of an index that this machine can use.
base::Result<Descriptor> choose(const Index& index) {
  std::string offered;
  for (const Descriptor& entry : index.manifests) {
    if (!media_type::is_manifest(entry.media_type) && !media_type::is_index(entry.media_type))
      continue;
    if (!entry.platform ||
        (entry.platform->os == "linux" && entry.platform->architecture == "amd64"))
      return entry;
    if (offered.size() < 200)
      offered += fmt::format("{}{}/{}", offered.empty() ? "" : ", ", entry.platform->os,
                             entry.platform->architecture);
  }
  return Error(ErrorCode::NotFound,
               fmt::format("the index holds no manifest for linux/amd64; it offers: {}",
                           offered.empty() ? "nothing" : offered));
}

std::vector<std::string> folders_of(ImageContent content) {
  const std::vector<std::string> model{"workspace/tfs/weights", "workspace/llama/*/weights",
                                       "workspace/llama/weights", "workspace/weights"};
  switch (content) {
    case ImageContent::Data:
      return {"data"};
    case ImageContent::Model:
      return model;
    case ImageContent::Any: {
      std::vector<std::string> all{"data"};
      all.insert(all.end(), model.begin(), model.end());
      return all;
    }
    case ImageContent::Everything:
      break;
  }
  return {};
}

std::string marker_document(const PulledImage& pulled) {
  json::Array files;
  for (const std::string& file : pulled.files) files.push_back(json::String(file));
  const Reference& reference = pulled.image.reference;
  return json::dump_pretty(json::Object{{"reference", json::String(reference.text())},
                                        {"digest", json::String(reference.digest->text())},
                                        {"form", json::String(to_string(pulled.image.form))},
                                        {"files", std::move(files)}}) +
         "\n";
}

/// One pull into one folder.
class Pull {
 public:
  Pull(const base::Context& ctx, RegistryClient& client, std::filesystem::path destination,
       const PullOptions& options, const ProgressCallback& progress)
      : ctx_(ctx),
        client_(client),
        destination_(std::move(destination)),
        work_(destination_ / kWorkFolder),
        options_(options),
        progress_(progress) {}

  base::Result<PulledImage> run(Image image);

 private:
  Status lock();
  Status prepare();
  Status fetch_all();
  Status unpack();
  Status move_in(const std::filesystem::path& folder);
  Status finish();

  const base::Context& ctx_;
  RegistryClient& client_;
  const std::filesystem::path destination_;
  const std::filesystem::path work_;
  const PullOptions& options_;
  const ProgressCallback& progress_;
  base::UniqueFd lock_;
  std::optional<ContentStore> own_store_;
  ContentStore* store_ = nullptr;
  PulledImage pulled_;
  std::set<std::string> landed_;
};

/// Holds the destination for this pull; the lock goes with the process.
Status Pull::lock() {
  TRY(make_directories(destination_));
  lock_ = base::UniqueFd(::open(destination_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock_) return base::system_error(fmt::format("opening {}", destination_.string()), errno);
  while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return base::system_error(fmt::format("locking {}", destination_.string()), errno);
    TRY(ctx_.sleep(kLockPoll));
  }
  return {};
}

Status Pull::prepare() {
  const auto marker = destination_ / options_.marker;
  if (::unlink(marker.c_str()) != 0 && errno != ENOENT)
    return base::system_error(fmt::format("removing {}", marker.string()), errno);
  store_ = options_.store;
  if (!store_) {
    ContentStore::Options own;
    own.root = work_;
    own.durability = base::Durability::Cached;  // A node that lost power pulls again.
    own_store_ = TRY(ContentStore::open(std::move(own)));
    store_ = &*own_store_;
  }
  for (const ImageFile& file : pulled_.image.files)
    pulled_.downloaded_bytes += store_->missing_bytes(file.blob);
  for (const Descriptor& layer : pulled_.image.archives)
    pulled_.downloaded_bytes += store_->missing_bytes(layer);
  return store_->check_space(pulled_.downloaded_bytes);
}

/// Downloads what the store lacks, several blobs at a time.
Status Pull::fetch_all() {
  std::vector<const Descriptor*> blobs;
  for (const Descriptor& layer : pulled_.image.archives) blobs.push_back(&layer);
  for (const ImageFile& file : pulled_.image.files) blobs.push_back(&file.blob);
  SharedProgress shared(blobs.size(), pulled_.image.total_bytes(), progress_);
  const auto fetch = [&](const base::Context& inner, std::size_t item) -> Status {
    const Descriptor& blob = *blobs[item];
    const auto download = [&](std::uint64_t offset, const ContentStore::Take& take) {
      return client_.fetch_blob(inner, pulled_.image.reference, blob, offset, take);
    };
    TRY(base::with_context(store_->ensure(inner, blob, download, shared.callback(item)),
                           blob.digest.text()));
    return {};
  };
  TRY(in_parallel(ctx_, blobs.size(), fetch));
  shared.show();
  return {};
}

Status Pull::unpack() {
  std::vector<LayerFile> layers;
  for (const Descriptor& layer : pulled_.image.archives)
    layers.push_back({store_->path_of(layer.digest), layer.digest.text()});
  const auto root = work_ / "root";
  std::error_code error;
  std::filesystem::remove_all(root, error);  // Of a pull that was killed.
  TRY(make_directories(root));
  UnpackOptions unpack;
  if (pulled_.image.form == ImageForm::Container) unpack.folders = folders_of(options_.content);
  const Unpacked unpacked = TRY(unpack_layers(ctx_, layers, root, unpack, {}));
  pulled_.placement = Placement::Copy;
  TRY(move_in(unpacked.folder));
  return {};
}

/// Moves what was unpacked to its place; the work folder lies on the same file system.
Status Pull::move_in(const std::filesystem::path& folder) {
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator entry(folder, error), end;
       !error && entry != end; entry.increment(error)) {
    if (entry->is_directory(error) && !entry->is_symlink(error)) continue;
    landed_.insert(entry->path().lexically_relative(folder).string());
  }
  if (error) return base::system_error(fmt::format("reading {}", folder.string()), error.value());
  std::vector<std::filesystem::path> top;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    top.push_back(entry->path().filename());
  for (const auto& name : top) {
    if (name == kWorkFolder || name == options_.marker)
      return Error(ErrorCode::Invalid,
                   fmt::format("image: the file name \"{}\" is reserved", name.string()));
    std::filesystem::remove_all(destination_ / name, error);
    if (::rename((folder / name).c_str(), (destination_ / name).c_str()) != 0)
      return file_error(fmt::format("moving {} to its place", name.string()), errno);
  }
  return {};
}

Status Pull::finish() {
  std::error_code error;
  std::filesystem::remove_all(work_, error);
  if (error) return base::system_error(fmt::format("removing {}", work_.string()), error.value());
  pulled_.files.assign(landed_.begin(), landed_.end());
  TRY(base::write_file_atomic(destination_ / options_.marker, marker_document(pulled_), kMarkerMode,
                              base::Durability::Synced));
  return sync_directory(destination_);
}

base::Result<PulledImage> Pull::run(Image image) {
  pulled_.image = std::move(image);
  TRY(lock());
  TRY(prepare());
  const base::UniqueFd hold = TRY(store_->hold(ctx_));
  TRY(fetch_all());
  if (!pulled_.image.archives.empty()) TRY(unpack());
  for (const ImageFile& file : pulled_.image.files) {
    const auto blob = store_->path_of(file.blob.digest);
    // A store of our own goes away at the end.
    const Placement placement =
        TRY(place_file(ctx_, blob, destination_, file.path,
                       own_store_ ? SymbolicLinks::Refused : SymbolicLinks::Allowed));
    pulled_.placement = std::max(pulled_.placement, placement);
    landed_.insert(file.path);
  }
  TRY(finish());
  return std::move(pulled_);
}

}  // namespace

std::string_view to_string(ImageForm form) {
  switch (form) {
    case ImageForm::ModelPack:
      return "modelpack";
    case ImageForm::Artifact:
      return "artifact";
    case ImageForm::Container:
      return "container";
  }
  return "unknown";
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

std::uint64_t Image::total_bytes() const {
  std::uint64_t total = 0;
  for (const ImageFile& file : files) total += file.blob.bytes();
  for (const Descriptor& layer : archives) total += layer.bytes();
  return total;
}

base::Result<Image> classify_image(Manifest manifest) {
  Image image;
  std::set<std::string> names;
  bool named = false;
  bool model = manifest.artifact_type == media_type::kModelManifest ||
               media_type::is_model_layer(manifest.config.media_type);
  for (const Descriptor& layer : manifest.layers) {
    if (!layer.urls.empty()) {
      return Error(ErrorCode::Invalid, fmt::format("image: layer {} is kept outside the registry",
                                                   layer.digest.text()));
    }
    const std::string name(file_name_of(layer));
    named = named || !name.empty();
    model = model || media_type::is_model_layer(layer.media_type);
    if (is_archive(layer)) {
      image.archives.push_back(layer);
      continue;
    }
    if (name.empty()) continue;  // Such as the empty layer of artifacts without files.
    TRY(check_file_path(name));
    if (!names.insert(name).second)
      return Error(ErrorCode::Invalid, fmt::format("image: two files are named \"{}\"", name));
    image.files.push_back({name, layer});
  }
  TRY(check_clashes(names));
  if (image.files.empty() && image.archives.empty())
    return Error(ErrorCode::Invalid, "the image holds no files (no layer names one)");
  image.form = model ? ImageForm::ModelPack : named ? ImageForm::Artifact : ImageForm::Container;
  image.manifest = std::move(manifest);
  return image;
}

base::Result<Image> inspect_image(const base::Context& ctx, RegistryClient& client,
                                  const Reference& ref) {
  Reference current = ref;
  for (int depth = 0; depth <= kMaxIndexDepth; ++depth) {
    const RawManifest raw = TRY(client.get_manifest(ctx, current));
    AnyManifest decoded = TRY(base::with_context(raw.decode(), ref.text()));
    if (const auto* index = std::get_if<Index>(&decoded)) {
      current = current.with_digest(TRY(base::with_context(choose(*index), ref.text())).digest);
      continue;
    }
    Image image =
        TRY(base::with_context(classify_image(std::get<Manifest>(std::move(decoded))), ref.text()));
    image.reference = ref.with_digest(raw.digest);
    return image;
  }
  return Error(ErrorCode::Invalid,
               fmt::format("{}: indexes are nested more than {} deep", ref.text(), kMaxIndexDepth));
}

base::Result<PulledImage> pull_image(const base::Context& ctx, RegistryClient& client,
                                     const Reference& ref, const std::filesystem::path& destination,
                                     const PullOptions& options, const ProgressCallback& progress) {
  Image image = TRY(inspect_image(ctx, client, ref));
  return pull_image(ctx, client, std::move(image), destination, options, progress);
}

base::Result<PulledImage> pull_image(const base::Context& ctx, RegistryClient& client, Image image,
                                     const std::filesystem::path& destination,
                                     const PullOptions& options, const ProgressCallback& progress) {
  return Pull(ctx, client, destination, options, progress).run(std::move(image));
}

}  // namespace oci

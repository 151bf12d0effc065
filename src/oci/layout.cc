#include "oci/layout.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/file.h"
#include "oci/disk.h"
#include "oci/failure.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {
constexpr std::string_view kLayoutVersion = "1.0.0";
constexpr mode_t kFileMode = 0644;
constexpr mode_t kBlobMode = 0444;
}  // namespace

base::Result<Layout> Layout::open_or_create(std::filesystem::path root) {
  TRY(make_directories(root / "blobs" / "sha256"));
  const auto marker = root / "oci-layout";
  const auto text = base::read_file(marker, kMaxManifestBytes);
  Layout layout(std::move(root));
  if (!text) {
    if (text.error().code() != ErrorCode::NotFound) return text.error();
    const json::Object fresh{{"imageLayoutVersion", kLayoutVersion}};
    TRY(base::write_file_atomic(marker, json::dump(fresh), kFileMode, base::Durability::Synced));
  } else {
    const auto document = TRY(base::with_context(json::parse(*text), marker.string()));
    if (const auto version = json::find_string(document, "imageLayoutVersion");
        version != kLayoutVersion) {
      return Error(ErrorCode::Invalid,
                   fmt::format("{}: imageLayoutVersion is \"{}\", only {} is supported",
                               marker.string(), version, kLayoutVersion));
    }
  }
  const auto index = layout.read_index();
  if (!index && index.error().code() == ErrorCode::NotFound) {
    TRY(layout.write_index(Index{}));
  } else if (!index) {
    return index.error();
  }
  return layout;
}

base::Result<std::uint64_t> Layout::blob_size(const Digest& digest) const {
  struct stat info{};
  if (::stat(blob_path(digest).c_str(), &info) != 0)
    return base::system_error(fmt::format("blob {}", digest.text()), errno);
  return static_cast<std::uint64_t>(info.st_size);
}

base::Result<std::string> Layout::read_blob(const Digest& digest, std::size_t limit_bytes) const {
  return base::read_file(blob_path(digest), limit_bytes);
}

base::Result<Digest> Layout::write_blob(std::string_view bytes) const {
  Digest digest = Digest::of(bytes);
  if (const auto size = blob_size(digest); size && *size == bytes.size()) return digest;
  TRY(base::write_file_atomic(blob_path(digest), bytes, kBlobMode, base::Durability::Synced));
  TRY(sync_directory(blob_path(digest).parent_path()));
  return digest;
}

std::vector<Digest> Layout::list_blobs() const {
  std::vector<Digest> blobs;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(root_ / "blobs" / "sha256", error), end;
       !error && entry != end; entry.increment(error)) {
    if (auto digest = Digest::from_hex(entry->path().filename().string()))
      blobs.push_back(*std::move(digest));
  }
  return blobs;
}

base::Result<Index> Layout::read_index() const {
  const auto path = root_ / "index.json";
  const std::string text = TRY(base::read_file(path, kMaxIndexFileBytes));
  const auto document = TRY(base::with_context(
      json::parse(text, {.max_depth = 32, .max_bytes = kMaxIndexFileBytes}), path.string()));
  return base::with_context(json::decode<Index>(document), path.string());
}

Status Layout::write_index(const Index& index) const {
  Index typed = index;
  typed.media_type = media_type::kOciIndex;
  TRY(base::write_file_atomic(root_ / "index.json", json::dump(json::encode(typed)), kFileMode,
                              base::Durability::Synced));
  return sync_directory(root_);
}

}  // namespace oci

#pragma once

#include <filesystem>
#include <vector>

#include "base/result.h"
#include "oci/manifest.h"

namespace oci {

/// An OCI image layout folder (`oci-layout`, `index.json`, `blobs/sha256/`) as other tools read it.
/// It holds no state: callers order their writes of the index. Safe to use from many threads.
class Layout {
 public:
  /// Opens the folder, or makes an empty layout of it. Errors: Invalid for a layout of another
  /// version or an unreadable index, Forbidden, `disk_full`.
  static base::Result<Layout> open_or_create(std::filesystem::path root);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path blob_path(const Digest& digest) const {
    return root_ / "blobs" / "sha256" / digest.hex();
  }
  /// Size of the blob. Errors: NotFound.
  base::Result<std::uint64_t> blob_size(const Digest& digest) const;
  /// Errors: NotFound, Invalid when larger than `limit_bytes`.
  base::Result<std::string> read_blob(const Digest& digest, std::size_t limit_bytes) const;
  /// Stores a small blob durably; nothing happens when it is there.
  base::Result<Digest> write_blob(std::string_view bytes) const;
  std::vector<Digest> list_blobs() const;

  base::Result<Index> read_index() const;
  /// Replaces index.json in one step, durably.
  base::Status write_index(const Index& index) const;

 private:
  explicit Layout(std::filesystem::path root) : root_(std::move(root)) {}
  std::filesystem::path root_;
};

}  // namespace oci

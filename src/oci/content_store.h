#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "oci/manifest.h"
#include "oci/progress.h"

namespace oci {

/// The blobs of a node, one copy each, shared by every process of it: `ROOT/blobs/sha256/HEX`.
///
/// A blob under its own name is whole and verified. A download grows in `HEX.partial`, whose flock
/// its downloader holds: others wait and then find the blob, or go on where a killed one stopped.
/// Safe to use from many threads and processes. Blobs are read-only files.
class ContentStore {
 public:
  struct Options {
    std::filesystem::path root;
    /// Free bytes below a path; tests make disks small with it. Empty asks the system.
    std::function<base::Result<std::uint64_t>(const std::filesystem::path&)> available_bytes;
    /// Whether a blob is on the disk, and not only in memory, when it gets its name.
    base::Durability durability = base::Durability::Synced;
  };

  /// Creates the folders. Errors: Forbidden, `disk_full`.
  static base::Result<ContentStore> open(Options options);

  const std::filesystem::path& root() const { return options_.root; }
  /// Where the blob is or would be.
  std::filesystem::path path_of(const Digest& digest) const;
  /// Whether the blob is here, whole.
  bool contains(const Descriptor& blob) const;
  /// Bytes still to be downloaded for `blob`; 0 when it is here.
  std::uint64_t missing_bytes(const Descriptor& blob) const;

  /// Errors: `disk_full` when `bytes` more do not fit, naming both figures.
  base::Status check_space(std::uint64_t bytes) const;

  /// Calls `take` with the blob's bytes from `offset` on, in order.
  using Take = std::function<base::Status(std::string_view bytes)>;
  using Fetch = std::function<base::Status(std::uint64_t offset, const Take& take)>;
  /// Makes sure that the blob is here and returns its path; `fetch` is called by at most one caller
  /// at a time over all processes, and not at all when the blob is here. Errors: those of `fetch`
  /// (what arrived so far is kept), `digest_mismatch` (nothing is kept), `disk_full`, Cancelled and
  /// Timeout while waiting.
  base::Result<std::filesystem::path> ensure(const base::Context& ctx, const Descriptor& blob,
                                             const Fetch& fetch, const ProgressCallback& progress);

  struct CollectOptions {
    std::uint64_t max_bytes = 0;  ///< The longest unused go until no more is left; 0 is no limit.
    std::chrono::seconds max_age{0};   ///< Unused for this long goes in any case; 0 is no limit.
    std::chrono::seconds min_age{60};  ///< Used more recently than this stays in any case.
    std::chrono::seconds partial_age{std::chrono::hours(24)};  ///< Of broken-off downloads.
    bool dry_run = false;
  };
  struct Collected {
    std::uint64_t removed = 0;
    std::uint64_t removed_bytes = 0;
    std::uint64_t kept = 0;
    std::uint64_t kept_bytes = 0;
  };
  /// Removes blobs that nothing uses: no other hard link to them, no process of this machine that
  /// has them mapped or locked (flock), no pull at work. Waits for pulls that are between finding a
  /// blob and placing it. Safe at any time and against being killed. Errors: Forbidden, Cancelled,
  /// Timeout.
  base::Result<Collected> collect(const base::Context& ctx, const CollectOptions& options) const;

  /// Held while blobs are found and placed; `collect` removes nothing meanwhile. Cheap; many may
  /// hold it. It ends with the value or the process.
  base::Result<base::UniqueFd> hold(const base::Context& ctx) const;

 private:
  explicit ContentStore(Options options) : options_(std::move(options)) {}
  std::filesystem::path partial_of(const Digest& digest) const;

  Options options_;
};

}  // namespace oci

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "oci/limits.h"
#include "oci/progress.h"

namespace oci {

/// One layer of an image: a tar archive, plain or compressed with gzip or zstd.
struct LayerFile {
  std::filesystem::path path;
  std::string name;  ///< For messages: its digest.
};

struct UnpackOptions {
  /// Folders of the image in order of preference, such as `data` or `workspace/llama/*/weights`
  /// (`*` is any one name): the first that holds something is landed and nothing else is. Empty
  /// lands the whole image.
  std::vector<std::string> folders;
  std::uint64_t max_bytes = kMaxUnpackedBytes;  ///< Of all files, with their holes.
  std::uint64_t max_entries = kMaxUnpackedEntries;
};

struct Unpacked {
  std::filesystem::path folder;  ///< What was landed: `root` or the chosen folder below it.
  std::uint64_t files = 0;       ///< Written; one that a later layer removed counts too.
  std::uint64_t bytes = 0;
};

/// Applies the layers to the empty folder `root`, the first one lowest, with whiteouts and opaque
/// folders as the OCI image specification says. Nothing is written outside `root` and no link that
/// leads out of the landed folder stays: names with `..`, ways through links, links that lead out,
/// devices and pipes are refused; setuid bits and owners are dropped; absolute names and links are
/// taken from the image's root. Sizes, counts and expansion are bounded. Whoever dies here leaves
/// a half-filled `root`: callers unpack aside and rename (see `pull_image`).
///
/// Progress is in bytes of the layer files. Errors: Invalid, naming layer and entry; NotFound when
/// none of the folders is there, saying what is; `disk_full`; Cancelled.
base::Result<Unpacked> unpack_layers(const base::Context& ctx, const std::vector<LayerFile>& layers,
                                     const std::filesystem::path& root,
                                     const UnpackOptions& options,
                                     const ProgressCallback& progress);

}  // namespace oci

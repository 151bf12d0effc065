#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/context.h"
#include "base/result.h"
#include "oci/digest.h"

namespace oci {

enum class Compression { None, Gzip, Zstd };

/// Writes a layer: a tar archive of root's files of 1970, compressed, so that the same files give
/// the same bytes. One thread.
class TarWriter {
 public:
  /// Writes to `fd`, which stays the caller's.
  static base::Result<TarWriter> create(int fd, Compression compression);

  base::Status add_folder(const std::string& path);
  /// `report` gets the bytes taken so far from `file`. Errors: Invalid when the file changes.
  base::Status add_file(const base::Context& ctx, const std::string& path,
                        const std::filesystem::path& file,
                        const std::function<void(std::uint64_t)>& report);

  struct Written {
    Digest plain;   ///< Of the archive before compression: a config's `diff_ids`.
    Digest packed;  ///< Of what was written.
    std::uint64_t packed_bytes = 0;
  };
  /// Ends the archive. Nothing may follow.
  base::Result<Written> finish();

 private:
  struct State;
  explicit TarWriter(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace oci

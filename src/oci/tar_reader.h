#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"

namespace oci {

enum class TarEntryKind { File, Folder, SymbolicLink, HardLink, Other };

struct TarEntry {
  std::string path;  ///< As the archive says: not to be trusted.
  TarEntryKind kind = TarEntryKind::Other;
  std::uint64_t size = 0;  ///< With its holes, when it is sparse.
  mode_t mode = 0;
  std::string link;  ///< Target of a link.
};

/// Reads a tar archive, plain or compressed with gzip or zstd, from front to end. It bounds what
/// the archive may grow to by kMaxExpansion, however little of it the caller takes. One thread.
class TarReader {
 public:
  /// Errors: NotFound, Forbidden, Invalid when the file is no such archive.
  static base::Result<TarReader> open(const std::filesystem::path& file);

  /// Goes to the next entry; false at the end. Errors: Invalid for a broken archive, for a name
  /// that is not UTF-8 and for a bomb; Cancelled.
  base::Result<bool> next(const base::Context& ctx, TarEntry& entry);

  /// The bytes of the current entry; what is left out between two calls is a hole.
  using Take = std::function<base::Status(std::uint64_t offset, std::string_view bytes)>;
  base::Status read(const base::Context& ctx, const Take& take);
  /// Passes over the bytes of the current entry.
  base::Status skip(const base::Context& ctx);

  /// Bytes of the file that were read so far.
  std::uint64_t consumed_bytes() const;

 private:
  struct State;
  explicit TarReader(std::shared_ptr<State> state) : state_(std::move(state)) {}
  base::Status check_expansion() const;
  base::Error failure(int code, std::string_view what) const;

  std::shared_ptr<State> state_;
};

}  // namespace oci

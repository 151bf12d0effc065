#include "oci/hash_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/file.h"
#include "base/sha256.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;

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

}  // namespace oci

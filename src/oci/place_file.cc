#include "oci/place_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/random.h"
#include "oci/failure.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr mode_t kFolderMode = 0755;
constexpr mode_t kFileMode = 0444;
constexpr std::size_t kCopyStepBytes = 16 << 20;

/// Opens the folder that `relative` lies in, making the missing ones; never follows a link.
base::Result<base::UniqueFd> open_parent(const std::filesystem::path& destination,
                                         std::string_view& relative) {
  base::UniqueFd folder(::open(destination.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return base::system_error(fmt::format("opening {}", destination.string()), errno);
  for (auto slash = relative.find('/'); slash != std::string_view::npos;
       slash = relative.find('/')) {
    const std::string name(relative.substr(0, slash));
    relative.remove_prefix(slash + 1);
    if (::mkdirat(folder.get(), name.c_str(), kFolderMode) != 0 && errno != EEXIST)
      return file_error(fmt::format("creating {}", name), errno);
    base::UniqueFd next(
        ::openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next)
      return Error(ErrorCode::Invalid,
                   fmt::format("{} in {} is not a folder", name, destination.string()));
    folder = std::move(next);
  }
  return folder;
}

Status copy_content(const base::Context& ctx, int from, int to, std::string_view what) {
  for (;;) {
    TRY(ctx.check());
    const auto copied = ::copy_file_range(from, nullptr, to, nullptr, kCopyStepBytes, 0);
    if (copied == 0) return {};
    if (copied > 0 || errno == EINTR) continue;
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
      return file_error(what, errno);
    break;
  }
  // The kernel does not copy between these file systems by itself.
  std::string buffer(kCopyBufferBytes, '\0');
  for (;;) {
    TRY(ctx.check());
    const auto got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::system_error(what, errno);
    if (got == 0) return {};
    std::string_view rest(buffer.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const auto written = ::write(to, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return file_error(what, errno);
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
  }
}

bool reflink(int from, int folder, const std::string& name) {
  const base::UniqueFd to(
      ::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (to && ::ioctl(to.get(), FICLONE, from) == 0) return true;
  if (to) ::unlinkat(folder, name.c_str(), 0);
  return false;
}

/// Fills `name` in `folder` anew; the caller removes it on failure.
base::Result<Placement> fill(const base::Context& ctx, const std::filesystem::path& source,
                             int folder, const std::string& name, SymbolicLinks links) {
  if (::linkat(AT_FDCWD, source.c_str(), folder, name.c_str(), 0) == 0) return Placement::HardLink;
  const std::string what = fmt::format("placing {}", source.string());
  const base::UniqueFd from(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
  if (!from) return base::system_error(what, errno);
  if (reflink(from.get(), folder, name)) return Placement::Reflink;
  // Two mounts of one file system are not linked either: a pod's volumes always come to here.
  const auto absolute = std::filesystem::absolute(source);
  if (links == SymbolicLinks::Allowed && ::symlinkat(absolute.c_str(), folder, name.c_str()) == 0)
    return Placement::SymbolicLink;
  const base::UniqueFd to(
      ::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (!to) return file_error(what, errno);
  TRY(copy_content(ctx, from.get(), to.get(), what));
  return Placement::Copy;
}

}  // namespace

base::Result<Placement> place_file(const base::Context& ctx, const std::filesystem::path& source,
                                   const std::filesystem::path& destination,
                                   std::string_view relative, SymbolicLinks links) {
  const base::UniqueFd folder = TRY(open_parent(destination, relative));
  const std::string name(relative);
  struct stat wanted{};
  struct stat found{};
  if (::stat(source.c_str(), &wanted) == 0 &&
      ::fstatat(folder.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
      wanted.st_ino == found.st_ino && wanted.st_dev == found.st_dev) {
    return Placement::HardLink;  // Here already; rename would leave the second name behind.
  }
  const std::string temporary = fmt::format(".{}.tmp", base::random_name_suffix(10));
  auto filled = fill(ctx, source, folder.get(), temporary, links);
  if (filled && ::renameat(folder.get(), temporary.c_str(), folder.get(), name.c_str()) != 0) {
    filled = file_error(fmt::format("placing {}", name), errno);
  }
  if (!filled) ::unlinkat(folder.get(), temporary.c_str(), 0);
  return filled;
}

}  // namespace oci

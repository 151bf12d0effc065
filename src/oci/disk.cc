#include "oci/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "oci/failure.h"

namespace oci {

using base::Status;

namespace {
constexpr mode_t kBlobMode = 0444;  // Blobs are shared by hard links: nobody may write to one.
}

base::Result<std::uint64_t> available_bytes(const std::filesystem::path& path) {
  struct statvfs info{};
  if (::statvfs(path.c_str(), &info) != 0)
    return base::system_error(fmt::format("asking for the free space of {}", path.string()), errno);
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

Status sync_directory(const std::filesystem::path& directory) {
  const base::UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0)
    return base::system_error(fmt::format("syncing {}", directory.string()), errno);
  return {};
}

Status publish(int fd, const std::filesystem::path& temporary, const std::filesystem::path& target,
               base::Durability durability) {
  const bool synced = durability == base::Durability::Synced;
  if (::fchmod(fd, kBlobMode) != 0 || (synced && ::fsync(fd) != 0) ||
      ::rename(temporary.c_str(), target.c_str()) != 0) {
    return file_error(fmt::format("storing {}", target.string()), errno);
  }
  return synced ? sync_directory(target.parent_path()) : Status();
}

Status make_directories(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    return file_error(fmt::format("creating the folder {}", directory.string()), error.value());
  return {};
}

}  // namespace oci

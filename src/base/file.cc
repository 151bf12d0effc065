#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/random.h"

namespace base {

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit_bytes) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return system_error(fmt::format("reading {}", path.string()), errno);
  std::string content;
  constexpr std::size_t kChunk = 64 << 10;
  for (;;) {
    const std::size_t before = content.size();
    if (before > limit_bytes) {
      return Error(ErrorCode::Invalid,
                   fmt::format("{} is larger than {} bytes", path.string(), limit_bytes));
    }
    content.resize(before + kChunk);
    const auto got = ::read(file.get(), content.data() + before, kChunk);
    content.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(fmt::format("reading {}", path.string()), errno);
    if (got == 0) return content;
  }
}

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_error("writing", errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status write_file_atomic(const std::filesystem::path& path, std::string_view content, mode_t mode,
                         Durability durability) {
  const std::string temporary = fmt::format("{}.{}.tmp", path.string(), random_name_suffix(6));
  UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!file) return system_error(fmt::format("writing {}", path.string()), errno);
  Status written = write_all(file.get(), content);
  if (written && durability == Durability::Synced && ::fsync(file.get()) != 0) {
    written = system_error("syncing", errno);
  }
  if (written && ::fchmod(file.get(), mode) != 0) written = system_error("setting the mode", errno);
  file.reset();
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0)
    written = system_error("renaming", errno);
  if (!written) {
    ::unlink(temporary.c_str());
    return std::move(written).error().context(fmt::format("writing {}", path.string()));
  }
  return {};
}

}  // namespace base

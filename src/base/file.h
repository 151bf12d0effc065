#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

/// Owns a file descriptor; -1 means none.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_;
};

/// The whole file. Errors: NotFound, Forbidden, Invalid when it is larger than `limit_bytes`.
Result<std::string> read_file(const std::filesystem::path& path,
                              std::size_t limit_bytes = 64 << 20);

enum class Durability { Cached, Synced };
/// Replaces `path` in one step (temporary file, rename); with Synced the data is on disk first.
Status write_file_atomic(const std::filesystem::path& path, std::string_view content, mode_t mode,
                         Durability durability = Durability::Cached);

/// Writes all of `bytes` to `fd`, continuing after short writes and signals.
Status write_all(int fd, std::string_view bytes);

}  // namespace base

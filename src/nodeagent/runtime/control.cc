#include "nodeagent/runtime/control.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>

#include "nodeagent/limits.h"

namespace nodeagent {

base::Status send_text(int fd, std::string_view text) {
  if (text.size() > kMaxControlMessageBytes) {
    return base::Error(
        base::ErrorCode::Invalid,
        fmt::format("message of {} bytes is larger than {}", text.size(), kMaxControlMessageBytes));
  }
  while (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    return base::Error(base::ErrorCode::Unavailable,
                       "the other side of the container's control socket is gone");
  }
  return {};
}

base::Result<std::string> receive_text(int fd) {
  std::string buffer(kMaxControlMessageBytes, '\0');
  while (true) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ECONNRESET) return std::string();
    if (got < 0) return base::system_error("reading the container's control socket", errno);
    buffer.resize(static_cast<std::size_t>(got));
    return buffer;
  }
}

}  // namespace nodeagent

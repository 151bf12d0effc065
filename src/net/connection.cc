#include "net/connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace net {
namespace {

using base::Error;
using base::ErrorCode;
using base::Status;

constexpr std::size_t kFileChunkBytes = 256 << 10;
constexpr std::size_t kMaxTlsWriteBytes = 64 << 10;

int milliseconds_until(base::SteadyTime deadline) {
  if (deadline == base::SteadyTime::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 1'000'000'000));
}

base::SteadyTime from_now(std::chrono::milliseconds wait) { return std::chrono::steady_clock::now() + wait; }

}  // namespace

Connection::Connection(base::UniqueFd fd, int wake_fd) : fd_(std::move(fd)), wake_fd_(wake_fd) {
  ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
}

Connection::~Connection() { ::SSL_free(ssl_); }

Status Connection::wait(Want want, base::SteadyTime deadline) const {
  pollfd fds[2] = {{fd_.get(), static_cast<short>(want == Want::Read ? POLLIN : POLLOUT), 0}, {wake_fd_, POLLIN, 0}};
  for (;;) {
    const int ready = ::poll(fds, 2, milliseconds_until(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return base::system_error("waiting for the connection", errno);
    if (fds[1].revents != 0) return Error(ErrorCode::Cancelled, "the server is stopping");
    if (ready == 0) return Error(ErrorCode::Timeout, "the client is too slow").with_http_status(408);
    return {};
  }
}

base::Result<Connection::Want> Connection::tls_want(int result) const {
  switch (::SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return Want::Read;
    case SSL_ERROR_WANT_WRITE: return Want::Write;
    default: ::ERR_clear_error(); return Error(ErrorCode::Cancelled, "the TLS connection broke");
  }
}

Status Connection::accept_tls(const TlsServerConfig& config, base::SteadyTime deadline) {
  ssl_ = ::SSL_new(config.native());
  if (!ssl_ || ::SSL_set_fd(ssl_, fd_.get()) != 1) return Error(ErrorCode::Internal, "starting TLS");
  for (;;) {
    ::ERR_clear_error();
    const int result = ::SSL_accept(ssl_);
    if (result == 1) return {};
    const auto want = tls_want(result);
    if (!want) return Error(ErrorCode::Unauthorized, "the TLS handshake failed");
    TRY(wait(*want, deadline));
  }
}

base::Result<std::size_t> Connection::read_some(std::span<char> buffer, base::SteadyTime deadline) {
  for (;;) {
    Want want = Want::Read;
    if (ssl_) {
      ::ERR_clear_error();
      const int got = ::SSL_read(ssl_, buffer.data(), static_cast<int>(std::min<std::size_t>(buffer.size(), 1 << 30)));
      if (got > 0) return static_cast<std::size_t>(got);
      const int reason = ::SSL_get_error(ssl_, got);
      if (reason == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
      want = TRY(tls_want(got));
    } else {
      const auto got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Error(ErrorCode::Cancelled, "the client vanished");
    }
    TRY(wait(want, deadline));
  }
}

Status Connection::write_all(std::string_view bytes, std::chrono::milliseconds progress) {
  while (!bytes.empty()) {
    Want want = Want::Write;
    if (ssl_) {
      ::ERR_clear_error();
      const int sent = ::SSL_write(ssl_, bytes.data(), static_cast<int>(std::min(bytes.size(), kMaxTlsWriteBytes)));
      if (sent > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
        continue;
      }
      want = TRY(tls_want(sent));
    } else {
      const auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Error(ErrorCode::Cancelled, "the client vanished");
    }
    TRY(wait(want, from_now(progress)));
  }
  return {};
}

Status Connection::send_file(int file, std::uint64_t offset, std::uint64_t length, std::chrono::milliseconds progress) {
  std::vector<char> chunk(ssl_ ? kFileChunkBytes : 0);
  auto position = static_cast<off_t>(offset);
  while (length > 0) {
    const std::size_t step = static_cast<std::size_t>(std::min<std::uint64_t>(length, ssl_ ? kFileChunkBytes : 16 << 20));
    if (ssl_) {
      const auto got = ::pread(file, chunk.data(), step, position);
      if (got <= 0) return Error(ErrorCode::Internal, "the file became shorter while it was sent");
      TRY(write_all({chunk.data(), static_cast<std::size_t>(got)}, progress));
      position += got;
      length -= static_cast<std::uint64_t>(got);
      continue;
    }
    const auto sent = ::sendfile(fd_.get(), file, &position, step);
    if (sent > 0) {
      length -= static_cast<std::uint64_t>(sent);
    } else if (sent == 0) {
      return Error(ErrorCode::Internal, "the file became shorter while it was sent");
    } else if (errno == EAGAIN) {
      TRY(wait(Want::Write, from_now(progress)));
    } else if (errno != EINTR) {
      return Error(ErrorCode::Cancelled, "the client vanished");
    }
  }
  return {};
}

bool Connection::peer_gone() const {
  pollfd fd{fd_.get(), POLLIN | POLLRDHUP, 0};
  if (::poll(&fd, 1, 0) <= 0) return false;
  return (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

std::string Connection::client_common_name() const {
  if (!ssl_) return {};
  X509* certificate = ::SSL_get0_peer_certificate(ssl_);
  if (!certificate || ::SSL_get_verify_result(ssl_) != X509_V_OK) return {};
  std::string name(256, '\0');
  const int length = ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate), NID_commonName, name.data(), static_cast<int>(name.size()));
  name.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return name;
}

std::string Connection::peer_address() const {
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &size) != 0 || peer.sin_family != AF_INET) return {};
  char text[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &peer.sin_addr, text, sizeof text);
  return fmt::format("{}:{}", text, ntohs(peer.sin_port));
}

void Connection::finish() {
  if (ssl_) {
    ::ERR_clear_error();
    ::SSL_shutdown(ssl_);
  }
  ::shutdown(fd_.get(), SHUT_WR);
  // Closing with unread input would reset the connection and take the answer with it.
  constexpr auto kLinger = std::chrono::milliseconds(200);
  const auto deadline = from_now(kLinger);
  char scratch[4096];
  for (int i = 0; i < 64; ++i) {
    const auto got = ::recv(fd_.get(), scratch, sizeof scratch, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return;
    if (got < 0 && !wait(Want::Read, deadline)) return;
  }
}

}  // namespace net

#include "net/stream.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <optional>
#include <vector>

#include "net/tls_error.h"

namespace net {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;
using base::SteadyTime;

constexpr std::size_t kMaxParts = 4;
/// Parts up to this size travel in one TLS record, which holds 16 KiB.
constexpr std::size_t kJoinBytes = 16 << 10;
constexpr std::size_t kCopyBytes = 128 << 10;
constexpr std::size_t kSendFileBytes = 1 << 20;

Error peer_gone() { return Error(ErrorCode::Cancelled, "the client closed the connection"); }

/// Milliseconds for poll(2), rounded up.
int poll_timeout(SteadyTime deadline) {
  if (deadline == SteadyTime::max()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<long long>(left.count(), 0, INT_MAX));
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// A BIO on the socket of our own: OpenSSL's would raise SIGPIPE, which is not ours to ignore.

int bio_fd(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const auto sent =
      ::send(bio_fd(bio), data, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && (would_block(errno) || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int bio_read(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  const auto got = ::recv(bio_fd(bio), data, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (got < 0 && (would_block(errno) || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

/// Keeps SIGPIPE from the process while sendfile(2) runs, which has no MSG_NOSIGNAL. The signal is
/// directed at the thread, so taking it back before unblocking loses nobody else's.
class SigpipeGuard {
 public:
  SigpipeGuard() {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~SigpipeGuard() {
    const timespec none{};
    while (::sigtimedwait(&set_, nullptr, &none) < 0 && errno == EINTR) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeGuard(const SigpipeGuard&) = delete;
  SigpipeGuard& operator=(const SigpipeGuard&) = delete;

 private:
  sigset_t set_{};
  sigset_t before_{};
};

struct BioMethodDeleter {
  void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};

const BIO_METHOD* socket_bio_method() {
  static const std::unique_ptr<BIO_METHOD, BioMethodDeleter> method([] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "net::Stream");
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    BIO_meth_set_create(made, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return made;
  }());
  return method.get();
}

}  // namespace

Result<Event> Event::create() {
  base::UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return base::system_error("creating an eventfd", errno);
  return Event(std::move(fd));
}

void Event::signal() const {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then it is signalled already.
  [[maybe_unused]] const auto written = ::write(fd_.get(), &one, sizeof one);
}

void Event::clear() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(fd_.get(), &count, sizeof count);
}

Stream::Stream(base::UniqueFd socket, const Event& stop_event)
    : socket_(std::move(socket)), stop_event_(stop_event) {}

Stream::~Stream() { SSL_free(ssl_); }

Status Stream::wait(short events, SteadyTime deadline, const Event* other) {
  std::array<pollfd, 3> polled{{{socket_.get(), events, 0}, {stop_event_.fd(), POLLIN, 0}, {}}};
  nfds_t count = 2;
  if (other != nullptr) polled[count++] = {other->fd(), POLLIN, 0};
  for (;;) {
    const int ready = ::poll(polled.data(), count, poll_timeout(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return base::system_error("polling a connection", errno);
    if (ready == 0) {
      if (std::chrono::steady_clock::now() < deadline) continue;
      return Error(ErrorCode::Timeout, "the client is too slow");
    }
    if (polled[1].revents != 0) return Error(ErrorCode::Cancelled, "the server is stopping");
    if (polled[0].revents != 0) return {};
    return Error(ErrorCode::Cancelled, "the server is draining");
  }
}

Status Stream::wait_tls(int result, SteadyTime deadline, const Event* other) {
  const int saved_errno = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return wait(POLLIN, deadline, other);
    case SSL_ERROR_WANT_WRITE:
      return wait(POLLOUT, deadline, other);
    case SSL_ERROR_ZERO_RETURN:
      return peer_gone();
    case SSL_ERROR_SYSCALL:
      broken_ = true;
      if (saved_errno == 0 || saved_errno == ECONNRESET || saved_errno == EPIPE) return peer_gone();
      return Error(ErrorCode::Cancelled,
                   base::system_error("the connection broke", saved_errno).message());
    default:
      broken_ = true;
      return Error(ErrorCode::Invalid, take_tls_error("TLS failed"));
  }
}

Status Stream::accept_tls(ssl_ctx_st* context, SteadyTime deadline, const Event* other) {
  ssl_ = SSL_new(context);
  if (ssl_ == nullptr) return Error(ErrorCode::Internal, take_tls_error("starting TLS"));
  BIO* bio = BIO_new(socket_bio_method());
  if (bio == nullptr) return Error(ErrorCode::Internal, take_tls_error("starting TLS"));
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(socket_.get())));
  SSL_set_bio(ssl_, bio, bio);
  for (;;) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_accept(ssl_);
    if (result == 1) return {};
    TRY(wait_tls(result, deadline, other));
  }
}

std::string Stream::peer_common_name() const {
  if (ssl_ == nullptr || SSL_get_verify_result(ssl_) != X509_V_OK) return {};
  X509* certificate = SSL_get0_peer_certificate(ssl_);
  if (certificate == nullptr) return {};
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0) return {};
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  // A name with a NUL inside is an attempt to look like another one.
  return name.find('\0') == std::string::npos ? name : std::string();
}

Result<std::size_t> Stream::read_some_or(std::span<char> buffer, SteadyTime deadline,
                                         const Event* other) {
  return ssl_ != nullptr ? read_tls(buffer, deadline, other) : read_plain(buffer, deadline, other);
}

Result<std::size_t> Stream::read_plain(std::span<char> buffer, SteadyTime deadline,
                                       const Event* other) {
  for (;;) {
    const auto got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno == EINTR) continue;
    if (!would_block(errno)) {
      broken_ = true;
      return peer_gone();
    }
    TRY(wait(POLLIN, deadline, other));
  }
}

Result<std::size_t> Stream::read_tls(std::span<char> buffer, SteadyTime deadline,
                                     const Event* other) {
  for (;;) {
    ERR_clear_error();
    errno = 0;
    std::size_t got = 0;
    const int result = SSL_read_ex(ssl_, buffer.data(), buffer.size(), &got);
    if (result == 1) return got;
    if (SSL_get_error(ssl_, result) == SSL_ERROR_ZERO_RETURN) return 0;
    TRY(wait_tls(result, deadline, other));
  }
}

Status Stream::write_all(std::initializer_list<std::string_view> parts,
                         std::chrono::milliseconds progress_timeout) {
  if (broken_) return peer_gone();
  if (ssl_ == nullptr) return write_plain(parts, progress_timeout);
  std::size_t total = 0;
  for (const std::string_view part : parts) total += part.size();
  if (parts.size() > 1 && total <= kJoinBytes) {
    std::string joined;
    joined.reserve(total);
    for (const std::string_view part : parts) joined.append(part);
    return write_tls(joined, progress_timeout);
  }
  for (const std::string_view part : parts) TRY(write_tls(part, progress_timeout));
  return {};
}

Status Stream::write_plain(std::initializer_list<std::string_view> parts,
                           std::chrono::milliseconds progress_timeout) {
  std::array<iovec, kMaxParts> vectors{};
  std::size_t count = 0;
  for (const std::string_view part : parts) {
    if (!part.empty()) vectors[count++] = {const_cast<char*>(part.data()), part.size()};
  }
  std::size_t first = 0;
  std::optional<SteadyTime> deadline;
  while (first < count) {
    msghdr message{};
    message.msg_iov = &vectors[first];
    message.msg_iovlen = count - first;
    const auto sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (!would_block(errno)) {
        broken_ = true;
        return peer_gone();
      }
      if (!deadline) deadline = std::chrono::steady_clock::now() + progress_timeout;
      TRY(wait(POLLOUT, *deadline, nullptr));
      continue;
    }
    deadline.reset();
    auto left = static_cast<std::size_t>(sent);
    while (first < count && left >= vectors[first].iov_len) left -= vectors[first++].iov_len;
    if (first < count) {
      vectors[first].iov_base = static_cast<char*>(vectors[first].iov_base) + left;
      vectors[first].iov_len -= left;
    }
  }
  return {};
}

Status Stream::write_tls(std::string_view bytes, std::chrono::milliseconds progress_timeout) {
  while (!bytes.empty()) {
    ERR_clear_error();
    errno = 0;
    std::size_t written = 0;
    const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written);
    if (result == 1) {
      bytes.remove_prefix(written);
      continue;
    }
    TRY(wait_tls(result, std::chrono::steady_clock::now() + progress_timeout, nullptr));
  }
  return {};
}

Status Stream::write_file(int file, std::uint64_t offset, std::uint64_t length,
                          std::chrono::milliseconds progress_timeout) {
  if (broken_) return peer_gone();
  return ssl_ != nullptr ? copy_file(file, offset, length, progress_timeout)
                         : send_file_plain(file, offset, length, progress_timeout);
}

Status Stream::send_file_plain(int file, std::uint64_t offset, std::uint64_t length,
                               std::chrono::milliseconds progress_timeout) {
  const SigpipeGuard guard;
  auto position = static_cast<off_t>(offset);
  while (length > 0) {
    const auto sent =
        ::sendfile(socket_.get(), file, &position, std::min<std::uint64_t>(length, kSendFileBytes));
    if (sent > 0) {
      length -= static_cast<std::uint64_t>(sent);
      continue;
    }
    if (sent == 0) return Error(ErrorCode::Internal, "the file became shorter while it was sent");
    if (errno == EINTR) continue;
    // Some file systems do not know sendfile.
    if (errno == EINVAL || errno == ENOSYS)
      return copy_file(file, static_cast<std::uint64_t>(position), length, progress_timeout);
    if (!would_block(errno)) {
      broken_ = true;
      return peer_gone();
    }
    TRY(wait(POLLOUT, std::chrono::steady_clock::now() + progress_timeout, nullptr));
  }
  return {};
}

Status Stream::copy_file(int file, std::uint64_t offset, std::uint64_t length,
                         std::chrono::milliseconds progress_timeout) {
  std::vector<char> buffer(std::min<std::uint64_t>(length, kCopyBytes));
  while (length > 0) {
    const auto got = ::pread(file, buffer.data(), std::min<std::uint64_t>(length, buffer.size()),
                             static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::system_error("reading the file", errno);
    if (got == 0) return Error(ErrorCode::Internal, "the file became shorter while it was sent");
    const auto bytes = static_cast<std::size_t>(got);
    TRY(write_all({std::string_view(buffer.data(), bytes)}, progress_timeout));
    offset += bytes;
    length -= bytes;
  }
  return {};
}

Result<bool> Stream::starts_with_tls(SteadyTime deadline, const Event* other) {
  for (;;) {
    unsigned char first = 0;
    const auto got = ::recv(socket_.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    // A TLS record of type handshake, RFC 8446 section 5.1.
    if (got > 0) return first == 0x16;
    if (got == 0) return peer_gone();
    if (errno == EINTR) continue;
    if (!would_block(errno)) return peer_gone();
    TRY(wait(POLLIN, deadline, other));
  }
}

bool Stream::peer_closed() const {
  if (broken_) return true;
  pollfd polled{socket_.get(), POLLRDHUP, 0};
  if (::poll(&polled, 1, 0) <= 0) return false;
  return (polled.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Stream::shut_down_write() {
  if (ssl_ != nullptr && !broken_ && SSL_is_init_finished(ssl_) == 1) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
  }
  ::shutdown(socket_.get(), SHUT_WR);
}

void Stream::reset_on_close() {
  const ::linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void Stream::linger(std::chrono::milliseconds limit) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + limit;
  std::vector<char> dropped(kCopyBytes);
  // Straight from the socket: what it says no longer matters, even under TLS.
  while (std::chrono::steady_clock::now() < deadline) {
    const auto got = read_plain(dropped, deadline, nullptr);
    if (!got || *got == 0) return;
  }
}

}  // namespace net

#include "nodeagent/proxy/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "nodeagent/limits.h"

namespace nodeagent {
namespace {

void set_no_delay(int fd) {
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

}  // namespace

RelayConnection::RelayConnection(base::UniqueFd client, std::vector<SocketAddress> backends,
                                 std::size_t first)
    : client_(std::move(client)), backends_(std::move(backends)), next_(first) {
  set_no_delay(client_.get());
}

void RelayConnection::connect_next() {
  while (tried_ < backends_.size()) {
    const SocketAddress& backend = backends_[next_++ % backends_.size()];
    ++tried_;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(backend.port);
    if (::inet_pton(AF_INET, backend.ip.c_str(), &address.sin_addr) != 1) continue;
    backend_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!backend_) break;
    set_no_delay(backend_.get());
    connect_deadline_ = std::chrono::steady_clock::now() + kProxyConnectTimeout;
    const int done =
        ::connect(backend_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (done == 0 || errno == EINPROGRESS) return;
  }
  reset_client();
}

void RelayConnection::on_connect_result() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(backend_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return connect_next();
  sockaddr_in peer{};
  socklen_t peer_size = sizeof peer;
  if (::getpeername(backend_.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0)
    state_ = State::Open;
}

bool RelayConnection::flush(Direction& direction, int sink) {
  while (direction.sent < direction.waiting.size()) {
    const ssize_t sent = ::send(sink, direction.waiting.data() + direction.sent,
                                direction.waiting.size() - direction.sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      if (errno != EAGAIN) close_all();
      return false;
    }
    direction.sent += static_cast<std::size_t>(sent);
  }
  direction.waiting = std::string();
  direction.sent = 0;
  return true;
}

bool RelayConnection::pump_direction(Direction& direction, int source, int sink,
                                     std::span<char> scratch) {
  constexpr int kMostRounds = 16;
  for (int round = 0; state_ == State::Open && !direction.sink_ended; ++round) {
    if (round == kMostRounds) return true;
    if (!flush(direction, sink)) return false;
    if (direction.source_ended) {
      ::shutdown(sink, SHUT_WR);
      direction.sink_ended = true;
      return false;
    }
    const ssize_t got = ::recv(source, scratch.data(), scratch.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      if (errno != EAGAIN) close_all();
      return false;
    }
    if (got == 0) {
      direction.source_ended = true;
      continue;
    }
    // Straight through; only what the sink does not take now is kept.
    const ssize_t sent = ::send(sink, scratch.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      close_all();
      return false;
    }
    const std::size_t taken = sent > 0 ? static_cast<std::size_t>(sent) : 0;
    direction.waiting.assign(scratch.data() + taken, static_cast<std::size_t>(got) - taken);
  }
  return false;
}

bool RelayConnection::pump(std::span<char> scratch) {
  const bool more_up = pump_direction(up_, client_.get(), backend_.get(), scratch);
  const bool more_down = pump_direction(down_, backend_.get(), client_.get(), scratch);
  if (up_.sink_ended && down_.sink_ended) state_ = State::Closed;
  return more_up || more_down;
}

void RelayConnection::reset_client() {
  const linger abort{1, 0};
  ::setsockopt(client_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  failed_ = true;
  state_ = State::Closed;
}

void RelayConnection::close_all() {
  // A broken side breaks the other: neither learns of bytes that never came.
  const linger abort{1, 0};
  for (const int fd : {client_.get(), backend_.get()}) {
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  }
  state_ = State::Closed;
}

}  // namespace nodeagent

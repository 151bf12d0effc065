#include "nodeagent/proxy/relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <list>
#include <map>
#include <thread>
#include <utility>

#include "base/guarded.h"
#include "nodeagent/limits.h"
#include "nodeagent/proxy/connection.h"

namespace nodeagent {
namespace {

constexpr int kBacklog = 512;
constexpr int kTickMs = 1'000;
constexpr int kMostEvents = 256;
/// One listener may not keep the thread from the connections.
constexpr int kMostAcceptsAtOnce = 64;

base::Result<base::UniqueFd> open_listener(const SocketAddress& at) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(at.port);
  if (::inet_pton(AF_INET, at.ip.c_str(), &address.sin_addr) != 1) {
    return base::Error(base::ErrorCode::Invalid, fmt::format("'{}' is not an IPv4 address", at.ip));
  }
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return base::system_error("opening a socket", errno);
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    const int reason = errno;
    if (reason == EADDRINUSE) {
      return base::Error(base::ErrorCode::AlreadyExists,
                         fmt::format("{} is in use by another program", at.text()));
    }
    return base::system_error("listening on " + at.text(), reason);
  }
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

struct Listener {
  base::UniqueFd fd;
  std::vector<SocketAddress> backends;
  std::size_t next = 0;
};

}  // namespace

class TcpRelay::Loop {
 public:
  explicit Loop(base::Logger log)
      : log_(std::move(log)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        scratch_(kProxyPipeBytes) {
    add(wake_.get(), EPOLLIN);
    thread_ = std::jthread([this](const std::stop_token& stop) {
      const std::stop_callback waker(stop, [this] { wake(); });
      while (!stop.stop_requested()) step();
    });
  }
  ~Loop() {
    thread_.request_stop();
    thread_.join();
  }

  base::Result<std::uint16_t> listen(const SocketAddress& address,
                                     std::vector<SocketAddress> backends) {
    const bool known = listeners_.with([&](auto& listeners) {
      const auto found = listeners.find(address);
      if (found == listeners.end()) return false;
      found->second.backends = std::move(backends);
      return true;
    });
    if (known) return address.port;
    base::UniqueFd fd = TRY(open_listener(address));
    const std::uint16_t port = port_of(fd.get());
    const int raw = fd.get();
    listeners_.with([&](auto& listeners) {
      listeners[{address.ip, port}] = {std::move(fd), std::move(backends), 0};
    });
    add(raw, EPOLLIN);
    return port;
  }

  void close(const SocketAddress& address) {
    // The descriptor leaves epoll when it is closed, outside the lock.
    auto node = listeners_.with([&](auto& listeners) { return listeners.extract(address); });
  }

  Counters counters() const {
    return counters_.with([](const Counters& c) { return c; });
  }

 private:
  void add(int fd, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
  void wake() const {
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }

  void step() {
    std::array<epoll_event, kMostEvents> events{};
    // Whoever had more to move than its turn allows goes on without waiting.
    touched_.swap(unfinished_);
    const int timeout_ms = touched_.empty() ? kTickMs : 0;
    const int count = ::epoll_wait(epoll_.get(), events.data(), kMostEvents, timeout_ms);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (const auto found = by_fd_.find(fd); found != by_fd_.end()) {
        touched_.push_back(found->second);
      } else if (fd != wake_.get()) {
        accept_from(fd);
      }
    }
    for (const Position at : touched_) advance(at);
    touched_.clear();
    if (std::chrono::steady_clock::now() >= next_tick_) tick();
    sweep();
  }

  using Position = std::list<RelayConnection>::iterator;

  void accept_from(int listener_fd) {
    for (int i = 0; i < kMostAcceptsAtOnce; ++i) {
      base::UniqueFd client(::accept4(listener_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!client) {
        if (errno == EMFILE || errno == ENFILE) refuse_one(listener_fd);
        return;
      }
      std::vector<SocketAddress> backends;
      std::size_t first = 0;
      listeners_.with([&](auto& listeners) {
        for (auto& [address, listener] : listeners) {
          if (listener.fd.get() != listener_fd) continue;
          backends = listener.backends;
          first = listener.next++;
        }
      });
      connections_.emplace_back(std::move(client), std::move(backends), first);
      const Position at = std::prev(connections_.end());
      if (connections_.size() > kMaxProxyConnections) {
        at->reset_client();
      } else {
        start(at);
      }
      count([&](Counters& c) { ++c.accepted; });
    }
  }

  /// Without a free descriptor the waiting client could not even be told.
  void refuse_one(int listener_fd) {
    spare_.reset();
    base::UniqueFd client(::accept4(listener_fd, nullptr, nullptr, SOCK_CLOEXEC));
    client.reset();
    spare_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    count([](Counters& c) { ++c.refused; });
    log_.warn("no descriptor left for a connection; raise the limit of open files");
  }

  void start(Position at) {
    at->connect_next();
    if (at->state() == RelayConnection::State::Closed) return;
    watch(at->client_fd(), at);
    watch(at->backend_fd(), at);
  }

  void watch(int fd, Position at) {
    by_fd_.emplace(fd, at);
    add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }

  void advance(Position at) {
    if (at->state() == RelayConnection::State::Connecting) {
      const int before = at->backend_fd();
      at->on_connect_result();
      follow_backend(at, before);
    }
    if (at->state() == RelayConnection::State::Open && at->pump(scratch_))
      unfinished_.push_back(at);
  }

  /// A further attempt has another socket; the old one is closed, and so out of epoll.
  void follow_backend(Position at, int before) {
    if (at->backend_fd() == before) return;
    by_fd_.erase(before);
    if (at->state() == RelayConnection::State::Connecting) watch(at->backend_fd(), at);
  }

  void tick() {
    next_tick_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTickMs);
    for (Position at = connections_.begin(); at != connections_.end(); ++at) {
      if (at->state() != RelayConnection::State::Connecting ||
          at->connect_deadline() > std::chrono::steady_clock::now()) {
        continue;
      }
      const int before = at->backend_fd();
      at->connect_next();
      follow_backend(at, before);
    }
  }

  void sweep() {
    std::size_t failed = 0;
    for (Position at = connections_.begin(); at != connections_.end();) {
      if (at->state() != RelayConnection::State::Closed) {
        ++at;
        continue;
      }
      failed += at->failed() ? 1 : 0;
      for (const int fd : {at->client_fd(), at->backend_fd()}) by_fd_.erase(fd);
      std::erase(unfinished_, at);
      at = connections_.erase(at);
    }
    count([&](Counters& c) {
      c.refused += failed;
      c.open = connections_.size();
    });
  }

  template <class Change>
  void count(Change change) {
    counters_.with(change);
  }

  base::Logger log_;
  base::UniqueFd epoll_;
  base::UniqueFd wake_;
  base::UniqueFd spare_{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  base::Guarded<std::map<SocketAddress, Listener>> listeners_;
  base::Guarded<Counters> counters_;
  // The loop's own from here.
  std::vector<char> scratch_;
  std::list<RelayConnection> connections_;
  std::map<int, Position> by_fd_;
  std::vector<Position> touched_;
  std::vector<Position> unfinished_;
  base::SteadyTime next_tick_;
  std::jthread thread_;
};

TcpRelay::TcpRelay(base::Logger log) : loop_(std::make_unique<Loop>(std::move(log))) {}
TcpRelay::~TcpRelay() = default;

base::Result<std::uint16_t> TcpRelay::listen(const SocketAddress& address,
                                             std::vector<SocketAddress> backends) {
  return loop_->listen(address, std::move(backends));
}
void TcpRelay::close(const SocketAddress& address) { loop_->close(address); }
TcpRelay::Counters TcpRelay::counters() const { return loop_->counters(); }

}  // namespace nodeagent

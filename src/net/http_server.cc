#include "net/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <list>
#include <stop_token>
#include <system_error>
#include <thread>

#include "net/http_exchange.h"
#include "net/request_reader.h"
#include "net/stream.h"

namespace net {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

/// Connections above `max_connections` that are read and answered with 503; more are just closed.
constexpr std::size_t kMaxRefusing = 16;
constexpr std::chrono::milliseconds kRefuseTimeout{1'000};
constexpr std::chrono::milliseconds kLinger{2'000};
constexpr std::chrono::milliseconds kAcceptBackOff{100};
constexpr int kMaxAcceptsPerWake = 64;
constexpr std::string_view kRetryAfter = "Retry-After: 1\r\n";

std::string format_peer(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  return fmt::format("[{}]:{}", text.data(), ntohs(v6.sin6_port));
}

struct AddressInfoDeleter {
  void operator()(addrinfo* info) const { ::freeaddrinfo(info); }
};

Result<base::UniqueFd> listen_on(const std::string& address, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(address.empty() ? nullptr : address.c_str(),
                                 std::to_string(port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, AddressInfoDeleter> info(code == 0 ? found : nullptr);
  if (!info) {
    return Error(ErrorCode::Invalid,
                 fmt::format("'{}' is not an IP address; use one such as 127.0.0.1", address));
  }
  base::UniqueFd fd(
      ::socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (!fd) return base::system_error("opening a socket", errno);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), info->ai_addr, info->ai_addrlen) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0) {
    const int error = errno;
    if (error == EADDRINUSE) {
      return Error(ErrorCode::AlreadyExists,
                   fmt::format("port {} on {} is in use; choose another port "
                               "or stop the program "
                               "that holds it",
                               port, address));
    }
    if (error == EADDRNOTAVAIL)
      return Error(ErrorCode::Invalid,
                   fmt::format("{} is not an address of this machine", address));
    return base::system_error(fmt::format("listening on port {} of {}", port, address), error);
  }
  return fd;
}

std::uint16_t bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET
                   ? reinterpret_cast<const sockaddr_in&>(address).sin_port
                   : reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
}

class Server final : public HttpServer {
 public:
  struct Events {
    Event stop;
    Event drain;
    /// Connections between two requests end while it is set: when draining, or to make room.
    Event release;
    Event reap;
    Event idle;
  };
  Server(Options options, Handler handler, base::UniqueFd listener, Events events)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        port_(bound_port(listener.get())),
        listener_(std::move(listener)),
        events_(std::move(events)),
        acceptor_([this] { accept_loop(); }) {}

  ~Server() override {
    stop();
    acceptor_.join();
  }

  std::uint16_t port() const override { return port_; }
  void drain(std::chrono::milliseconds limit) override;

 private:
  enum class Mode { Serve, Refuse };
  struct Worker {
    std::atomic<bool> finished{false};
    std::jthread thread;
  };

  void stop() {
    stop_source_.request_stop();
    events_.stop.signal();
  }
  void accept_loop();
  void accept_ready();
  void start_worker(base::UniqueFd socket, std::string peer);
  void reap();
  /// One party less that `drain` waits for.
  void leave();

  void run_connection(base::UniqueFd socket, std::string peer, Mode mode);
  bool open_tls(Stream& stream, const std::string& peer);
  void serve(Stream& stream, const std::string& peer);
  void refuse(Stream& stream);
  bool serve_one(Stream& stream, RequestReader& reader, const HttpRequestHead& head);
  void call_handler(ServerExchange& exchange);
  void close_with(Stream& stream, const std::string& response);
  RequestReader::Limits limits() const {
    return {options_.max_head_bytes, options_.head_timeout, options_.io_timeout};
  }

  const Options options_;
  const Handler handler_;
  const std::uint16_t port_;
  base::UniqueFd listener_;
  const Events events_;
  std::stop_source stop_source_;
  std::atomic<bool> draining_{false};
  std::atomic<bool> full_{false};  ///< As many connections as allowed; set by the acceptor.
  /// Connections, and the listener while it is open.
  std::atomic<std::size_t> active_{1};
  std::list<Worker> workers_;  // The acceptor's alone.
  std::jthread acceptor_;      // Last: it uses everything above.
};

void Server::drain(std::chrono::milliseconds limit) {
  draining_ = true;
  events_.drain.signal();
  events_.release.signal();
  const base::Context ctx = base::Context(stop_source_.get_token()).with_timeout(limit);
  while (active_ > 0 && !ctx.done()) {
    pollfd polled{events_.idle.fd(), POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(ctx.remaining());
    ::poll(&polled, 1, static_cast<int>(std::min<long long>(left.count(), 1'000)));
    events_.idle.clear();
  }
  stop();
}

void Server::leave() {
  if (active_.fetch_sub(1) == 1) events_.idle.signal();
}

void Server::accept_loop() {
  ::pthread_setname_np(::pthread_self(), "http-accept");
  bool draining = false;
  while (!stop_source_.stop_requested()) {
    std::array<pollfd, 4> polled{{{events_.stop.fd(), POLLIN, 0},
                                  {events_.reap.fd(), POLLIN, 0},
                                  {draining ? -1 : listener_.get(), POLLIN, 0},
                                  {draining ? -1 : events_.drain.fd(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[1].revents != 0) {
      events_.reap.clear();
      reap();
    }
    if (polled[3].revents != 0) {
      draining = true;
      listener_.reset();
      leave();
    } else if (polled[2].revents != 0) {
      accept_ready();
    }
  }
  listener_.reset();
  workers_.clear();  // Joins.
}

void Server::accept_ready() {
  for (int i = 0; i < kMaxAcceptsPerWake; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    base::UniqueFd socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size,
                                    SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      start_worker(std::move(socket), format_peer(address));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      options_.log.warn("cannot accept connections for now",
                        {{"error", std::system_category().message(errno)}});
      pollfd polled{events_.stop.fd(), POLLIN, 0};
      ::poll(&polled, 1, static_cast<int>(kAcceptBackOff.count()));
      return;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
  }
}

void Server::start_worker(base::UniqueFd socket, std::string peer) {
  const std::size_t serving = active_.load() - 1;
  if (serving >= options_.max_connections + kMaxRefusing) return;
  const Mode mode = serving >= options_.max_connections ? Mode::Refuse : Mode::Serve;
  if (serving + 1 >= options_.max_connections && !full_.exchange(true)) events_.release.signal();
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  active_.fetch_add(1);
  Worker& worker = workers_.emplace_back();
  try {
    worker.thread = std::jthread(
        [this, &worker, mode, fd = std::move(socket), peer = std::move(peer)]() mutable {
          ::pthread_setname_np(::pthread_self(), "http-conn");
          run_connection(std::move(fd), std::move(peer), mode);
          leave();
          worker.finished = true;
          events_.reap.signal();
        });
  } catch (const std::system_error& error) {
    options_.log.warn("cannot start a thread for a connection", {{"error", error.what()}});
    workers_.pop_back();
    leave();
  }
}

void Server::reap() {
  workers_.remove_if([](const Worker& worker) { return worker.finished.load(); });
  if (!full_ || active_ > options_.max_connections) return;
  full_ = false;
  events_.release.clear();
  if (draining_) events_.release.signal();  // It may have been set just before it was cleared.
}

void Server::run_connection(base::UniqueFd socket, std::string peer, Mode mode) {
  try {
    Stream stream(std::move(socket), events_.stop);
    if (options_.tls && !open_tls(stream, peer)) return;
    if (mode == Mode::Refuse) return refuse(stream);
    serve(stream, peer);
  } catch (const std::exception& error) {
    options_.log.error("a connection's thread failed", {{"error", error.what()}});
    std::abort();
  }
}

bool Server::open_tls(Stream& stream, const std::string& peer) {
  const auto deadline = std::chrono::steady_clock::now() + options_.head_timeout;
  const auto is_tls = stream.starts_with_tls(deadline, &events_.drain);
  if (!is_tls) return false;
  if (!*is_tls) {
    close_with(stream, closing_response(400, "this port speaks HTTPS, use https://"));
    return false;
  }
  const Status opened = stream.accept_tls(options_.tls->native(), deadline, &events_.drain);
  if (opened) return true;
  options_.log.debug("TLS handshake failed", {{"peer", peer}, {"error", opened.error().message()}});
  return false;
}

void Server::close_with(Stream& stream, const std::string& response) {
  if (!stream.write_all({response}, options_.io_timeout)) return;
  stream.shut_down_write();
  stream.linger(std::min(kLinger, options_.io_timeout));
}

void Server::refuse(Stream& stream) {
  RequestReader::Limits strict = limits();
  strict.head_timeout = std::min(strict.head_timeout, kRefuseTimeout);
  RequestReader reader(stream, strict);
  HttpRequestHead head;
  // The head is read so that closing does not reset the connection under the answer.
  if (const auto got = reader.read_head(kRefuseTimeout, events_.drain, head); got && !*got) return;
  close_with(stream, closing_response(503, "too many connections, try again", kRetryAfter));
}

void Server::serve(Stream& stream, const std::string& peer) {
  RequestReader reader(stream, limits());
  const std::string common_name = stream.peer_common_name();
  for (bool first = true;; first = false) {
    HttpRequestHead head;
    const auto got = first ? reader.read_head(options_.head_timeout, events_.drain, head)
                           : reader.read_head(options_.idle_timeout, events_.release, head);
    if (!got) {
      const Error& error = got.error();
      if (error.http_status() != 0)
        close_with(stream, closing_response(error.http_status(), error.message()));
      return;
    }
    if (!*got) return stream.shut_down_write();
    head.peer = peer;
    head.client_certificate_common_name = common_name;
    if (!serve_one(stream, reader, head)) return;
  }
}

bool Server::serve_one(Stream& stream, RequestReader& reader, const HttpRequestHead& head) {
  ServerExchange exchange({.stream = stream,
                           .reader = reader,
                           .request = head,
                           .io_timeout = options_.io_timeout,
                           .may_keep_alive = [this] { return !draining_ && !full_; }});
  call_handler(exchange);
  if (exchange.finish()) return true;
  if (exchange.cut_is_invisible()) {
    stream.reset_on_close();
    return false;
  }
  stream.shut_down_write();
  if (exchange.request_unread()) stream.linger(std::min(kLinger, options_.io_timeout));
  return false;
}

void Server::call_handler(ServerExchange& exchange) {
  std::string failure = "the handler gave no answer";
  try {
    handler_(base::Context(stop_source_.get_token(), options_.log), exchange);
    if (exchange.answered()) return;
  } catch (const std::exception& error) {
    failure = error.what();
  } catch (...) {
    failure = "an exception of unknown type";
  }
  options_.log.error("a request failed", {{"method", exchange.request().method},
                                          {"path", exchange.request().target.path},
                                          {"error", failure}});
  if (exchange.answered()) return exchange.abandon();
  // When even this does not get through, the client is gone.
  (void)exchange.respond(HttpResponse::text(500, "internal error\n"));
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::create(Options options, Handler handler) {
  base::UniqueFd listener = TRY(listen_on(options.address, options.port));
  Event stop = TRY(Event::create());
  Event drain = TRY(Event::create());
  Event release = TRY(Event::create());
  Event reap = TRY(Event::create());
  Event idle = TRY(Event::create());
  Server::Events events{std::move(stop), std::move(drain), std::move(release), std::move(reap),
                        std::move(idle)};
  return std::make_unique<Server>(std::move(options), std::move(handler), std::move(listener),
                                  std::move(events));
}

}  // namespace net

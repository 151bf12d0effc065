#include "net/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cerrno>
#include <condition_variable>
#include <iterator>
#include <list>
#include <mutex>
#include <thread>

#include "net/connection.h"

namespace net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using base::Error;
using base::ErrorCode;
using base::Status;
using ErrorCodeB = beast::error_code;
using Parser = http::request_parser<http::buffer_body>;

constexpr std::size_t kReadChunkBytes = 16 << 10;
constexpr std::size_t kMaxDrainBytes = 256 << 10;
constexpr int kListenBacklog = 256;

std::string head_text(const HttpResponse& response, std::string_view framing, bool keep_alive) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  for (const auto& [name, value] : response.headers) fmt::format_to(std::back_inserter(text), "{}: {}\r\n", name, value);
  text += framing;
  if (!keep_alive) text += "Connection: close\r\n";
  text += "\r\n";
  return text;
}

HttpRequestHead to_head(const Parser& parser) {
  const auto& message = parser.get();
  HttpRequestHead head;
  head.method = std::string(message.method_string());
  head.raw_target = std::string(message.target());
  for (const auto& field : message) head.headers.add(std::string(field.name_string()), std::string(field.value()));
  return head;
}

/// Requests of one connection, one after the other.
class Exchange final : public HttpExchange {
 public:
  Exchange(Connection& connection, beast::flat_buffer& buffer, Parser& parser, const HttpServer::Options& options, HttpRequestHead head)
      : connection_(connection), buffer_(buffer), parser_(parser), options_(options), head_(std::move(head)) {
    keep_alive_ = parser_.keep_alive();
    http_1_1_ = parser_.get().version() >= 11;
  }

  const HttpRequestHead& request() const override { return head_; }

  base::Result<std::string> read_body(std::size_t limit_bytes) override {
    const Error too_large = Error(ErrorCode::Invalid, fmt::format("the body is larger than {} bytes", limit_bytes)).with_http_status(413);
    if (const auto announced = parser_.content_length(); announced && *announced > limit_bytes) return too_large;
    std::string body;
    for (;;) {
      const std::size_t before = body.size();
      body.resize(before + kReadChunkBytes);
      auto got = read_some({body.data() + before, kReadChunkBytes});
      if (!got) return got.error();
      body.resize(before + *got);
      if (*got == 0) return body;
      if (body.size() > limit_bytes) return too_large;
    }
  }

  base::Result<std::size_t> read_some(std::span<char> out) override {
    TRY(send_continue());
    const auto deadline = std::chrono::steady_clock::now() + options_.io_timeout;
    while (!parser_.is_done()) {
      parser_.get().body().data = out.data();
      parser_.get().body().size = out.size();
      parser_.get().body().more = true;
      ErrorCodeB error;
      const std::size_t used = parser_.put(buffer_.data(), error);
      buffer_.consume(used);
      const std::size_t got = out.size() - parser_.get().body().size;
      if (error && error != http::error::need_more && error != http::error::need_buffer) {
        return Error(ErrorCode::Invalid, "malformed request body: " + error.message()).with_http_status(400);
      }
      if (got > 0) return got;
      if (parser_.is_done()) break;
      if (error == http::error::need_more || used == 0) TRY(fill(deadline));
    }
    return std::size_t{0};
  }

  Status respond(HttpResponse response) override {
    TRY(begin_answer());
    const bool bodiless = response.status == 204 || response.status == 304;
    const std::string framing = bodiless ? "" : fmt::format("Content-Length: {}\r\n", content_length(response));
    std::string text = head_text(response, framing, keep_alive_ && drain_request());
    if (!bodiless && head_.method != "HEAD") text += response.body;
    return connection_.write_all(text, options_.io_timeout);
  }

  Status send_file(HttpResponse response, const std::filesystem::path& path, std::uint64_t offset, std::uint64_t length) override {
    const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return base::system_error(fmt::format("opening {}", path.string()), errno);
    TRY(begin_answer());
    TRY(connection_.write_all(head_text(response, fmt::format("Content-Length: {}\r\n", length), keep_alive_ && drain_request()), options_.io_timeout));
    if (head_.method == "HEAD") return {};
    Status sent = connection_.send_file(file.get(), offset, length, options_.io_timeout);
    if (!sent) keep_alive_ = false;
    return sent;
  }

  Status start_stream(HttpResponse response) override {
    TRY(begin_answer());
    streaming_ = true;
    if (!http_1_1_) keep_alive_ = false;
    return connection_.write_all(head_text(response, http_1_1_ ? "Transfer-Encoding: chunked\r\n" : "", keep_alive_ && drain_request()), options_.io_timeout);
  }

  Status write(std::string_view chunk) override {
    if (chunk.empty() || head_.method == "HEAD") return {};
    Status sent = http_1_1_ ? connection_.write_all(fmt::format("{:x}\r\n{}\r\n", chunk.size(), chunk), options_.io_timeout)
                            : connection_.write_all(chunk, options_.io_timeout);
    if (!sent) keep_alive_ = false;
    return sent;
  }

  bool client_gone() const override { return connection_.peer_gone(); }
  bool answered() const override { return answered_; }

  /// After the handler: ends the answer; true when the connection can serve another request.
  bool finish() {
    if (!answered_) static_cast<void>(respond(HttpResponse::text(500, "no answer\n")));
    if (streaming_ && http_1_1_ && head_.method != "HEAD" && keep_alive_) {
      if (!connection_.write_all("0\r\n\r\n", options_.io_timeout)) return false;
    }
    return keep_alive_ && parser_.is_done();
  }

  /// Breaks the stream off in a way that the client notices.
  void abandon() { keep_alive_ = false; }

 private:
  static std::size_t content_length(const HttpResponse& response) { return response.body.size(); }

  Status begin_answer() {
    if (answered_) return Error(ErrorCode::Internal, "the request was answered already");
    answered_ = true;
    return {};
  }

  Status send_continue() {
    if (continued_) return {};
    continued_ = true;
    if (answered_ || media_type(head_.headers.get_or("Expect", "")) != "100-continue") return {};
    return connection_.write_all("HTTP/1.1 100 Continue\r\n\r\n", options_.io_timeout);
  }

  Status fill(base::SteadyTime deadline) {
    const auto space = buffer_.prepare(kReadChunkBytes);
    auto got = connection_.read_some({static_cast<char*>(space.data()), space.size()}, deadline);
    if (!got) return std::move(got).error();
    if (*got == 0) return Error(ErrorCode::Cancelled, "the client vanished").with_http_status(400);
    buffer_.commit(*got);
    return {};
  }

  /// Reads what little is left of the request so that the next one can follow; false closes instead.
  bool drain_request() {
    if (parser_.is_done()) return true;
    const bool waits_for_continue = !continued_ && !media_type(head_.headers.get_or("Expect", "")).empty();
    const auto announced = parser_.content_length_remaining();
    continued_ = true;
    if (waits_for_continue || !announced || *announced > kMaxDrainBytes) {
      keep_alive_ = false;
      return false;
    }
    std::string scratch(kReadChunkBytes, '\0');
    for (std::size_t drained = 0; drained <= kMaxDrainBytes;) {
      const auto got = read_some(scratch);
      if (!got) break;
      if (*got == 0) return true;
      drained += *got;
    }
    keep_alive_ = false;
    return false;
  }

  Connection& connection_;
  beast::flat_buffer& buffer_;
  Parser& parser_;
  const HttpServer::Options& options_;
  HttpRequestHead head_;
  bool keep_alive_ = false;
  bool http_1_1_ = true;
  bool answered_ = false;
  bool streaming_ = false;
  bool continued_ = false;
};

class Server final : public HttpServer {
 public:
  Server(Options options, Handler handler) : options_(std::move(options)), handler_(std::move(handler)) {}

  ~Server() override {
    stop_.request_stop();
    wake();
    accepting_.request_stop();
    if (acceptor_.joinable()) acceptor_.join();
    reap(true);
  }

  Status listen() {
    wake_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    accept_wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!wake_fd_ || !accept_wake_ || !listener_) return base::system_error("opening a socket", errno);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options_.port);
    if (::inet_pton(AF_INET, options_.address.c_str(), &address.sin_addr) != 1) {
      return Error(ErrorCode::Invalid, fmt::format("'{}' is not an IPv4 address to listen on", options_.address));
    }
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener_.get(), kListenBacklog) != 0) {
      if (errno == EADDRINUSE) {
        return Error(ErrorCode::AlreadyExists, fmt::format("port {} of {} is in use; choose another, or stop what uses it", options_.port, options_.address));
      }
      return base::system_error(fmt::format("listening on {}:{}", options_.address, options_.port), errno);
    }
    socklen_t size = sizeof address;
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::jthread([this] { accept_loop(); });
    return {};
  }

  std::uint16_t port() const override { return port_; }

  void drain(std::chrono::milliseconds limit) override {
    accepting_.request_stop();
    signal(accept_wake_.get());
    std::unique_lock lock(mutex_);
    idle_.wait_for(lock, limit, [&] { return busy_ == 0; });
  }

 private:
  struct Worker {
    std::jthread thread;
    std::atomic<bool> done{false};
  };

  static void signal(int fd) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
  }
  void wake() {
    signal(wake_fd_.get());
    signal(accept_wake_.get());
  }

  void accept_loop() {
    while (!accepting_.stop_requested()) {
      pollfd fds[2] = {{listener_.get(), POLLIN, 0}, {accept_wake_.get(), POLLIN, 0}};
      constexpr int kReapEveryMs = 1000;
      const int ready = ::poll(fds, 2, kReapEveryMs);
      reap(false);
      if (ready <= 0 || fds[1].revents != 0) continue;
      base::UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!client) {
        // Out of descriptors: let some connections end before trying again.
        if (errno == EMFILE || errno == ENFILE) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        continue;
      }
      const int on = 1;
      ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      start_worker(std::move(client));
    }
    listener_.reset();
  }

  void start_worker(base::UniqueFd client) {
    if (workers_.size() >= options_.max_connections) reap(false);
    if (workers_.size() >= options_.max_connections) {
      refuse(std::move(client));
      return;
    }
    Worker& worker = workers_.emplace_back();
    worker.thread = std::jthread([this, &worker, fd = std::make_shared<base::UniqueFd>(std::move(client))] {
      serve(std::move(*fd));
      worker.done = true;
    });
  }

  void refuse(base::UniqueFd client) {
    if (options_.tls) return;  // No handshake for a connection that gets nothing.
    Connection connection(std::move(client), wake_fd_.get());
    HttpResponse response = HttpResponse::text(503, "too many connections\n");
    response.headers.set("Retry-After", "1");
    constexpr auto kBrief = std::chrono::milliseconds(100);
    static_cast<void>(connection.write_all(
        head_text(response, fmt::format("Content-Length: {}\r\n", response.body.size()), false) + response.body, kBrief));
  }

  void reap(bool all) {
    for (auto worker = workers_.begin(); worker != workers_.end();) {
      worker = all || worker->done ? workers_.erase(worker) : std::next(worker);
    }
  }

  void serve(base::UniqueFd client) {
    Connection connection(std::move(client), wake_fd_.get());
    if (options_.tls && !connection.accept_tls(*options_.tls, std::chrono::steady_clock::now() + options_.head_timeout)) return;
    const std::string peer = connection.peer_address();
    const std::string common_name = connection.client_common_name();
    beast::flat_buffer buffer;
    while (!stop_.stop_requested() && serve_one(connection, buffer, peer, common_name)) {
      if (accepting_.stop_requested()) break;
    }
    connection.finish();
  }

  /// Reads one head and lets the handler answer it. False ends the connection.
  bool serve_one(Connection& connection, beast::flat_buffer& buffer, const std::string& peer, const std::string& common_name) {
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(options_.max_head_bytes));
    parser.body_limit(boost::none);
    parser.eager(false);
    const int refusal = read_head(connection, buffer, parser);
    if (refusal < 0) return false;
    if (refusal > 0) return answer_plainly(connection, refusal);
    HttpRequestHead head = to_head(parser);
    auto target = HttpTarget::parse(head.raw_target);
    if (!target) return answer_plainly(connection, 400);
    head.target = *std::move(target);
    head.peer = peer;
    head.client_certificate_common_name = common_name;
    Exchange exchange(connection, buffer, parser, options_, std::move(head));
    count_busy(+1);
    try {
      handler_(base::Context(stop_.get_token(), options_.log), exchange);
    } catch (const std::exception& e) {
      options_.log.error("a request handler threw", {{"what", e.what()}, {"target", exchange.request().target.path}});
      exchange.abandon();
    }
    const bool reusable = exchange.finish();
    count_busy(-1);
    return reusable;
  }

  /// 0 when a head is there, -1 to close silently, else the status to refuse with.
  int read_head(Connection& connection, beast::flat_buffer& buffer, Parser& parser) {
    auto deadline = std::chrono::steady_clock::now() + (buffer.size() > 0 ? options_.head_timeout : options_.idle_timeout);
    bool begun = buffer.size() > 0;
    for (;;) {
      ErrorCodeB error;
      if (buffer.size() > 0) {
        buffer.consume(parser.put(buffer.data(), error));
        if (parser.is_header_done()) return 0;
        if (error == http::error::header_limit) return 431;
        if (error && error != http::error::need_more) return 400;
        if (buffer.size() > options_.max_head_bytes) return 431;
      }
      const auto space = buffer.prepare(kReadChunkBytes);
      const auto got = connection.read_some({static_cast<char*>(space.data()), space.size()}, deadline);
      if (!got) return got.error().code() == ErrorCode::Timeout && begun ? 408 : -1;
      if (*got == 0) return -1;
      buffer.commit(*got);
      if (!begun) {
        begun = true;
        deadline = std::chrono::steady_clock::now() + options_.head_timeout;
      }
    }
  }

  bool answer_plainly(Connection& connection, int status) {
    const HttpResponse response = HttpResponse::text(status, fmt::format("{}\n", reason_phrase(status)));
    static_cast<void>(connection.write_all(
        head_text(response, fmt::format("Content-Length: {}\r\n", response.body.size()), false) + response.body, options_.io_timeout));
    return false;
  }

  void count_busy(int by) {
    const std::lock_guard lock(mutex_);
    busy_ += by;
    if (busy_ == 0) idle_.notify_all();
  }

  Options options_;
  Handler handler_;
  std::uint16_t port_ = 0;
  base::UniqueFd wake_fd_;
  base::UniqueFd accept_wake_;
  base::UniqueFd listener_;
  std::stop_source stop_;
  std::stop_source accepting_;
  std::mutex mutex_;
  std::condition_variable idle_;
  int busy_ = 0;
  std::list<Worker> workers_;  // Touched by the acceptor, and by the destructor once that is gone.
  std::jthread acceptor_;
};

}  // namespace

HttpResponse HttpResponse::text(int status, std::string body) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(body)};
}

HttpResponse HttpResponse::json(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

base::Result<std::unique_ptr<HttpServer>> HttpServer::create(Options options, Handler handler) {
  auto server = std::make_unique<Server>(std::move(options), std::move(handler));
  TRY(server->listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace net

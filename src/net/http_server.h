#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "net/http.h"
#include "net/tls.h"

namespace net {

struct HttpRequestHead {
  std::string method;  ///< Upper case: `GET`.
  std::string raw_target;
  HttpTarget target;
  HttpHeaders headers;
  std::string peer;                            ///< `127.0.0.1:40404`.
  std::string client_certificate_common_name;  ///< Empty without a verified
                                               ///< client certificate.
};

struct HttpResponse {
  int status = 200;
  HttpHeaders headers;
  std::string body;

  static HttpResponse text(int status, std::string body);
  /// `body` is JSON text already.
  static HttpResponse json(int status, std::string body);
};

/// One request and its answer, valid during one call of the handler on that thread. The handler
/// answers exactly once: `respond`, `send_file`, or `start_stream` + `write`... + return. A handler
/// that returns without an answer yields 500. Every wait obeys the context given to the handler.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  virtual const HttpRequestHead& request() const = 0;

  /// The whole body. Errors: Invalid with http_status 413 when larger than `limit_bytes`, Timeout
  /// (408) when the client is too slow, Cancelled when it vanished.
  virtual base::Result<std::string> read_body(std::size_t limit_bytes) = 0;
  /// Up to `buffer.size()` bytes of the body; 0 at its end. Errors as `read_body`.
  virtual base::Result<std::size_t> read_some(std::span<char> buffer) = 0;

  /// Content-Length is set here. Errors: Cancelled when the client vanished.
  virtual base::Status respond(HttpResponse response) = 0;
  /// Sends `length` bytes of the file from `offset` (sendfile where the connection allows it).
  virtual base::Status send_file(HttpResponse head, const std::filesystem::path& file,
                                 std::uint64_t offset, std::uint64_t length) = 0;
  /// Sends the head and leaves the body open, chunked on HTTP/1.1.
  virtual base::Status start_stream(HttpResponse head) = 0;
  /// One chunk, flushed at once. Errors: Cancelled when the client vanished.
  virtual base::Status write(std::string_view chunk) = 0;

  /// True once the peer closed its side or the connection broke; cheap enough to poll.
  virtual bool client_gone() const = 0;
  /// Whether an answer was begun.
  virtual bool answered() const = 0;
};

/// A synchronous HTTP/1.1 server: one thread per connection from a bounded set, keep-alive, TLS by
/// option, every wait bounded. Malformed requests, oversized heads and slow clients are answered
/// (400, 431, 408) here and never reach the handler; above `max_connections` new ones get 503 with
/// Retry-After, and those between two requests are ended to make room. A handler that throws gives
/// 500, or an answer that the client sees cut when it was begun. HEAD is passed on as such and its
/// body is dropped. `Expect: 100-continue` is honoured when the handler first reads the body.
class HttpServer {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    std::uint16_t port = 0;                      ///< 0 lets the system choose; see `port()`.
    std::shared_ptr<const TlsServerConfig> tls;  ///< None: plain HTTP.
    std::size_t max_connections = 256;
    std::size_t max_head_bytes = 64 << 10;
    std::chrono::milliseconds head_timeout{10'000};  ///< From the first byte of a head to its last.
    std::chrono::milliseconds idle_timeout{120'000};  ///< Between requests of one connection.
    std::chrono::milliseconds io_timeout{30'000};     ///< For one read or write to make progress.
    base::Logger log;
  };
  /// Called on the connection's thread. The context stops when the server stops or `drain` runs
  /// out.
  using Handler = std::function<void(const base::Context&, HttpExchange&)>;

  /// Binds and listens at once. Errors: Invalid for a bad address, AlreadyExists when the port is
  /// in use (the message names it), Forbidden for a port below 1024 without the right.
  static base::Result<std::unique_ptr<HttpServer>> create(Options options, Handler handler);
  /// Stops: closes the listener, cancels requests in flight, joins every thread.
  virtual ~HttpServer() = default;

  virtual std::uint16_t port() const = 0;
  /// Stops accepting and waits for requests in flight, at most `limit`.
  virtual void drain(std::chrono::milliseconds limit) = 0;
};

}  // namespace net

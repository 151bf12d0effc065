#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace net::test {

using namespace std::chrono_literals;

inline std::unique_ptr<HttpServer> serve(HttpServer::Handler handler,
                                         HttpServer::Options options = {}) {
  auto server = HttpServer::create(std::move(options), std::move(handler));
  EXPECT_TRUE(server) << server.error().message();
  return *std::move(server);
}

inline std::unique_ptr<HttpClient> connect(HttpClient::Options options = {}) {
  auto client = HttpClient::create(std::move(options));
  EXPECT_TRUE(client) << client.error().message();
  return *std::move(client);
}

inline std::string url_of(const HttpServer& server, std::string_view path,
                          std::string_view scheme = "http") {
  return fmt::format("{}://127.0.0.1:{}{}", scheme, server.port(), path);
}

inline HttpClientRequest request_for(std::string method, std::string url, std::string body = "") {
  HttpClientRequest request;
  request.method = std::move(method);
  request.url = std::move(url);
  request.body = std::move(body);
  return request;
}

/// Runs out after five seconds, so that a fault fails a test instead of hanging it.
inline base::Context bounded() { return base::Context().with_timeout(5s); }

/// A client that sends exactly the bytes it is told to.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval limit{5, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void shut_down_write() { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

  /// Everything until the server closes; a reset shows as `<reset>`.
  std::string read_all() {
    std::string out = std::exchange(rest_, {});
    for (;;) {
      char buffer[16 << 10];
      const auto got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (got < 0) out += "<reset>";
      if (got <= 0) return out;
      out.append(buffer, static_cast<std::size_t>(got));
    }
  }

  /// Up to and including `end`, or what came before the server closed.
  std::string read_until(std::string_view end) {
    for (;;) {
      const auto found = rest_.find(end);
      if (found != std::string::npos) {
        std::string out = rest_.substr(0, found + end.size());
        rest_.erase(0, found + end.size());
        return out;
      }
      char buffer[4 << 10];
      const auto got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (got <= 0) return std::exchange(rest_, {});
      rest_.append(buffer, static_cast<std::size_t>(got));
    }
  }

 private:
  base::UniqueFd fd_;
  std::string rest_;
};

/// Sends `bytes` on a connection of their own and returns all that comes back.
inline std::string raw(const HttpServer& server, std::string_view bytes) {
  RawClient client(server.port());
  client.send(bytes);
  return client.read_all();
}

/// Answers the body that came; errors of reading with their status.
inline void echo(const base::Context&, HttpExchange& exchange) {
  auto body = exchange.read_body(64 << 20);
  if (!body) {
    (void)exchange.respond(
        HttpResponse::text(body.error().http_status(), body.error().message() + "\n"));
    return;
  }
  HttpResponse response = HttpResponse::text(200, *std::move(body));
  response.headers.set("X-Method", exchange.request().method);
  response.headers.set("X-Peer", exchange.request().peer);
  (void)exchange.respond(std::move(response));
}

class Stopwatch {
 public:
  std::chrono::milliseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 begun_);
  }

 private:
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace net::test

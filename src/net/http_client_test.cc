#include "net/http_client.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/un.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <latch>
#include <set>
#include <thread>

#include "base/guarded.h"
#include "net/test_support.h"

namespace net {
namespace {

using base::Context;
using base::Error;
using base::ErrorCode;
using base::Status;
using namespace test;
using testing::HasSubstr;
using testing::Not;

/// Answers what it was sent: method, credentials and body.
void reflect(const Context&, HttpExchange& exchange) {
  const HttpHeaders& headers = exchange.request().headers;
  auto body = exchange.read_body(1 << 20);
  HttpResponse response = HttpResponse::text(
      200, fmt::format("{} auth={} cookie={} type={} length={} empty={} body={}",
                       exchange.request().method, headers.get_or("Authorization", "none"),
                       headers.get_or("Cookie", "none"), headers.get_or("Content-Type", "none"),
                       headers.get_or("Content-Length", "none"), headers.get_or("X-Empty", "none"),
                       body ? *body : body.error().message()));
  (void)exchange.respond(std::move(response));
}

/// Redirects with ?status to ?to; everything else is reflected.
void redirecting(const Context& ctx, HttpExchange& exchange) {
  const HttpTarget& target = exchange.request().target;
  if (target.path != "/redirect") return reflect(ctx, exchange);
  HttpResponse response =
      HttpResponse::text(std::stoi(std::string(*target.param("status"))), "moved");
  response.headers.set("Location", std::string(*target.param("to")));
  (void)exchange.respond(std::move(response));
}

/// One connection of a server that answers `answer` whatever comes, then closes.
class CannedServer {
 public:
  explicit CannedServer(std::string answer) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 4), 0);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    url_ = fmt::format("http://127.0.0.1:{}/", ntohs(address.sin_port));
    thread_ = std::jthread([this, answer = std::move(answer)] {
      const base::UniqueFd peer(::accept(listener_.get(), nullptr, nullptr));
      char head[4096];
      (void)::recv(peer.get(), head, sizeof head, 0);
      (void)base::write_all(peer.get(), answer);
    });
  }
  const std::string& url() const { return url_; }

 private:
  base::UniqueFd listener_;
  std::string url_;
  std::jthread thread_;
};

TEST(HttpClient, ReusesItsConnections) {
  const auto server = serve(echo);
  const auto client = connect();
  std::set<std::string> peers;
  for (int i = 0; i < 5; ++i) {
    const auto response =
        client->send(bounded(), request_for("POST", url_of(*server, "/"), "hello"));
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "hello");
    peers.emplace(response->headers.get_or("X-Peer", ""));
  }
  EXPECT_EQ(peers.size(), 1U);
}

TEST(HttpClient, AConnectionThatTheServerClosedIsReplaced) {
  HttpServer::Options options;
  options.idle_timeout = 20ms;
  const auto server = serve(echo, options);
  const auto client = connect();
  for (int i = 0; i < 3; ++i) {
    const auto response =
        client->send(bounded(), request_for("POST", url_of(*server, "/"), "again"));
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ(response->body, "again");
    std::this_thread::sleep_for(40ms);
  }
}

TEST(HttpClient, ManyThreadsMayUseOne) {
  const auto server = serve(echo);
  const auto client = connect();
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 20; ++i) {
          const std::string body = fmt::format("{}-{}", t, i);
          const auto response =
              client->send(bounded(), request_for("PUT", url_of(*server, "/"), body));
          if (response && response->body == body) ++good;
        }
      });
    }
  }
  EXPECT_EQ(good, 160);
}

TEST(HttpClient, SendsEveryMethodAsItIs) {
  const auto server = serve(reflect);
  const auto client = connect();
  const auto answer = [&](HttpClientRequest request) {
    request.url = url_of(*server, "/");
    const auto response = client->send(bounded(), request);
    return response ? response->body : response.error().message();
  };
  const std::string rest = " empty=none body=";
  EXPECT_EQ(answer(request_for("GET", "")),
            "GET auth=none cookie=none type=none length=none" + rest);
  EXPECT_EQ(answer(request_for("DELETE", "", "x")),
            "DELETE auth=none cookie=none type=none length=1" + rest + "x");
  for (const std::string method : {"POST", "PUT", "PATCH"})
    EXPECT_EQ(answer(request_for(method, "")),
              method + " auth=none cookie=none type=none length=0" + rest);
  EXPECT_EQ(answer(request_for("DELETE", "")),
            "DELETE auth=none cookie=none type=none length=none" + rest);
  EXPECT_EQ(answer(request_for("HEAD", "")), "");
  HttpClientRequest request = request_for("POST", "", "b");
  request.headers = {
      {"Content-Type", "application/json"}, {"X-Empty", ""}, {"Content-Length", "99"}};
  EXPECT_EQ(answer(request),
            "POST auth=none cookie=none type=application/json "
            "length=1 empty= body=b");
}

TEST(HttpClient, StreamsLargeBodiesBothWays) {
  constexpr std::size_t kBytes = 16 << 20;
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    (void)exchange.start_stream(HttpResponse::text(200, ""));
    std::vector<char> buffer(100'000);
    for (;;) {
      const auto got = exchange.read_some(buffer);
      if (!got || *got == 0) break;
      if (!exchange.write(std::string_view(buffer.data(), *got))) break;
    }
  });
  const auto client = connect();
  for (const bool sized : {false, true}) {
    HttpClientRequest request = request_for("PUT", url_of(*server, "/"));
    std::size_t given = 0;
    request.body_source = [&](std::span<char> room) -> base::Result<std::size_t> {
      const std::size_t step = std::min(room.size(), kBytes - given);
      for (std::size_t i = 0; i < step; ++i) room[i] = static_cast<char>((given + i) % 251);
      given += step;
      return step;
    };
    if (sized) request.body_source_bytes = kBytes;
    std::size_t taken = 0;
    bool same = true;
    HttpResponseSink sink;
    sink.on_body = [&](std::string_view bytes) -> Status {
      for (const char c : bytes) same = same && c == static_cast<char>(taken++ % 251);
      return {};
    };
    const auto head = client->stream(bounded(), request, sink);
    ASSERT_TRUE(head) << head.error().message();
    EXPECT_EQ(taken, kBytes);
    EXPECT_TRUE(same);
  }
}

TEST(HttpClient, HandsTheHeadOverBeforeTheBodyComes) {
  std::latch head_seen(1);
  const auto server = serve([&](const Context&, HttpExchange& exchange) {
    (void)exchange.start_stream(HttpResponse::json(200, ""));
    head_seen.wait();
    (void)exchange.write("late");
  });
  HttpResponseSink sink;
  sink.on_head = [&](const HttpResponse& head) -> Status {
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers.get_or("content-type", ""), "application/json");
    head_seen.count_down();
    return {};
  };
  std::string body;
  sink.on_body = [&](std::string_view bytes) -> Status {
    body += bytes;
    return {};
  };
  ASSERT_TRUE(connect()->stream(bounded(), request_for("GET", url_of(*server, "/")), sink));
  EXPECT_EQ(body, "late");
}

TEST(HttpClient, ErrorsOfTheCallersFunctionsEndTheRequest) {
  const auto server = serve(echo);
  const auto client = connect();
  const Error mine(ErrorCode::Conflict, "mine");
  const auto request = request_for("POST", url_of(*server, "/"), "body");
  HttpResponseSink sink;
  sink.on_head = [&](const HttpResponse&) -> Status { return mine; };
  EXPECT_EQ(client->stream(bounded(), request, sink).error().message(), "mine");
  sink = {};
  sink.on_body = [&](std::string_view) -> Status { return mine; };
  EXPECT_EQ(client->stream(bounded(), request, sink).error().code(), ErrorCode::Conflict);
  HttpClientRequest upload = request_for("POST", url_of(*server, "/"));
  upload.body_source = [&](std::span<char>) -> base::Result<std::size_t> { return mine; };
  EXPECT_EQ(client->send(bounded(), upload).error().message(), "mine");
  upload.body_source = [](std::span<char>) -> base::Result<std::size_t> { return std::size_t{0}; };
  upload.body_source_bytes = 10;
  const auto short_body = client->send(bounded(), upload);
  EXPECT_EQ(short_body.error().code(), ErrorCode::Invalid);
  EXPECT_THAT(short_body.error().message(), HasSubstr("0 of 10 bytes"));
  EXPECT_TRUE(client->send(bounded(), request)) << "usable afterwards";
}

TEST(HttpClient, ARefusalInTheMiddleOfAnUploadIsAnAnswer) {
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    (void)exchange.respond(HttpResponse::text(413, "too large"));
  });
  const auto response = connect()->send(
      bounded(), request_for("POST", url_of(*server, "/"), std::string(8 << 20, 'x')));
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->status, 413);
}

TEST(HttpClient, ItsConnectionsAreNotInherited) {
  const auto server = serve(echo);
  const auto client = connect();
  ASSERT_TRUE(client->send(bounded(), request_for("GET", url_of(*server, "/"))));
  int connections = 0;
  for (int fd = 3; fd < 256; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (peer.sin_family != AF_INET) continue;
    ++connections;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_GE(connections, 1);
}

TEST(HttpClient, StopAndDeadlineEndABlockedRequest) {
  const auto server = serve([](const Context& ctx, HttpExchange& exchange) {
    if (exchange.request().target.path == "/stream") (void)exchange.start_stream({});
    (void)ctx.sleep(1min);
  });
  const auto client = connect();
  for (const std::string_view path : {"/silent", "/stream"}) {
    const auto request = request_for("GET", url_of(*server, path));
    std::stop_source stop;
    std::jthread stopper([&] {
      std::this_thread::sleep_for(30ms);
      stop.request_stop();
    });
    const Stopwatch watch;
    const auto stopped = client->send(Context(stop.get_token()).with_timeout(5s), request);
    EXPECT_EQ(stopped.error().code(), ErrorCode::Cancelled);
    EXPECT_LT(watch.elapsed(), 130ms);
    const Stopwatch second;
    const auto late = client->send(Context().with_timeout(30ms), request);
    EXPECT_EQ(late.error().code(), ErrorCode::Timeout);
    EXPECT_LT(second.elapsed(), 130ms);
    EXPECT_EQ(client->send(Context(stop.get_token()), request).error().code(),
              ErrorCode::Cancelled);
  }
}

TEST(HttpClient, AStalledTransferTimesOutAndAMovingOneDoesNot) {
  const auto server = serve([](const Context& ctx, HttpExchange& exchange) {
    (void)exchange.start_stream({});
    for (int i = 0; i < 6; ++i) {
      (void)exchange.write("x");
      (void)ctx.sleep(20ms);
    }
    if (exchange.request().target.path == "/stall") (void)ctx.sleep(1min);
  });
  HttpClient::Options options;
  options.stall_timeout = 80ms;
  const auto client = connect(options);
  EXPECT_EQ(client->send(bounded(), request_for("GET", url_of(*server, "/move")))->body, "xxxxxx");
  const auto stalled = client->send(bounded(), request_for("GET", url_of(*server, "/stall")));
  ASSERT_FALSE(stalled);
  EXPECT_EQ(stalled.error().code(), ErrorCode::Timeout);
}

TEST(HttpClient, BoundsTheResponse) {
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    if (exchange.request().target.path == "/sized")
      return (void)exchange.respond(HttpResponse::text(200, std::string(1'001, 'x')));
    (void)exchange.start_stream({});
    for (int i = 0; i < 11; ++i) (void)exchange.write(std::string(100, 'x'));
  });
  HttpClient::Options options;
  options.max_response_bytes = 1'000;
  const auto client = connect(options);
  for (const std::string_view path : {"/sized", "/chunked"}) {
    const auto response = client->send(bounded(), request_for("GET", url_of(*server, path)));
    ASSERT_FALSE(response) << path;
    EXPECT_EQ(response.error().code(), ErrorCode::Invalid);
    EXPECT_THAT(response.error().message(), HasSubstr("1000 bytes"));
  }
}

TEST(HttpClient, AsksBeforeItConnectsToAnAddress) {
  const auto server = serve(redirecting);
  std::vector<std::string> asked;
  const auto client = connect({.max_redirects = 2, .check_address = [&](std::string_view address) {
                                 asked.emplace_back(address);
                                 return address == "169.254.1.1"
                                            ? Status(Error(ErrorCode::Forbidden, "not there"))
                                            : Status();
                               }});
  const auto by_name =
      fmt::format("http://localhost:{}/redirect?status=302&to=/end", server->port());
  EXPECT_TRUE(client->send(bounded(), request_for("GET", by_name)));
  EXPECT_THAT(asked, testing::Contains("127.0.0.1"));
  const auto refused = client->send(
      bounded(),
      request_for("GET", url_of(*server, "/redirect?status=302&to=http://169.254.1.1/latest")));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::Forbidden);
  EXPECT_EQ(asked.back(), "169.254.1.1");
}

TEST(HttpClient, FollowsRedirectsWithinTheirLimit) {
  const auto server = serve(redirecting);
  const std::string once = url_of(*server, "/redirect?status=302&to=/end");
  EXPECT_EQ(connect()->send(bounded(), request_for("GET", once))->status, 302);
  HttpClient::Options options;
  options.max_redirects = 1;
  const auto client = connect(options);
  const auto body_of = [&](HttpClientRequest request) {
    const auto response = client->send(bounded(), request);
    return response ? response->body : response.error().message();
  };
  EXPECT_THAT(body_of(request_for("GET", once)), HasSubstr("GET auth=none"));
  EXPECT_THAT(body_of(request_for("POST", once, "b")), HasSubstr("GET auth=none"));
  const auto to = [&](int status) {
    return url_of(*server, fmt::format("/redirect?status={}&to=end", status));
  };
  EXPECT_THAT(body_of(request_for("PUT", to(303), "b")), HasSubstr("GET "));
  EXPECT_THAT(body_of(request_for("POST", to(307), "b")),
              testing::AllOf(HasSubstr("POST "), HasSubstr("body=b")));
  EXPECT_THAT(body_of(request_for("DELETE", to(302))), HasSubstr("DELETE "));
  const auto loop = client->send(
      bounded(),
      request_for("GET",
                  url_of(*server, "/redirect?status=302&to=/redirect%3Fstatus=302%26to=/x")));
  ASSERT_FALSE(loop);
  EXPECT_THAT(loop.error().message(), HasSubstr("more than 1 redirects"));
  HttpClientRequest streamed = request_for("PUT", to(307));
  streamed.body_source = [](std::span<char>) -> base::Result<std::size_t> {
    return std::size_t{0};
  };
  EXPECT_EQ(client->send(bounded(), streamed).error().code(), ErrorCode::Invalid);
  EXPECT_EQ(
      client
          ->send(bounded(), request_for("GET", url_of(*server, "/redirect?status=302&to=ftp://x/")))
          .error()
          .code(),
      ErrorCode::Invalid);
}

TEST(HttpClient, RedirectsTakeCredentialsToTheSameOriginOnly) {
  const auto server = serve(redirecting);
  const auto other = serve(redirecting);
  HttpClient::Options options;
  options.max_redirects = 3;
  const auto client = connect(options);
  const auto answer = [&](const std::string& to) {
    HttpClientRequest request =
        request_for("GET", url_of(*server, fmt::format("/redirect?status=302&to={}", to)));
    request.headers = {{"authorization", "Bearer t"}, {"Cookie", "c"}};
    const auto response = client->send(bounded(), request);
    return response ? response->body : response.error().message();
  };
  EXPECT_THAT(answer("/end"), HasSubstr("auth=Bearer t cookie=c"));
  const std::string stripped = "auth=none cookie=none";
  EXPECT_THAT(answer(url_of(*other, "/end")), HasSubstr(stripped));
  EXPECT_THAT(answer(fmt::format("http://localhost:{}/end", server->port())), HasSubstr(stripped));
  // There and back again: what was dropped stays dropped.
  EXPECT_THAT(answer(url_of(
                  *other, fmt::format("/redirect%3Fstatus=302%26to={}", url_of(*server, "/end")))),
              HasSubstr(stripped));
}

TEST(HttpClient, TransportFailuresSayWhatFailed) {
  const auto client = connect();
  std::string closed;
  {
    const auto server = serve(echo);
    closed = url_of(*server, "/path?token=secret");
  }
  const auto refused = client->send(bounded(), request_for("GET", closed));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::Unavailable);
  EXPECT_THAT(refused.error().message(), HasSubstr("/path"));
  EXPECT_THAT(refused.error().message(), Not(HasSubstr("secret")));
  const std::pair<std::string, ErrorCode> answers[] = {
      {"", ErrorCode::Unavailable},
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive.", ErrorCode::Unavailable},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive.\r\n",
       ErrorCode::Unavailable},
      {"SSH-2.0-OpenSSH_9.2\r\n", ErrorCode::Invalid},
  };
  for (const auto& [answer, code] : answers) {
    const CannedServer server(answer);
    const auto response = client->send(bounded(), request_for("GET", server.url()));
    ASSERT_FALSE(response) << answer;
    EXPECT_EQ(response.error().code(), code) << answer << ": " << response.error().message();
  }
}

TEST(HttpClient, RefusesRequestsThatCannotBeSent) {
  const auto client = connect();
  HttpClientRequest split = request_for("GET", "http://127.0.0.1:1/");
  split.headers = {{"X", "a\r\nInjected: b"}};
  HttpClientRequest bad_name = request_for("GET", "http://127.0.0.1:1/");
  bad_name.headers = {{"X:", "a"}};
  for (const HttpClientRequest& request :
       {split, bad_name, request_for("GE T", "http://127.0.0.1:1/"), request_for("GET", "ftp://h/"),
        request_for("GET", "nonsense"), request_for("GET", ""),
        request_for("GET", "http://h/a b")}) {
    const auto response = client->send(bounded(), request);
    ASSERT_FALSE(response) << request.url;
    EXPECT_EQ(response.error().code(), ErrorCode::Invalid) << request.url;
  }
}

TEST(HttpClient, IgnoresTheEnvironmentsProxyUnlessTold) {
  const auto server = serve(echo);
  for (const char* exception : {"no_proxy", "NO_PROXY"}) ::unsetenv(exception);
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  EXPECT_TRUE(connect()->send(bounded(), request_for("GET", url_of(*server, "/"))));
  HttpClient::Options options;
  options.use_environment_proxy = true;
  EXPECT_FALSE(connect(options)->send(bounded(), request_for("GET", url_of(*server, "/"))));
  ::unsetenv("http_proxy");
}

TEST(HttpClient, SpeaksThroughAUnixSocket) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("net_unix.{}", ::getpid());
  const base::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  std::string head(4096, '\0');
  std::jthread server([&] {
    const base::UniqueFd peer(::accept(listener.get(), nullptr, nullptr));
    head.resize(static_cast<std::size_t>(
        std::max<ssize_t>(0, ::recv(peer.get(), head.data(), head.size(), 0))));
    (void)base::write_all(peer.get(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix");
  });
  HttpClient::Options options;
  options.unix_socket = path;
  const auto response =
      connect(options)->send(bounded(), request_for("GET", "http://runtime/info"));
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->body, "unix");
  server.join();
  EXPECT_THAT(head, testing::StartsWith("GET /info HTTP/1.1\r\nHost: runtime\r\n"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace net

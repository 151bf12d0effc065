#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <unistd.h>

#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/tls.h"

namespace net {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

/// Answers by path: /echo returns the body, /stream sends chunks until told, ...
void handle(const base::Context& ctx, HttpExchange& exchange) {
  const std::string& path = exchange.request().target.path;
  if (path == "/echo") {
    auto body = exchange.read_body(1 << 20);
    if (!body) {
      static_cast<void>(exchange.respond(HttpResponse::text(body.error().http_status() ? body.error().http_status() : 500, body.error().message())));
      return;
    }
    HttpResponse response = HttpResponse::text(200, *body);
    response.headers.set("X-Method", exchange.request().method);
    response.headers.set("X-Authorization", std::string(exchange.request().headers.get_or("Authorization", "none")));
    static_cast<void>(exchange.respond(std::move(response)));
  } else if (path == "/stream") {
    static_cast<void>(exchange.start_stream(HttpResponse::text(200, "")));
    for (int i = 0; i < 5; ++i) static_cast<void>(exchange.write(fmt::format("part {}\n", i)));
  } else if (path == "/wait") {
    static_cast<void>(ctx.sleep(std::chrono::seconds(30)));
    static_cast<void>(exchange.respond(HttpResponse::text(200, "late")));
  } else if (path == "/redirect") {
    HttpResponse response = HttpResponse::text(302, "");
    response.headers.set("Location", std::string(*exchange.request().target.param("to")));
    static_cast<void>(exchange.respond(std::move(response)));
  } else if (path == "/throw") {
    throw std::runtime_error("bug");
  } else if (path == "/who") {
    static_cast<void>(exchange.respond(HttpResponse::text(200, exchange.request().client_certificate_common_name)));
  } else {
    static_cast<void>(exchange.respond(HttpResponse::text(404, "nothing here")));
  }
}

class Net : public testing::Test {
 protected:
  void start(HttpServer::Options options = {}) {
    auto server = HttpServer::create(std::move(options), handle);
    ASSERT_TRUE(server) << server.error().message();
    server_ = *std::move(server);
  }
  static std::unique_ptr<HttpClient> client(HttpClient::Options options = {}) { return *HttpClient::create(std::move(options)); }
  std::string url(const std::string& path, const std::string& scheme = "http") const {
    return fmt::format("{}://127.0.0.1:{}{}", scheme, server_->port(), path);
  }
  /// Sends raw bytes and returns everything until the server closes.
  std::string raw(const std::string& bytes) const {
    const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_TRUE(base::write_all(fd.get(), bytes));
    std::string answer;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::read(fd.get(), buffer, sizeof buffer)) > 0;) answer.append(buffer, static_cast<std::size_t>(got));
    return answer;
  }

  std::unique_ptr<HttpServer> server_;
};

TEST_F(Net, AnswersAndKeepsTheConnection) {
  start();
  const auto http = client();
  for (int i = 0; i < 3; ++i) {
    const auto response = http->send(base::Context(), {.method = "POST", .url = url("/echo"), .headers = {}, .body = "hello", .body_source = {}, .body_source_bytes = {}});
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "hello");
  }
}

TEST_F(Net, StreamsBothWays) {
  start();
  const auto http = client();
  HttpClientRequest upload;
  upload.method = "POST";
  upload.url = url("/echo");
  int chunks = 4;
  upload.body_source = [&](std::span<char> room) -> base::Result<std::size_t> {
    if (chunks-- == 0) return std::size_t{0};
    std::fill_n(room.begin(), 1000, 'x');
    return std::size_t{1000};
  };
  EXPECT_EQ(http->send(base::Context(), upload)->body.size(), 4000U);
  HttpClientRequest download;
  download.url = url("/stream");
  EXPECT_EQ(http->send(base::Context(), download)->body, "part 0\npart 1\npart 2\npart 3\npart 4\n");
}

TEST_F(Net, PipelinedRequestsAreAnsweredInOrder) {
  start();
  const std::string answer = raw("POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\none"
                                 "POST /echo HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo");
  EXPECT_THAT(answer, HasSubstr("one"));
  EXPECT_LT(answer.find("one"), answer.find("two"));
}

TEST_F(Net, RefusesWhatIsNoRequest) {
  start();
  EXPECT_THAT(raw("nonsense\r\n\r\n"), HasSubstr("400 Bad Request"));
  EXPECT_THAT(raw("GET /%zz HTTP/1.1\r\n\r\n"), HasSubstr("400 Bad Request"));
  EXPECT_THAT(raw("GET / HTTP/1.1\r\nX: " + std::string(100'000, 'y') + "\r\n\r\n"), HasSubstr("431"));
}

TEST_F(Net, BoundsTheBody) {
  start();
  EXPECT_THAT(raw("POST /echo HTTP/1.1\r\nContent-Length: 9999999\r\n\r\nx"), HasSubstr("413"));
}

TEST_F(Net, SlowHeadsTimeOut) {
  HttpServer::Options options;
  options.head_timeout = std::chrono::milliseconds(50);
  start(options);
  EXPECT_THAT(raw("GET / HT"), HasSubstr("408"));
}

TEST_F(Net, RefusesMoreConnectionsThanAllowed) {
  HttpServer::Options options;
  options.max_connections = 1;
  start(options);
  std::stop_source stop;
  std::jthread busy([&] { static_cast<void>(client()->send(base::Context(stop.get_token()), {.url = url("/wait")})); });
  std::string answer;
  for (int i = 0; i < 100 && answer.find("503") == std::string::npos; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    answer = raw("GET /none HTTP/1.1\r\nConnection: close\r\n\r\n");
  }
  EXPECT_THAT(answer, HasSubstr("Retry-After: 1"));
  stop.request_stop();
}

TEST_F(Net, AHandlerThatThrowsIsA500) {
  start();
  const auto response = client()->send(base::Context(), {.url = url("/throw")});
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 500);
}

TEST_F(Net, StopAndDeadlineEndARequestAtOnce) {
  start();
  const auto http = client();
  EXPECT_EQ(http->send(base::Context().with_timeout(std::chrono::milliseconds(30)), {.url = url("/wait")}).error().code(), ErrorCode::Timeout);
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stop.request_stop();
  });
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(http->send(base::Context(stop.get_token()), {.url = url("/wait")}).error().code(), ErrorCode::Cancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
}

TEST_F(Net, DestructionEndsBlockedHandlers) {
  start();
  std::jthread waiting([&, address = url("/wait")] { static_cast<void>(client()->send(base::Context(), {.url = address})); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto begun = std::chrono::steady_clock::now();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
}

TEST_F(Net, NobodyListeningIsUnavailable) {
  start();
  const std::string address = url("/");
  server_.reset();
  EXPECT_EQ(client()->send(base::Context(), {.url = address}).error().code(), ErrorCode::Unavailable);
}

TEST_F(Net, APortInUseIsNamed) {
  start();
  HttpServer::Options options;
  options.port = server_->port();
  const auto second = HttpServer::create(options, handle);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::AlreadyExists);
  EXPECT_THAT(second.error().message(), HasSubstr(std::to_string(server_->port())));
}

TEST_F(Net, RedirectsDropCredentialsOnAnotherHost) {
  start();
  HttpClient::Options options;
  options.max_redirects = 3;
  const auto http = client(options);
  HttpClientRequest request;
  request.headers = {{"Authorization", "Bearer secret"}};
  request.url = url("/redirect?to=/echo");
  EXPECT_EQ(http->send(base::Context(), request)->headers.get_or("X-Authorization", ""), "Bearer secret");
  request.url = url(fmt::format("/redirect?to=http://localhost:{}/echo", server_->port()));
  EXPECT_EQ(http->send(base::Context(), request)->headers.get_or("X-Authorization", ""), "none");
}

TEST_F(Net, TlsVerifiesBothSides) {
  const CertificateAuthority authority = *make_certificate_authority("test-ca");
  const CertificateAndKey server = *issue_certificate(authority, {.common_name = "server", .organizations = {}, .dns_names = {"localhost"}, .ip_addresses = {"127.0.0.1"}});
  const CertificateAndKey admin = *issue_certificate(authority, {.common_name = "admin", .organizations = {"system:masters"}, .dns_names = {}, .ip_addresses = {}});
  HttpServer::Options options;
  options.tls = *TlsServerConfig::create({.cert_pem = server.cert_pem, .key_pem = server.key_pem, .client_ca_pem = authority.cert_pem});
  start(options);
  HttpClient::Options trusting;
  trusting.tls.ca_pem = authority.cert_pem;
  EXPECT_EQ(client(trusting)->send(base::Context(), {.url = url("/who", "https")})->body, "");
  trusting.tls.cert_pem = admin.cert_pem;
  trusting.tls.key_pem = admin.key_pem;
  EXPECT_EQ(client(trusting)->send(base::Context(), {.url = url("/who", "https")})->body, "admin");
  HttpClient::Options stranger;
  stranger.tls.ca_pem = make_certificate_authority("other")->cert_pem;
  const auto refused = client(stranger)->send(base::Context(), {.url = url("/who", "https")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::Unauthorized);
}

TEST(Tls, CertificateAndKeyMustBelongTogether) {
  const CertificateAuthority a = *make_certificate_authority("a");
  const CertificateAuthority b = *make_certificate_authority("b");
  EXPECT_FALSE(TlsServerConfig::create({.cert_pem = a.cert_pem, .key_pem = b.key_pem, .client_ca_pem = ""}));
}

TEST(Target, TakesPathAndQueryApart) {
  const auto target = HttpTarget::parse("/a%20b/c?x=1&y&z=a+b%2B");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/a b/c");
  EXPECT_EQ(target->param("x"), "1");
  EXPECT_EQ(target->param("y"), "");
  EXPECT_EQ(target->param("z"), "a b+");
  EXPECT_FALSE(HttpTarget::parse("http://x/"));
  EXPECT_FALSE(HttpTarget::parse("/%00"));
}

}  // namespace
}  // namespace net

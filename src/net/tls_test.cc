#include "net/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <filesystem>
#include <latch>
#include <thread>

#include "net/test_support.h"
#include "net/tls_pem.h"

namespace net {
namespace {

using base::Context;
using base::ErrorCode;
using base::Status;
using namespace test;
using testing::HasSubstr;
using testing::StartsWith;

class Tls : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ca_ = *make_certificate_authority("test-ca");
    CertificateRequest request;
    request.common_name = "server";
    request.dns_names = {"api.test", "localhost"};
    request.ip_addresses = {"127.0.0.1", "::1"};
    server_ = *issue_certificate(ca_, request);
  }
  static std::unique_ptr<HttpServer> serve_tls(HttpServer::Handler handler,
                                               std::string client_ca = "",
                                               HttpServer::Options options = {}) {
    options.tls =
        *TlsServerConfig::create({server_.cert_pem, server_.key_pem, std::move(client_ca)});
    return serve(std::move(handler), std::move(options));
  }
  static HttpClient::Options trusting(std::string ca_pem = ca_.cert_pem) {
    HttpClient::Options options;
    options.tls.ca_pem = std::move(ca_pem);
    return options;
  }
  static HttpClient::Options as_client(const CertificateAuthority& authority, std::string name) {
    CertificateRequest request;
    request.common_name = std::move(name);
    request.organizations = {"system:masters"};
    const CertificateAndKey issued = *issue_certificate(authority, request);
    HttpClient::Options options = trusting();
    options.tls.cert_pem = issued.cert_pem;
    options.tls.key_pem = issued.key_pem;
    return options;
  }
  static base::Result<HttpResponse> get(const HttpServer& server, HttpClient::Options options,
                                        std::string_view host = "127.0.0.1") {
    return connect(std::move(options))
        ->send(bounded(), request_for("GET", fmt::format("https://{}:{}/", host, server.port())));
  }

  static inline CertificateAuthority ca_;
  static inline CertificateAndKey server_;
};

void who(const Context&, HttpExchange& exchange) {
  (void)exchange.respond(
      HttpResponse::text(200, "<" + exchange.request().client_certificate_common_name + ">"));
}

TEST_F(Tls, TheServerIsVerifiedByItsNamesAndItsAuthority) {
  HttpServer::Options everywhere;
  everywhere.address = "0.0.0.0";
  const auto server = serve_tls(who, "", everywhere);
  EXPECT_EQ(get(*server, trusting())->body, "<>");
  EXPECT_EQ(get(*server, trusting(), "localhost")->body, "<>");
  const auto wrong_name = get(*server, trusting(), "127.0.0.2");
  ASSERT_FALSE(wrong_name);
  EXPECT_EQ(wrong_name.error().code(), ErrorCode::Unauthorized);
  const auto stranger = get(*server, trusting(make_certificate_authority("other")->cert_pem));
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code(), ErrorCode::Unauthorized);
  EXPECT_EQ(get(*server, {}).error().code(), ErrorCode::Unauthorized) << "the system's roots";
  HttpClient::Options careless;
  careless.tls.insecure_skip_verify = true;
  EXPECT_TRUE(get(*server, careless, "127.0.0.2"));
}

TEST_F(Tls, AnotherServerNameCanBeVerified) {
  HttpServer::Options everywhere;
  everywhere.address = "0.0.0.0";
  const auto server = serve_tls(
      [](const Context&, HttpExchange& exchange) {
        (void)exchange.respond(
            HttpResponse::text(200, std::string(exchange.request().headers.get_or("Host", ""))));
      },
      "", everywhere);
  HttpClient::Options options = trusting();
  options.tls.server_name = "api.test";
  const auto response = get(*server, options, "127.0.0.2");
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->body, fmt::format("127.0.0.2:{}", server->port()));
  options.tls.server_name = "another.test";
  EXPECT_EQ(get(*server, options).error().code(), ErrorCode::Unauthorized);
}

TEST_F(Tls, ClientCertificatesAreAskedForAndVerified) {
  const auto server = serve_tls(who, ca_.cert_pem);
  EXPECT_EQ(get(*server, trusting())->body, "<>") << "not required";
  EXPECT_EQ(get(*server, as_client(ca_, "admin"))->body, "<admin>");
  EXPECT_FALSE(get(*server, as_client(*make_certificate_authority("test-ca"), "admin")))
      << "an authority of the same name";
  const auto unasked = serve_tls(who);
  EXPECT_EQ(get(*unasked, as_client(ca_, "admin"))->body, "<>");
}

TEST_F(Tls, RedirectsDoNotTakeTheClientCertificateAlong) {
  const auto target = serve_tls(who, ca_.cert_pem);
  const auto server = serve_tls(
      [&](const Context&, HttpExchange& exchange) {
        HttpResponse response = HttpResponse::text(302, "");
        const bool plain = exchange.request().target.path == "/plain";
        response.headers.set("Location", url_of(*target, "/", plain ? "http" : "https"));
        (void)exchange.respond(std::move(response));
      },
      ca_.cert_pem);
  HttpClient::Options options = as_client(ca_, "admin");
  options.max_redirects = 2;
  EXPECT_EQ(get(*server, options)->body, "<>");
  const auto downgrade =
      connect(options)->send(bounded(), request_for("GET", url_of(*server, "/plain", "https")));
  ASSERT_FALSE(downgrade);
  EXPECT_EQ(downgrade.error().code(), ErrorCode::Invalid);
}

TEST_F(Tls, CarriesLargeBodiesAndFiles) {
  const std::string content(5'000'000, 'z');
  const auto file = std::filesystem::temp_directory_path() / fmt::format("net_tls.{}", ::getpid());
  ASSERT_TRUE(base::write_file_atomic(file, content, 0600));
  const auto server = serve_tls([&](const Context& ctx, HttpExchange& exchange) {
    if (exchange.request().method == "POST") return echo(ctx, exchange);
    (void)exchange.send_file(HttpResponse::text(200, ""), file, 0, content.size());
  });
  const auto client = connect(trusting());
  for (int i = 0; i < 2; ++i) {
    const auto echoed =
        client->send(bounded(), request_for("POST", url_of(*server, "/", "https"), content));
    ASSERT_TRUE(echoed) << echoed.error().message();
    EXPECT_TRUE(echoed->body == content);
    EXPECT_TRUE(get(*server, trusting())->body == content);
  }
  std::filesystem::remove(file);
}

TEST_F(Tls, AVanishingClientEndsTheStreamWithoutASignal) {
  std::latch ended(1);
  std::atomic<ErrorCode> code{ErrorCode::Internal};
  const auto server = serve_tls([&](const Context& ctx, HttpExchange& exchange) {
    (void)exchange.start_stream({});
    for (;;) {
      const auto written = exchange.write("tick");
      if (!written) code = written.error().code();
      if (!written || !ctx.sleep(1ms)) break;
    }
    ended.count_down();
  });
  HttpResponseSink sink;
  sink.on_body = [](std::string_view) -> Status {
    return base::Error(ErrorCode::Conflict, "seen enough");
  };
  EXPECT_FALSE(connect(trusting())
                   ->stream(bounded(), request_for("GET", url_of(*server, "/", "https")), sink));
  const Stopwatch watch;
  ended.wait();
  EXPECT_LT(watch.elapsed(), 1s);
  EXPECT_EQ(code.load(), ErrorCode::Cancelled);
}

TEST_F(Tls, AVanishingServerEndsAnUploadWithoutASignal) {
  std::latch begun(1);
  auto server = serve_tls([&](const Context&, HttpExchange& exchange) {
    char byte = 0;
    (void)exchange.read_some(std::span(&byte, 1));
    begun.count_down();
    throw std::runtime_error("enough");
  });
  const std::string url = url_of(*server, "/", "https");
  std::jthread ender([&] {
    begun.wait();
    server.reset();
  });
  HttpClientRequest request = request_for("PUT", url);
  request.body_source = [](std::span<char> room) -> base::Result<std::size_t> {
    return room.size();
  };
  const auto response = connect(trusting())->send(bounded(), request);
  if (!response) {
    EXPECT_EQ(response.error().code(), ErrorCode::Unavailable);
  } else {
    EXPECT_EQ(response->status, 500);
  }
}

TEST_F(Tls, TellsPlainClientsToUseHttpsAndSilentOnesToGo) {
  HttpServer::Options options;
  options.head_timeout = 50ms;
  const auto server = serve_tls(who, "", options);
  const std::string answer = raw(*server, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(answer, HasSubstr("use https://"));
  EXPECT_EQ(raw(*server, ""), "");
  EXPECT_EQ(raw(*server, "\x16\x03\x01"), "") << "a handshake that does not go on";
}

TEST_F(Tls, StopEndsAHandshakeAtOnce) {
  auto server = serve_tls(who);
  RawClient silent(server->port());
  RawClient begun(server->port());
  begun.send("\x16\x03\x01");
  std::this_thread::sleep_for(20ms);
  const Stopwatch watch;
  server.reset();
  EXPECT_LT(watch.elapsed(), 100ms);
}

TEST_F(Tls, RefusesConnectionsAboveTheLimit) {
  std::latch entered(1);
  HttpServer::Options options;
  options.max_connections = 1;
  const auto server = serve_tls(
      [&](const Context& ctx, HttpExchange& exchange) {
        entered.count_down();
        while (!exchange.client_gone() && ctx.sleep(1ms)) {
        }
      },
      "", options);
  std::stop_source stop;
  std::jthread holder([&] {
    (void)connect(trusting())
        ->send(Context(stop.get_token()), request_for("GET", url_of(*server, "/", "https")));
  });
  entered.wait();
  const auto refused = get(*server, trusting());
  stop.request_stop();
  ASSERT_TRUE(refused) << refused.error().message();
  EXPECT_EQ(refused->status, 503);
  EXPECT_EQ(refused->headers.get_or("Retry-After", ""), "1");
}

TEST_F(Tls, OldProtocolsAreOff) {
  const auto config = *TlsServerConfig::create({server_.cert_pem, server_.key_pem, ""});
  EXPECT_EQ(SSL_CTX_get_min_proto_version(config->native()), TLS1_2_VERSION);
}

TEST_F(Tls, WhatCannotBeUsedIsNamed) {
  const auto error_of = [](TlsServerOptions options) {
    const auto config = TlsServerConfig::create(options);
    EXPECT_FALSE(config);
    EXPECT_EQ(config.error().code(), ErrorCode::Invalid);
    return config.error().message();
  };
  EXPECT_THAT(error_of({}), StartsWith("server certificate: "));
  EXPECT_THAT(error_of({server_.cert_pem, "", ""}), StartsWith("server key: "));
  EXPECT_THAT(error_of({server_.cert_pem, ca_.key_pem, ""}), HasSubstr("does not belong"));
  EXPECT_THAT(error_of({server_.cert_pem, server_.key_pem, "junk"}), StartsWith("client CA: "));
  const std::string cut = server_.cert_pem + server_.cert_pem.substr(0, 200);
  EXPECT_THAT(error_of({cut, server_.key_pem, ""}), StartsWith("server certificate: "));
  HttpClient::Options options;
  options.tls.ca_pem = "junk";
  EXPECT_EQ(HttpClient::create(options).error().code(), ErrorCode::Invalid);
  options = {};
  options.tls.cert_pem = server_.cert_pem;
  EXPECT_THAT(HttpClient::create(options).error().message(), HasSubstr("give both"));
  options.tls.key_pem = ca_.key_pem;
  EXPECT_THAT(HttpClient::create(options).error().message(), HasSubstr("does not belong"));
}

TEST_F(Tls, CertificatesSayWhatTheyAreFor) {
  const auto chain = *read_certificates(server_.cert_pem, "test");
  X509* leaf = chain.front().get();
  EXPECT_EQ(X509_get_key_usage(leaf), static_cast<unsigned>(KU_DIGITAL_SIGNATURE));
  EXPECT_EQ(X509_get_extended_key_usage(leaf),
            static_cast<unsigned>(XKU_SSL_SERVER | XKU_SSL_CLIENT));
  EXPECT_EQ(X509_check_ca(leaf), 0);
  EXPECT_EQ(X509_check_host(leaf, "api.test", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(leaf, "x.test", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(leaf, "::1", 0), 1);
  std::time_t four_minutes_ago = std::time(nullptr) - 4 * 60;
  EXPECT_LT(X509_cmp_time(X509_get0_notBefore(leaf), &four_minutes_ago), 0);
  const auto authority = *read_certificates(ca_.cert_pem, "test");
  EXPECT_EQ(X509_check_ca(authority.front().get()), 1);
  EXPECT_EQ(X509_check_issued(authority.front().get(), leaf), X509_V_OK);
  const auto another =
      *read_certificates(issue_certificate(ca_, {"x", {}, {}, {}})->cert_pem, "test");
  EXPECT_NE(
      ASN1_INTEGER_cmp(X509_get0_serialNumber(leaf), X509_get0_serialNumber(another.front().get())),
      0);
}

TEST_F(Tls, BadNamesAndAuthoritiesAreRefused) {
  EXPECT_EQ(issue_certificate(ca_, {"x", {}, {}, {"1.2.3"}}).error().code(), ErrorCode::Invalid);
  EXPECT_EQ(issue_certificate(ca_, {"x", {}, {"a b"}, {}}).error().code(), ErrorCode::Invalid);
  EXPECT_EQ(issue_certificate({ca_.cert_pem, server_.key_pem}, {"x", {}, {}, {}}).error().code(),
            ErrorCode::Invalid);
  EXPECT_EQ(issue_certificate({"junk", "junk"}, {"x", {}, {}, {}}).error().code(),
            ErrorCode::Invalid);
}

}  // namespace
}  // namespace net

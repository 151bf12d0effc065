#include "net/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <latch>
#include <thread>

#include "net/test_support.h"

namespace net {
namespace {

using base::Context;
using base::ErrorCode;
using namespace test;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

void ok(const Context&, HttpExchange& exchange) {
  (void)exchange.respond(HttpResponse::text(200, exchange.request().target.path));
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(HttpServer, KeepsTheConnectionBetweenRequests) {
  const auto server = serve(ok);
  RawClient client(server->port());
  for (const std::string_view path : {"/one", "/two"}) {
    client.send(fmt::format("GET {} HTTP/1.1\r\n\r\n", path));
    EXPECT_THAT(client.read_until(path), StartsWith("HTTP/1.1 200 OK\r\nDate: "));
  }
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  const auto server = serve(echo);
  const std::string answer = raw(*server,
                                 "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nfirst"
                                 "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n"
                                 "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(count(answer, "HTTP/1.1 200 OK"), 3U);
  EXPECT_LT(answer.find("first"), answer.find("second"));
}

TEST(HttpServer, ServesOldClients) {
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    if (exchange.request().target.path != "/stream")
      return (void)exchange.respond(HttpResponse::text(200, "whole"));
    (void)exchange.start_stream(HttpResponse::text(200, ""));
    (void)exchange.write("part1");
    (void)exchange.write("part2");
  });
  EXPECT_THAT(raw(*server, "GET / HTTP/1.0\r\n\r\n"), EndsWith("Connection: close\r\n\r\nwhole"));
  EXPECT_THAT(raw(*server, "GET /stream HTTP/1.0\r\n\r\n"), EndsWith("\r\n\r\npart1part2"));
  const std::string kept = raw(*server,
                               "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                               "GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(kept, HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_EQ(count(kept, "whole"), 2U);
}

TEST(HttpServer, AcceptsAbsoluteTargetsAndAnEmptyLineBefore) {
  const auto server = serve(ok);
  EXPECT_THAT(raw(*server,
                  "\r\nGET http://host:1/p%20q?x "
                  "HTTP/1.1\r\nConnection: close\r\n\r\n"),
              EndsWith("/p q"));
}

TEST(HttpServer, RefusesWhatIsNoRequest) {
  const auto server = serve([](const Context&, HttpExchange&) { ADD_FAILURE() << "reached"; });
  const std::string long_field = "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n";
  const std::pair<std::string, std::string_view> cases[] = {
      {"nonsense\r\n\r\n", "400 Bad Request"},
      {"GET /%zz HTTP/1.1\r\n\r\n", "400 Bad Request"},
      {"GET * HTTP/1.1\r\n\r\n", "400 Bad Request"},
      {"CONNECT host:1 HTTP/1.1\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400 Bad Request"},
      {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400 Bad Request"},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400 Bad Request"},
      {"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: "
       "chunked\r\n\r\n",
       "400 Bad Request"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501 Not Implemented"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", "501 Not Implemented"},
      {long_field, "431 Request Header Fields Too Large"},
      {"GET /" + std::string(100'000, 'p'), "431 Request Header Fields Too Large"},
  };
  for (const auto& [request, status] : cases) {
    const std::string answer = raw(*server, request);
    EXPECT_THAT(answer, StartsWith(fmt::format("HTTP/1.1 {}\r\n", status)))
        << request.substr(0, 60);
    EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
    EXPECT_EQ(answer.find('\n', answer.find("\r\n\r\n") + 4), answer.size() - 1) << "one line";
  }
}

TEST(HttpServer, SlowHeadsGet408AndIdleConnectionsAreClosed) {
  HttpServer::Options options;
  options.head_timeout = 30ms;
  options.idle_timeout = 40ms;
  const auto server = serve(ok, options);
  EXPECT_THAT(raw(*server, "GET / HT"), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_EQ(raw(*server, ""), "");
}

TEST(HttpServer, BodiesBeyondTheLimitGet413EvenWhenTheClientKeepsSending) {
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    const auto body = exchange.read_body(1'000);
    ASSERT_FALSE(body);
    EXPECT_EQ(body.error().code(), ErrorCode::Invalid);
    (void)exchange.respond(HttpResponse::text(body.error().http_status(), "too large\n"));
  });
  const std::string big(4 << 20, 'b');
  for (const std::string& framing :
       {fmt::format("Content-Length: {}\r\n\r\n", big.size()),
        fmt::format("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", big.size())}) {
    const std::string answer = raw(*server, "POST / HTTP/1.1\r\n" + framing + big);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 413 Content Too Large\r\n"));
    EXPECT_THAT(answer, EndsWith("too large\n")) << "whole, and without a reset";
  }
}

TEST(HttpServer, BodiesOfTheLimitPass) {
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    const auto body = exchange.read_body(1'000);
    (void)exchange.respond(HttpResponse::text(body ? 200 : 413, ""));
  });
  const std::string head = "POST / HTTP/1.1\r\nConnection: close\r\n";
  const std::string body(1'000, 'b');
  EXPECT_THAT(raw(*server, head + "Content-Length: 1000\r\n\r\n" + body), HasSubstr(" 200 "));
  EXPECT_THAT(
      raw(*server, head + "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + body + "\r\n0\r\n\r\n"),
      HasSubstr(" 200 "));
}

TEST(HttpServer, BadChunksAndSlowBodiesAreErrorsOfTheBody) {
  HttpServer::Options options;
  options.io_timeout = 40ms;
  const auto server = serve(echo, options);
  const std::string head = "POST / HTTP/1.1\r\n";
  EXPECT_THAT(raw(*server, head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), HasSubstr(" 400 "));
  EXPECT_THAT(raw(*server, head + "Content-Length: 5\r\n\r\nab"), HasSubstr(" 408 "));
}

TEST(HttpServer, AnUnreadBodyIsSkippedOrEndsTheConnection) {
  const auto server = serve(ok);
  const std::string get = "GET /next HTTP/1.1\r\nConnection: close\r\n\r\n";
  const std::string small = "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /";
  EXPECT_THAT(raw(*server, small + get), EndsWith("/next"));
  const std::string large = fmt::format("POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}", 1 << 20,
                                        std::string(1 << 20, 'x'));
  const std::string answer = raw(*server, large + get);
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n/a"));
}

TEST(HttpServer, ContinuesWhenTheHandlerWantsTheBody) {
  const auto server = serve([](const Context& ctx, HttpExchange& exchange) {
    if (exchange.request().target.path == "/read") return echo(ctx, exchange);
    (void)exchange.respond(HttpResponse::text(403, "no"));
  });
  RawClient reader(server->port());
  reader.send(
      "POST /read HTTP/1.1\r\nContent-Length: 4\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_EQ(reader.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  reader.send("body");
  EXPECT_THAT(reader.read_until("body"), StartsWith("HTTP/1.1 200 OK\r\n"));
  const std::string refused =
      raw(*server, "POST /no HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_THAT(refused, HasSubstr("Connection: close\r\n"));
}

TEST(HttpServer, RefusesConnectionsAboveTheLimit) {
  std::latch entered(1);
  HttpServer::Options options;
  options.max_connections = 1;
  const auto server = serve(
      [&](const Context& ctx, HttpExchange& exchange) {
        if (exchange.request().target.path == "/hold") {
          entered.count_down();
          while (!exchange.client_gone() && ctx.sleep(1ms)) {
          }
        }
        (void)exchange.respond(HttpResponse::text(200, "served"));
      },
      options);
  RawClient holder(server->port());
  holder.send("GET /hold HTTP/1.1\r\n\r\n");
  entered.wait();
  const std::string get = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
  const std::string refused = raw(*server, get);
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(refused, HasSubstr("\r\nRetry-After: 1\r\n"));
  holder.close();
  std::string served;
  for (const Stopwatch watch; watch.elapsed() < 5s && !served.ends_with("served");)
    served = raw(*server, get);
  EXPECT_THAT(served, EndsWith("served")) << "the place is free again";
}

TEST(HttpServer, EndsIdleConnectionsToMakeRoom) {
  std::latch may_end(1);
  HttpServer::Options options;
  options.max_connections = 2;
  const auto server = serve(
      [&](const Context& ctx, HttpExchange& exchange) {
        if (exchange.request().target.path == "/held") may_end.wait();
        ok(ctx, exchange);
      },
      options);
  RawClient idle(server->port());
  idle.send("GET /idle HTTP/1.1\r\n\r\n");
  EXPECT_THAT(idle.read_until("/idle"), Not(HasSubstr("Connection: close")));
  RawClient held(server->port());
  held.send("GET /held HTTP/1.1\r\n\r\n");
  EXPECT_EQ(idle.read_all(), "") << "ended without an answer";
  std::string third;
  for (const Stopwatch watch; watch.elapsed() < 5s && !third.ends_with("/third");)
    third = raw(*server, "GET /third HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(third, EndsWith("/third"));
  may_end.count_down();
}

TEST(HttpServer, NoticesAClientThatVanishesWhileStreaming) {
  std::latch started(1);
  std::latch ended(1);
  std::atomic<ErrorCode> code{ErrorCode::Internal};
  const auto server = serve([&](const Context& ctx, HttpExchange& exchange) {
    (void)exchange.start_stream(HttpResponse::text(200, ""));
    started.count_down();
    for (;;) {
      const auto written = exchange.write("tick\n");
      if (!written) {
        code = written.error().code();
        break;
      }
      if (!ctx.sleep(1ms)) break;
    }
    EXPECT_TRUE(exchange.client_gone());
    ended.count_down();
  });
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\n\r\n");
  started.wait();
  EXPECT_THAT(client.read_until("tick"), HasSubstr("chunked"));
  client.close();
  const Stopwatch watch;
  ended.wait();
  EXPECT_LT(watch.elapsed(), 1s);
  EXPECT_EQ(code.load(), ErrorCode::Cancelled);
}

TEST(HttpServer, APipelinedRequestIsNotAGoneClient) {
  std::latch sent(1);
  std::atomic<int> gone{0};
  const auto server = serve([&](const Context& ctx, HttpExchange& exchange) {
    sent.wait();
    if (exchange.client_gone()) ++gone;
    ok(ctx, exchange);
  });
  RawClient client(server->port());
  client.send("GET /a HTTP/1.1\r\n\r\n");
  client.send("GET /b HTTP/1.1\r\n\r\n");
  sent.count_down();
  EXPECT_THAT(client.read_until("/b"), HasSubstr("/a"));
  EXPECT_EQ(gone, 0);
}

TEST(HttpServer, AClientThatDoesNotReadTimesOut) {
  std::atomic<ErrorCode> code{ErrorCode::Internal};
  std::latch ended(1);
  HttpServer::Options options;
  options.io_timeout = 50ms;
  const auto server = serve(
      [&](const Context&, HttpExchange& exchange) {
        const auto sent = exchange.respond(HttpResponse::text(200, std::string(64 << 20, 'x')));
        if (!sent) code = sent.error().code();
        ended.count_down();
      },
      options);
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\n\r\n");
  ended.wait();
  EXPECT_EQ(code.load(), ErrorCode::Timeout);
}

TEST(HttpServer, DestructionCancelsBlockedHandlersAtOnce) {
  std::latch entered(2);
  auto server = serve([&](const Context& ctx, HttpExchange& exchange) {
    entered.count_down();
    if (exchange.request().method == "POST") {
      const auto body = exchange.read_body(100);
      ASSERT_FALSE(body);
      EXPECT_EQ(body.error().code(), ErrorCode::Cancelled);
    } else {
      EXPECT_EQ(ctx.sleep(1min).error().code(), ErrorCode::Cancelled);
    }
  });
  RawClient sleeping(server->port());
  sleeping.send("GET / HTTP/1.1\r\n\r\n");
  RawClient reading(server->port());
  reading.send("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n");
  RawClient idle(server->port());
  entered.wait();
  const Stopwatch watch;
  server.reset();
  EXPECT_LT(watch.elapsed(), 100ms);
}

TEST(HttpServer, DrainWaitsForRequestsButNotForIdleConnections) {
  std::latch entered(1);
  std::latch may_end(1);
  const auto server = serve([&](const Context& ctx, HttpExchange& exchange) {
    if (exchange.request().target.path == "/held") {
      entered.count_down();
      may_end.wait();
    }
    ok(ctx, exchange);
  });
  RawClient idle(server->port());
  idle.send("GET /x HTTP/1.1\r\n\r\n");
  idle.read_until("/x");
  RawClient held(server->port());
  held.send("GET /held HTTP/1.1\r\n\r\n");
  entered.wait();
  std::jthread draining([&] { server->drain(5s); });
  EXPECT_EQ(idle.read_all(), "");
  may_end.count_down();
  const std::string answer = held.read_all();
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, EndsWith("/held"));
  draining.join();
}

TEST(HttpServer, DrainCancelsWhatOutlastsItsLimit) {
  std::latch entered(1);
  std::atomic<bool> cancelled{false};
  auto server = serve([&](const Context& ctx, HttpExchange&) {
    entered.count_down();
    cancelled = !ctx.sleep(1min);
  });
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\n\r\n");
  entered.wait();
  const Stopwatch watch;
  server->drain(30ms);
  EXPECT_GE(watch.elapsed(), 30ms);
  server.reset();
  EXPECT_LT(watch.elapsed(), 500ms);
  EXPECT_TRUE(cancelled);
}

TEST(HttpServer, FailuresOfHandlersAre500) {
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    const std::string& path = exchange.request().target.path;
    if (path == "/throw") throw std::runtime_error("secret detail");
    if (path == "/late") {
      (void)exchange.start_stream(HttpResponse::text(200, ""));
      (void)exchange.write("begun");
      throw std::runtime_error("late");
    }
    if (path == "/split") {
      HttpResponse response = HttpResponse::text(200, "");
      response.headers.set("X", "a\r\nInjected: b");
      EXPECT_EQ(exchange.respond(std::move(response)).error().code(), ErrorCode::Invalid);
      EXPECT_FALSE(exchange.answered());
    }
  });
  for (const std::string_view path : {"/throw", "/split", "/silent"}) {
    const std::string answer =
        raw(*server, fmt::format("GET {} HTTP/1.1\r\nConnection: close\r\n\r\n", path));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 Internal Server Error\r\n")) << path;
    EXPECT_THAT(answer, Not(HasSubstr("secret")));
    EXPECT_THAT(answer, Not(HasSubstr("Injected")));
  }
  const std::string cut = raw(*server, "GET /late HTTP/1.1\r\n\r\n");
  EXPECT_THAT(cut, EndsWith("5\r\nbegun\r\n")) << "no last chunk: the client sees the cut";
  EXPECT_THAT(raw(*server, "GET /late HTTP/1.0\r\n\r\n"), EndsWith("<reset>"))
      << "without chunks only a reset shows it";
}

TEST(HttpServer, ASecondAnswerIsRefused) {
  const auto server = serve([](const Context& ctx, HttpExchange& exchange) {
    ok(ctx, exchange);
    EXPECT_TRUE(exchange.answered());
    EXPECT_FALSE(exchange.respond(HttpResponse::text(200, "again")));
    EXPECT_FALSE(exchange.start_stream(HttpResponse::text(200, "")));
    EXPECT_FALSE(exchange.write("more"));
  });
  EXPECT_EQ(count(raw(*server, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), "HTTP/1.1"), 1U);
}

TEST(HttpServer, HeadAndBodylessStatusesCarryNoBody) {
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    const std::string& path = exchange.request().target.path;
    HttpResponse response = HttpResponse::text(200, "");
    if (path == "/known") response.headers.set("Content-Length", "12345");
    if (path == "/whole") response.body = "hello";
    if (path == "/none") response = {204, {}, "dropped"};
    if (path != "/stream") return (void)exchange.respond(std::move(response));
    (void)exchange.start_stream(std::move(response));
    (void)exchange.write("dropped");
  });
  const auto head = [&](std::string_view method, std::string_view path) {
    return raw(*server, fmt::format("{} {} HTTP/1.1\r\nConnection: close\r\n\r\n", method, path));
  };
  EXPECT_THAT(head("HEAD", "/known"), HasSubstr("Content-Length: 12345\r\n"));
  EXPECT_THAT(head("HEAD", "/whole"), HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(head("GET", "/none"), Not(HasSubstr("Content-Length")));
  EXPECT_THAT(head("GET", "/known"), HasSubstr("Content-Length: 0\r\n"));
  for (const std::string_view path : {"/known", "/whole", "/stream"})
    EXPECT_THAT(head("HEAD", path), EndsWith("\r\n\r\n")) << path;
  EXPECT_THAT(head("GET", "/none"), EndsWith("\r\n\r\n"));
}

TEST(HttpServer, SendsPartsOfFiles) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("net_test.{}", ::getpid());
  std::string content;
  for (int i = 0; content.size() < (3 << 20); ++i) content += std::to_string(i);
  ASSERT_TRUE(base::write_file_atomic(file, content, 0600));
  const auto server = serve([&](const Context&, HttpExchange& exchange) {
    const HttpTarget& target = exchange.request().target;
    const auto number = [&](std::string_view key) {
      return std::stoull(std::string(target.param(key).value_or("0")));
    };
    const auto sent = exchange.send_file(HttpResponse::text(206, ""),
                                         target.path == "/file" ? file : "/nonexistent",
                                         number("from"), number("size"));
    if (!sent && !exchange.answered())
      (void)exchange.respond(
          HttpResponse::text(sent.error().code() == ErrorCode::NotFound ? 404 : 416, ""));
  });
  const auto client = connect();
  const auto get = [&](std::string_view path) {
    return *client->send(bounded(), request_for("GET", url_of(*server, path)));
  };
  const std::string whole = fmt::format("/file?size={}", content.size());
  EXPECT_TRUE(get(whole).body == content);
  EXPECT_EQ(get("/file?from=1000&size=10").body, content.substr(1000, 10));
  EXPECT_EQ(get("/file?from=1000&size=0").body, "");
  EXPECT_EQ(get(fmt::format("/file?from=1&size={}", content.size())).status, 416);
  EXPECT_EQ(get("/file?from=99999999&size=1").status, 416);
  EXPECT_EQ(get("/missing").status, 404);
  EXPECT_EQ(client->send(bounded(), request_for("HEAD", url_of(*server, whole)))
                ->headers.get_or("Content-Length", ""),
            std::to_string(content.size()));
  std::filesystem::remove(file);
}

TEST(HttpServer, AFileForAVanishedClientRaisesNoSignal) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("net_gone.{}", ::getpid());
  ASSERT_TRUE(base::write_file_atomic(file, std::string(8 << 20, 'f'), 0600));
  std::latch ended(1);
  std::atomic<ErrorCode> code{ErrorCode::Internal};
  const auto server = serve([&](const Context& ctx, HttpExchange& exchange) {
    while (!exchange.client_gone() && ctx.sleep(1ms)) {
    }
    const auto sent = exchange.send_file(HttpResponse::text(200, ""), file, 0, 8 << 20);
    if (!sent) code = sent.error().code();
    ended.count_down();
  });
  RawClient client(server->port());
  client.send("GET / HTTP/1.1\r\n\r\n");
  client.close();
  ended.wait();
  EXPECT_EQ(code.load(), ErrorCode::Cancelled);
  std::filesystem::remove(file);
}

TEST(HttpServer, NamesWhatKeepsItFromListening) {
  const auto first = serve(ok);
  HttpServer::Options options;
  options.port = first->port();
  const auto second = HttpServer::create(options, ok);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::AlreadyExists);
  EXPECT_THAT(second.error().message(), HasSubstr(fmt::format("port {}", first->port())));
  for (const std::string_view address : {"nowhere", "192.0.2.1"}) {
    options.address = address;
    const auto refused = HttpServer::create(options, ok);
    ASSERT_FALSE(refused) << address;
    EXPECT_EQ(refused.error().code(), ErrorCode::Invalid);
    EXPECT_THAT(refused.error().message(), HasSubstr(address));
  }
}

TEST(HttpServer, TellsTheHandlerWhoAsksForWhat) {
  const auto server = serve([](const Context&, HttpExchange& exchange) {
    const HttpRequestHead& request = exchange.request();
    EXPECT_THAT(request.peer, StartsWith("127.0.0.1:"));
    EXPECT_EQ(request.raw_target, "/a%2Fb?k=v");
    EXPECT_EQ(request.target.path, "/a/b");
    EXPECT_EQ(request.target.param("k"), "v");
    EXPECT_EQ(request.headers.get("x-twice"), "1");
    (void)exchange.respond(HttpResponse::json(201, request.method));
  });
  EXPECT_THAT(raw(*server,
                  "PATCH /a%2Fb?k=v HTTP/1.1\r\nX-Twice: "
                  "1\r\nX-Twice: 2\r\nConnection: close\r\n\r\n"),
              EndsWith("PATCH"));
}

}  // namespace
}  // namespace net

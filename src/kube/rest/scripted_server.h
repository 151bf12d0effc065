#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/assert.h"
#include "kube/rest/client.h"
#include "net/http_server.h"

namespace kube {

/// An HTTP server for tests that answers each request with the next step of a script; the last step
/// repeats. It plays what an API server does wrong.
class ScriptedServer {
 public:
  struct Seen {
    std::string method, target, path, content_type, accept, authorization, peer, body;
  };
  using Step = std::function<void(const base::Context&, net::HttpExchange&)>;

  explicit ScriptedServer(std::vector<Step> script,
                          std::shared_ptr<const net::TlsServerConfig> tls = nullptr)
      : script_(std::move(script)), is_tls_(tls != nullptr) {
    net::HttpServer::Options options;
    options.tls = std::move(tls);
    auto server = net::HttpServer::create(
        options,
        [this](const base::Context& ctx, net::HttpExchange& exchange) { serve(ctx, exchange); });
    ASSERT(server.has_value());
    server_ = *std::move(server);
  }

  RestConfig config() const {
    RestConfig config;
    config.server =
        (is_tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(server_->port());
    return config;
  }
  std::unique_ptr<Client> client() const {
    auto client = Client::create(config());
    ASSERT(client.has_value());
    return *std::move(client);
  }
  std::vector<Seen> seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }

  static Step json(int status, std::string body, net::HttpHeaders headers = {}) {
    return [=](const base::Context&, net::HttpExchange& exchange) {
      net::HttpResponse response = net::HttpResponse::json(status, body);
      for (const auto& [name, value] : headers) response.headers.add(name, value);
      (void)exchange.respond(std::move(response));
    };
  }
  /// Sends the chunks, then ends the body.
  static Step stream(std::vector<std::string> chunks) {
    return [=](const base::Context&, net::HttpExchange& exchange) {
      (void)exchange.start_stream(net::HttpResponse::json(200, ""));
      for (const std::string& chunk : chunks) (void)exchange.write(chunk);
    };
  }
  /// Sends the chunks, then nothing until the client or the server goes.
  static Step hang(std::vector<std::string> chunks) {
    return [=](const base::Context& ctx, net::HttpExchange& exchange) {
      (void)exchange.start_stream(net::HttpResponse::json(200, ""));
      for (const std::string& chunk : chunks) (void)exchange.write(chunk);
      while (!exchange.client_gone() && ctx.sleep(std::chrono::milliseconds(2))) {
      }
    };
  }

 private:
  void serve(const base::Context& ctx, net::HttpExchange& exchange) {
    const net::HttpRequestHead& head = exchange.request();
    Seen seen{.method = head.method,
              .target = head.raw_target,
              .path = head.target.path,
              .content_type = std::string(head.headers.get_or("Content-Type", "")),
              .accept = std::string(head.headers.get_or("Accept", "")),
              .authorization = std::string(head.headers.get_or("Authorization", "")),
              .peer = head.peer,
              .body = exchange.read_body(1 << 20).value_or("unreadable")};
    Step step;
    {
      std::lock_guard lock(mutex_);
      seen_.push_back(std::move(seen));
      step = script_[std::min(seen_.size(), script_.size()) - 1];
    }
    step(ctx, exchange);
  }

  std::vector<Step> script_;
  bool is_tls_;
  mutable std::mutex mutex_;
  std::vector<Seen> seen_;
  std::unique_ptr<net::HttpServer> server_;  ///< Last: its threads end before the rest goes.
};

}  // namespace kube

#include "inference/http/service.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "inference/http/errors.h"
#include "inference/http/limits.h"

namespace inference {
namespace {

struct Route {
  std::string_view method;
  std::string_view path;
  void (*call)(const ChatApi& chat, const OpenAiApi& openai, const EngineRoom& room,
               const base::Context& ctx, net::HttpExchange& exchange);
};

void reply_json(net::HttpExchange& exchange, int status, const json::Object& body) {
  (void)exchange.respond(net::HttpResponse::json(status, json::dump(body)));
}

void health(const ChatApi&, const OpenAiApi&, const EngineRoom& room, const base::Context&,
            net::HttpExchange& exchange) {
  const auto view = room.choices.view();
  json::Object body{{"status", view->settled ? "Healthy" : "Loading"}};
  if (!view->adapters.empty()) {
    json::Object states;
    for (const AdapterStatus& one : view->adapters)
      states.emplace(one.name, json::String(to_string(one.state)));
    body.emplace("adapters", std::move(states));
  }
  reply_json(exchange, view->settled ? 200 : 503, body);
}

void metrics_text(const ChatApi&, const OpenAiApi&, const EngineRoom& room, const base::Context&,
                  net::HttpExchange& exchange) {
  net::HttpResponse response;
  response.headers.set("Content-Type", std::string(metrics::kContentType));
  response.body = room.registry.text();
  (void)exchange.respond(std::move(response));
}

constexpr std::array kRoutes{
    Route{"GET", "/",
          [](const ChatApi&, const OpenAiApi&, const EngineRoom&, const base::Context&,
             net::HttpExchange& exchange) {
            reply_json(exchange, 200, {{"message", "Server is running"}});
          }},
    Route{"GET", "/health", health},
    Route{"GET", "/healthz", health},
    Route{"GET", "/metrics", metrics_text},
    Route{"GET", "/version",
          [](const ChatApi&, const OpenAiApi&, const EngineRoom& room, const base::Context&,
             net::HttpExchange& exchange) {
            reply_json(exchange, 200, {{"version", room.version}});
          }},
    Route{"POST", "/chat",
          [](const ChatApi& chat, const OpenAiApi&, const EngineRoom&, const base::Context& ctx,
             net::HttpExchange& exchange) { chat.chat(ctx, exchange); }},
    Route{"GET", "/v1/models",
          [](const ChatApi&, const OpenAiApi& openai, const EngineRoom&, const base::Context&,
             net::HttpExchange& exchange) { openai.models(exchange); }},
    Route{"GET", "/v1/adapters",
          [](const ChatApi&, const OpenAiApi& openai, const EngineRoom&, const base::Context&,
             net::HttpExchange& exchange) { openai.adapters(exchange); }},
    Route{"POST", "/v1/chat/completions",
          [](const ChatApi&, const OpenAiApi& openai, const EngineRoom&, const base::Context& ctx,
             net::HttpExchange& exchange) { openai.chat_completions(ctx, exchange); }},
    Route{"POST", "/v1/completions",
          [](const ChatApi&, const OpenAiApi& openai, const EngineRoom&, const base::Context& ctx,
             net::HttpExchange& exchange) { openai.completions(ctx, exchange); }},
    Route{"POST", "/tokenize",
          [](const ChatApi&, const OpenAiApi& openai, const EngineRoom&, const base::Context&,
             net::HttpExchange& exchange) { openai.tokenize(exchange); }},
    Route{"POST", "/detokenize",
          [](const ChatApi&, const OpenAiApi& openai, const EngineRoom&, const base::Context&,
             net::HttpExchange& exchange) { openai.detokenize(exchange); }},
};

void answer_unknown(net::HttpExchange& exchange, std::string_view allowed) {
  const std::string& path = exchange.request().target.path;
  const ApiStyle style = style_of(path);
  if (allowed.empty()) {
    (void)exchange.respond(error_response(style, 404, "Not Found"));
    return;
  }
  net::HttpResponse response = error_response(style, 405, "Method Not Allowed");
  response.headers.set("Allow", std::string(allowed));
  (void)exchange.respond(std::move(response));
}

}  // namespace

void Service::handle(const base::Context& ctx, net::HttpExchange& exchange) const {
  const net::HttpRequestHead& request = exchange.request();
  // HEAD is GET without the body, which the exchange drops.
  const std::string_view method =
      request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::string_view allowed;
  for (const Route& route : kRoutes) {
    if (route.path != request.target.path) continue;
    if (route.method == method) return route.call(chat_, openai_, room_, ctx, exchange);
    allowed = route.method;
  }
  answer_unknown(exchange, allowed);
}

void answer_while_loading(net::HttpExchange& exchange) {
  const std::string& path = exchange.request().target.path;
  if (path == "/") return reply_json(exchange, 200, {{"message", "Server is running"}});
  net::HttpResponse response = error_response(style_of(path), 503, "the model is loading");
  if (path == "/health" || path == "/healthz")
    response = net::HttpResponse::json(503, json::dump(json::Object{{"status", "Loading"}}));
  response.headers.set("Retry-After", fmt::format("{}", kLoadingRetryAfter.count()));
  (void)exchange.respond(std::move(response));
}

}  // namespace inference

#include "inference/http/engine_room.h"

#include <fmt/format.h>

#include "inference/http/limits.h"
#include "json/value.h"
#include "net/http_server.h"

namespace inference {

using base::Error;
using base::ErrorCode;

std::string client_of(const net::HttpRequestHead& request) {
  if (const auto key = request.headers.get("Authorization")) return std::string(*key);
  return request.peer.substr(0, request.peer.rfind(':'));
}

base::Result<json::Object> read_json_object(net::HttpExchange& exchange) {
  const auto type = exchange.request().headers.get("Content-Type");
  if (type) {
    const std::string media = net::media_type(*type);
    if (media != "application/json" && !media.ends_with("+json")) {
      return Error(ErrorCode::Invalid, fmt::format("the body should be application/json, not {}; "
                                                   "add the header Content-Type: application/json",
                                                   media))
          .with_http_status(415);
    }
  }
  const std::string body = TRY(exchange.read_body(kMaxBodyBytes));
  json::Value value =
      TRY(json::parse(body, {.max_depth = kMaxJsonDepth, .max_bytes = kMaxBodyBytes}));
  if (json::Object* object = value.if_object()) return std::move(*object);
  return Error(ErrorCode::Invalid,
               fmt::format("the body should be a JSON object, found {}", json::kind_name(value)));
}

base::Status check_text_size(const EngineRoom& room, std::size_t text_bytes) {
  const std::size_t least_tokens = text_bytes / room.model.longest_piece_bytes();
  const auto limit = static_cast<std::size_t>(room.scheduler.context_tokens());
  if (least_tokens < limit) return {};
  return Error(
      ErrorCode::Invalid,
      fmt::format("this model's maximum context length is {} tokens, but the prompt has {} "
                  "tokens or more; shorten the prompt",
                  limit, least_tokens));
}

base::Status check_prompt_size(const Scheduler& scheduler, std::size_t prompt_tokens) {
  const auto limit = static_cast<std::size_t>(scheduler.context_tokens());
  if (prompt_tokens < limit) return {};
  return Error(ErrorCode::Invalid, fmt::format("this model's maximum context length is {} tokens, "
                                               "but the prompt has {} tokens; shorten the prompt",
                                               limit, prompt_tokens));
}

}  // namespace inference

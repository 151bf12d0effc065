#pragma once

#include "base/context.h"
#include "inference/http/chat_api.h"
#include "inference/http/engine_room.h"
#include "inference/http/openai_api.h"
#include "net/http_server.h"

namespace inference {

/// The routes of the inference server. `handle` answers every request; any thread.
class Service {
 public:
  explicit Service(const EngineRoom& room) : chat_(room), openai_(room), room_(room) {}

  void handle(const base::Context& ctx, net::HttpExchange& exchange) const;

 private:
  ChatApi chat_;
  OpenAiApi openai_;
  EngineRoom room_;
};

/// What the server says before the model is loaded: 503 with Retry-After, but `GET /` works.
void answer_while_loading(net::HttpExchange& exchange);

}  // namespace inference

#pragma once

#include "base/context.h"
#include "inference/http/answer.h"
#include "inference/http/chat_request.h"
#include "inference/http/engine_room.h"
#include "net/http_server.h"

namespace inference {

/// `POST /chat` as KAITO has it since v0.2: a prompt in, `{"Result": text}` out. With a model that
/// has a chat template a prompt is a question and gets an answer; `"apply_chat_template": false`
/// continues the prompt instead. Any thread.
class ChatApi {
 public:
  explicit ChatApi(EngineRoom room) : room_(std::move(room)) {}

  void chat(const base::Context& ctx, net::HttpExchange& exchange) const;

 private:
  struct Prompt {
    std::vector<TokenId> tokens;
    bool templated = false;
  };
  base::Result<Prompt> make_prompt(const ChatRequest& request) const;
  base::Result<int> answer_tokens(const ChatRequest& request, const Prompt& prompt) const;
  base::Result<std::vector<Answer>> submit_all(const net::HttpExchange& exchange,
                                               const ChatRequest& request, const Prompt& prompt,
                                               const AdapterSetPointer& adapters) const;

  EngineRoom room_;
};

}  // namespace inference

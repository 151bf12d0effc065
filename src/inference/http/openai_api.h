#pragma once

#include "base/context.h"
#include "inference/http/engine_room.h"
#include "inference/http/openai_json.h"
#include "inference/http/openai_request.h"
#include "net/http_server.h"

namespace inference {

/// The OpenAI endpoints. Each answers the exchange. Any thread.
class OpenAiApi {
 public:
  explicit OpenAiApi(EngineRoom room);

  void models(net::HttpExchange& exchange) const;
  void chat_completions(const base::Context& ctx, net::HttpExchange& exchange) const;
  void completions(const base::Context& ctx, net::HttpExchange& exchange) const;
  /// vLLM's helpers.
  void tokenize(net::HttpExchange& exchange) const;
  void detokenize(net::HttpExchange& exchange) const;

 private:
  using Prompts = std::vector<std::vector<TokenId>>;

  base::Status check_model(const std::string& name) const;
  void answer(const base::Context& ctx, net::HttpExchange& exchange, CompletionKind kind,
              const CompletionOptions& options, const Prompts& prompts) const;
  base::Result<std::vector<Answer>> submit_all(const net::HttpExchange& exchange,
                                               const CompletionOptions& options,
                                               const Prompts& prompts) const;
  base::Result<GenerationRequest> make_request(const CompletionOptions& options,
                                               const std::vector<TokenId>& prompt) const;
  void stream(const base::Context& ctx, net::HttpExchange& exchange, const AnswerHeader& header,
              bool with_usage, std::vector<Answer> answers, Usage usage) const;

  EngineRoom room_;
  std::int64_t started_;
};

}  // namespace inference

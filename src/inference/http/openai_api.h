#pragma once

#include <optional>
#include <string>
#include <vector>

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
  /// What became of each adapter.
  void adapters(net::HttpExchange& exchange) const;
  void chat_completions(const base::Context& ctx, net::HttpExchange& exchange) const;
  void completions(const base::Context& ctx, net::HttpExchange& exchange) const;
  /// vLLM's helpers.
  void tokenize(net::HttpExchange& exchange) const;
  void detokenize(net::HttpExchange& exchange) const;

 private:
  using Prompts = std::vector<std::vector<TokenId>>;

  /// Answers the exchange when there is no such model.
  std::optional<AdapterChoices::Choice> choose_model(net::HttpExchange& exchange,
                                                     const std::string& name) const;
  /// A request that was understood.
  struct Work {
    CompletionKind kind;
    AdapterChoices::Choice model;
    const CompletionOptions& options;
    Prompts prompts;
  };
  void answer(const base::Context& ctx, net::HttpExchange& exchange, const Work& work) const;
  base::Result<std::vector<Answer>> submit_all(const net::HttpExchange& exchange,
                                               const Work& work) const;
  base::Result<GenerationRequest> make_request(const CompletionOptions& options,
                                               const std::vector<TokenId>& prompt) const;
  void stream(const base::Context& ctx, net::HttpExchange& exchange, const AnswerHeader& header,
              bool with_usage, std::vector<Answer> answers, Usage usage) const;

  EngineRoom room_;
  std::int64_t started_;
};

}  // namespace inference

#include "inference/http/answer.h"

#include <algorithm>

#include "inference/http/limits.h"

namespace inference {

using base::Error;
using base::ErrorCode;

Answer::Answer(const Model& model, std::shared_ptr<Generation> generation,
               std::vector<std::string> stop_strings)
    : model_(&model), generation_(std::move(generation)), assembler_(std::move(stop_strings)) {}

Answer::~Answer() {
  if (generation_ && !done()) generation_->cancel();
}

std::optional<Answer::Piece> Answer::next(const std::stop_token& stop,
                                          std::chrono::milliseconds timeout) {
  std::optional<TokenChunk> chunk = generation_->next(stop, timeout);
  if (!chunk) return std::nullopt;
  Piece piece;
  std::string bytes;
  for (Choice& choice : chunk->tokens) {
    bytes.clear();
    model_->append_piece(bytes, choice.token);
    piece.text += assembler_.push(bytes);
    piece.tokens.push_back(std::move(choice));
    ++seen_tokens_;
    if (assembler_.stopped()) break;
  }
  if (assembler_.stopped()) {
    generation_->cancel();
    summary_ = chunk->finished.value_or(GenerationSummary{});
    summary_->reason = FinishReason::Stop;
    summary_->generated_tokens = seen_tokens_;
  } else if (chunk->finished) {
    piece.text += assembler_.finish();
    summary_ = chunk->finished;
  }
  return piece;
}

base::Status check(const GenerationSummary& summary) {
  if (summary.reason == FinishReason::Cancelled)
    return Error(ErrorCode::Unavailable, "the server is stopping; try again")
        .with_retry_after(kLoadingRetryAfter);
  if (summary.reason == FinishReason::Failed)
    return Error(ErrorCode::Internal, "computing the answer failed; the server's log says why");
  return {};
}

base::Result<std::vector<WholeAnswer>> collect(const base::Context& ctx,
                                               const net::HttpExchange& exchange,
                                               std::vector<Answer> answers) {
  std::vector<WholeAnswer> whole(answers.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    while (!answers[i].done()) {
      std::optional<Answer::Piece> piece = answers[i].next(ctx.stop(), kClientCheck);
      if (piece) {
        whole[i].piece.text += piece->text;
        std::move(piece->tokens.begin(), piece->tokens.end(),
                  std::back_inserter(whole[i].piece.tokens));
        continue;
      }
      if (exchange.client_gone()) return Error(ErrorCode::Cancelled, "the client is gone");
      if (ctx.stopped()) return Error(ErrorCode::Unavailable, "the server is stopping; try again");
    }
    TRY(check(answers[i].summary()));
    whole[i].summary = answers[i].summary();
  }
  return whole;
}

}  // namespace inference

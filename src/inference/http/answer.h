#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "inference/engine/model.h"
#include "inference/scheduler/generation.h"
#include "inference/text/text_assembler.h"
#include "net/http_server.h"

namespace inference {

/// Turns the tokens of one generation into text. Cancels the generation when dropped early. One
/// thread.
class Answer {
 public:
  struct Piece {
    std::string text;
    std::vector<Choice> tokens;
  };
  Answer(const Model& model, std::shared_ptr<Generation> generation,
         std::vector<std::string> stop_strings);
  ~Answer();
  Answer(Answer&&) = default;
  Answer& operator=(Answer&&) = delete;

  /// What came since the last call; nothing when `timeout` passed or the server stops.
  std::optional<Piece> next(const std::stop_token& stop, std::chrono::milliseconds timeout);
  bool done() const { return summary_.has_value(); }
  /// Only when done.
  const GenerationSummary& summary() const { return *summary_; }

 private:
  const Model* model_;
  std::shared_ptr<Generation> generation_;
  TextAssembler assembler_;
  std::optional<GenerationSummary> summary_;
  int seen_tokens_ = 0;
};

struct WholeAnswer {
  Answer::Piece piece;
  GenerationSummary summary;
};

/// Waits for the whole of every answer. Errors: Cancelled when the client is gone, Unavailable when
/// the server stops, Internal when the computation failed.
base::Result<std::vector<WholeAnswer>> collect(const base::Context& ctx,
                                               const net::HttpExchange& exchange,
                                               std::vector<Answer> answers);
/// What ended an answer badly, if anything.
base::Status check(const GenerationSummary& summary);

}  // namespace inference

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/http/answer.h"
#include "json/value.h"

namespace inference {

/// Which of the two kinds of OpenAI answers.
enum class CompletionKind { Chat, Text };

/// What all parts of one answer repeat.
struct AnswerHeader {
  CompletionKind kind = CompletionKind::Chat;
  std::string id;
  std::int64_t created = 0;
  std::string model;
  bool logprobs = false;
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
};

std::string_view finish_reason_name(FinishReason reason);
json::Object usage_json(const Usage& usage);
/// The body of an answer that is sent whole.
std::string whole_answer_json(const AnswerHeader& header, const Model& model,
                              std::span<const WholeAnswer> answers, const Usage& usage);

/// Writes the events of a streamed answer; keeps what they have in common ready.
class StreamWriter {
 public:
  StreamWriter(AnswerHeader header, const Model& model);

  /// The first event of a chat answer: who speaks.
  std::string begin(int index) const;
  std::string text(int index, const Answer::Piece& piece);
  std::string end(int index, FinishReason reason) const;
  std::string usage(const Usage& usage) const;

 private:
  std::string event(int index, std::string_view payload, std::string_view finish) const;

  AnswerHeader header_;
  const Model& model_;
  std::string prefix_;  ///< `data: {"id":...,"choices":[`
  std::vector<int> text_offsets_;
};

}  // namespace inference

#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "inference/engine/model.h"
#include "inference/http/sampling_fields.h"
#include "json/value.h"

namespace inference {

/// What the answer must look like.
struct ResponseFormat {
  enum class Kind { Text, JsonObject, JsonSchema, Grammar };
  Kind kind = Kind::Text;
  std::string definition;  ///< The schema's JSON text, or the GBNF grammar.
};

/// The members that chat completions and completions share.
struct CompletionOptions {
  std::string model;
  SamplingFields sampling;
  std::optional<int> max_tokens;
  int min_tokens = 0;
  int choices = 1;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_tokens;
  bool stream = false;
  bool stream_usage = false;
  bool ignore_eos = false;
  std::optional<int> top_logprobs;  ///< Set: report log probabilities, with so many alternatives.
  ResponseFormat format;
  std::string user;
};

struct ChatCompletionRequest {
  CompletionOptions options;
  std::vector<ChatMessage> messages;
};

struct CompletionRequest {
  CompletionOptions options;
  /// Each a text or tokens.
  std::vector<std::variant<std::string, std::vector<TokenId>>> prompts;
};

/// The mistakes go into `errors`; the result is of use only when there are none.
ChatCompletionRequest parse_chat_completion(const json::Object& body, int vocabulary_size,
                                            std::vector<FieldError>& errors);
CompletionRequest parse_completion(const json::Object& body, int vocabulary_size,
                                   std::vector<FieldError>& errors);
/// The messages of a chat; content may be a list of text parts.
std::vector<ChatMessage> read_messages(FieldReader& reader, std::string_view key);

}  // namespace inference

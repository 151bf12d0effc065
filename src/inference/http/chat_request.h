#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inference/engine/model.h"
#include "inference/http/sampling_fields.h"
#include "json/value.h"

namespace inference {

/// The body of `POST /chat`, KAITO's own API.
struct ChatRequest {
  std::string model;  ///< Which adapters answer; "": all.
  std::optional<std::string> prompt;
  std::vector<ChatMessage> messages;
  std::string prefix;
  std::optional<bool> apply_chat_template;
  std::optional<bool> return_full_text;
  bool clean_up_spaces = false;
  bool truncate_long_prompt = false;  ///< handle_long_generation "hole".

  SamplingFields sampling;
  std::optional<bool> do_sample;
  std::optional<int> max_length;  ///< Prompt and answer.
  std::optional<int> max_new_tokens;
  int min_new_tokens = 0;
  int sequences = 1;
  std::vector<TokenId> end_tokens;
  std::vector<std::string> stop;
};

/// Mistakes go into `errors`. Unknown members, also of generate_kwargs, are ignored.
ChatRequest parse_chat(const json::Object& body, int vocabulary_size,
                       std::vector<FieldError>& errors);

/// The clean-up of `clean_up_tokenization_spaces`: no space before punctuation and contractions.
std::string clean_up_spaces(std::string text);

}  // namespace inference

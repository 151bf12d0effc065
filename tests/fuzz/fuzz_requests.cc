// Bodies of the inference server's requests and its adapters file: the first byte chooses.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "inference/adapters/adapter_list.h"
#include "inference/http/chat_request.h"
#include "inference/http/limits.h"
#include "inference/http/openai_request.h"
#include "json/value.h"

namespace {

constexpr int kVocabularySize = 1000;

/// What is taken keeps the limits that the code behind relies on.
void check_options(const inference::CompletionOptions& options) {
  if (options.choices < 1 || options.choices > inference::kMaxChoices ||
      options.stop.size() > inference::kMaxStopStrings)
    std::abort();
  for (const inference::TokenId token : options.stop_tokens)
    if (token < 0 || token >= kVocabularySize) std::abort();
}

void check_body(char kind, const json::Object& body) {
  std::vector<inference::FieldError> errors;
  if (kind == 'c') {
    const auto request = inference::parse_chat(body, kVocabularySize, errors);
    if (errors.empty() && (request.sequences < 1 || request.sequences > inference::kMaxChoices))
      std::abort();
  } else if (kind == 't') {
    const auto request = inference::parse_completion(body, kVocabularySize, errors);
    if (errors.empty()) check_options(request.options);
  } else {
    const auto request = inference::parse_chat_completion(body, kVocabularySize, errors);
    if (errors.empty()) check_options(request.options);
  }
  for (const auto& error : errors)
    if (error.message.empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const char kind = static_cast<char>(data[0]);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (kind == 'l') {
    const auto list = inference::parse_adapter_list(text);
    if (list ? list->adapters.size() > 10 : list.error().message().empty()) std::abort();
    return 0;
  }
  const auto body = json::parse(
      text, {.max_depth = inference::kMaxJsonDepth, .max_bytes = inference::kMaxBodyBytes});
  if (!body || !body->is_object()) return 0;
  check_body(kind, body->get_object());
  return 0;
}

#include "inference/http/chat_request.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "inference/http/limits.h"
#include "inference/http/openai_request.h"

namespace inference {
namespace {

constexpr Bounds kLength{1, 1e9};

void read_end_tokens(FieldReader& reader, int vocabulary_size, std::vector<TokenId>& out) {
  const json::Value* value = reader.any("eos_token_id");
  if (!value) return;
  const auto add = [&](const json::Value& one) {
    const auto* token = one.if_int64();
    if (!token || *token >= vocabulary_size)
      return reader.fail(
          "eos_token_id", "int_type",
          fmt::format("Input should be a token below {}, or a list of such", vocabulary_size));
    if (*token >= 0) out.push_back(static_cast<TokenId>(*token));
  };
  if (!value->is_array()) return add(*value);
  for (const json::Value& one : value->get_array()) add(one);
}

void read_generate_kwargs(FieldReader& reader, int vocabulary_size, ChatRequest& request) {
  request.sampling = read_sampling_fields(reader, vocabulary_size);
  request.do_sample = reader.boolean("do_sample");
  if (const auto length = reader.integer("max_length", kLength))
    request.max_length = static_cast<int>(*length);
  if (const auto tokens = reader.integer("max_new_tokens", kLength))
    request.max_new_tokens = static_cast<int>(*tokens);
  request.min_new_tokens = static_cast<int>(reader.integer("min_new_tokens", {0, 1e9}).value_or(0));
  request.sequences =
      static_cast<int>(reader.integer("num_return_sequences", {1, kMaxChoices}).value_or(1));
  if (reader.integer("num_beams", {1, 1e6}).value_or(1) > 1)
    reader.fail("num_beams", "not_supported", "beam search is not supported; leave num_beams at 1");
  (void)reader.number("typical_p", {0, 1});
  (void)reader.boolean("early_stopping");
  read_end_tokens(reader, vocabulary_size, request.end_tokens);
  if (const json::Value* stop = reader.any("stop_strings")) {
    if (stop->is_string()) {
      request.stop.push_back(json::to_string(stop->get_string()));
    } else if (const json::Array* list = reader.array("stop_strings")) {
      for (const json::Value& one : *list) {
        if (one.is_string()) {
          request.stop.push_back(json::to_string(one.get_string()));
        } else {
          reader.fail("stop_strings", "string_type", "Input should be a list of strings");
        }
      }
    }
  }
}

}  // namespace

ChatRequest parse_chat(const json::Object& body, int vocabulary_size,
                       std::vector<FieldError>& errors) {
  FieldReader reader(body, errors);
  ChatRequest request;
  request.model = reader.text("model").value_or("");
  request.prompt = reader.text("prompt");
  request.messages = read_messages(reader, "messages");
  request.prefix = reader.text("prefix").value_or("");
  request.apply_chat_template = reader.boolean("apply_chat_template");
  request.return_full_text = reader.boolean("return_full_text");
  request.clean_up_spaces = reader.boolean("clean_up_tokenization_spaces").value_or(false);
  request.truncate_long_prompt = reader.text("handle_long_generation").value_or("") == "hole";
  static const json::Object kNone;
  const json::Object* kwargs = reader.object("generate_kwargs");
  FieldReader inner(kwargs ? *kwargs : kNone, errors, "generate_kwargs");
  read_generate_kwargs(inner, vocabulary_size, request);
  return request;
}

std::string clean_up_spaces(std::string text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kReplacements{
      {{" .", "."},
       {" ?", "?"},
       {" !", "!"},
       {" ,", ","},
       {" ' ", "'"},
       {" n't", "n't"},
       {" 'm", "'m"},
       {" 's", "'s"},
       {" 've", "'ve"},
       {" 're", "'re"}}};
  for (const auto& [from, to] : kReplacements) {
    for (std::size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  }
  return text;
}

}  // namespace inference

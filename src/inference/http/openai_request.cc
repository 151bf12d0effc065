#include "inference/http/openai_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "inference/http/limits.h"

namespace inference {
namespace {

constexpr Bounds kTokens{0, 1e9};
constexpr std::array<std::string_view, 5> kRoles{"system", "developer", "user", "assistant",
                                                 "tool"};

void refuse(FieldReader& reader, std::string_view key, std::string_view why) {
  reader.fail(key, "not_supported", fmt::format("not supported by this server: {}", why));
}

void read_stop(FieldReader& reader, std::vector<std::string>& out) {
  const json::Value* value = reader.any("stop");
  if (!value) return;
  const auto add = [&](const json::Value& one) {
    const json::String* text = one.if_string();
    if (!text || text->empty() || text->size() > kMaxStopBytes) {
      return reader.fail(
          "stop", "string_type",
          fmt::format("Input should be a text of 1 to {} bytes, or a list of such", kMaxStopBytes));
    }
    out.push_back(json::to_string(*text));
  };
  if (!value->is_array()) return add(*value);
  if (value->get_array().size() > kMaxStopStrings)
    return reader.fail("stop", "too_long", fmt::format("at most {} stop strings", kMaxStopStrings));
  for (const json::Value& one : value->get_array()) add(one);
}

void read_response_format(FieldReader& reader, ResponseFormat& format) {
  const json::Object* object = reader.object("response_format");
  if (!object) return;
  FieldReader inner(*object, reader.errors(), reader.path_of("response_format"));
  const std::string type = inner.text("type").value_or("");
  if (type == "text") return;
  if (type == "json_object") {
    format.kind = ResponseFormat::Kind::JsonObject;
    return;
  }
  if (type != "json_schema") {
    inner.fail("type", "literal_error",
               fmt::format("Input should be text, json_object or json_schema, found '{}'", type));
    return;
  }
  const json::Object* named = inner.object("json_schema");
  const json::Value* schema = named ? named->if_contains("schema") : nullptr;
  if (!schema || !schema->is_object())
    return inner.fail("json_schema.schema", "missing", "a JSON Schema object is required");
  format.kind = ResponseFormat::Kind::JsonSchema;
  format.definition = json::dump(*schema);
  if (format.definition.size() > kMaxSchemaBytes)
    inner.fail("json_schema.schema", "too_long", fmt::format("at most {} bytes", kMaxSchemaBytes));
}

void read_guided(FieldReader& reader, ResponseFormat& format) {
  if (const json::Value* schema = reader.any("guided_json")) {
    format.kind = ResponseFormat::Kind::JsonSchema;
    format.definition =
        schema->is_string() ? json::to_string(schema->get_string()) : json::dump(*schema);
  } else if (const auto grammar = reader.text("guided_grammar")) {
    format.kind = ResponseFormat::Kind::Grammar;
    format.definition = *grammar;
  }
  if (format.definition.size() > kMaxSchemaBytes)
    reader.fail("guided_json", "too_long", fmt::format("at most {} bytes", kMaxSchemaBytes));
}

std::vector<TokenId> read_tokens(FieldReader& reader, std::string_view key,
                                 const json::Array& array, int vocabulary_size) {
  std::vector<TokenId> tokens;
  for (const json::Value& value : array) {
    const auto* token = value.if_int64();
    if (!token || *token < 0 || *token >= vocabulary_size) {
      reader.fail(key, "int_type",
                  fmt::format("tokens should be whole numbers below {}", vocabulary_size));
      return {};
    }
    tokens.push_back(static_cast<TokenId>(*token));
  }
  return tokens;
}

CompletionOptions read_options(FieldReader& reader, int vocabulary_size) {
  CompletionOptions options;
  options.model = reader.text("model").value_or("");
  options.sampling = read_sampling_fields(reader, vocabulary_size);
  for (const std::string_view key : {"max_completion_tokens", "max_tokens"}) {
    const auto tokens = reader.integer(key, {1, kTokens.max});
    if (tokens && !options.max_tokens) options.max_tokens = static_cast<int>(*tokens);
  }
  options.min_tokens = static_cast<int>(reader.integer("min_tokens", kTokens).value_or(0));
  options.choices = static_cast<int>(reader.integer("n", {1, kMaxChoices}).value_or(1));
  if (const auto best_of = reader.integer("best_of", {1, kMaxChoices});
      best_of && *best_of > options.choices)
    refuse(reader, "best_of", "ask for n answers and choose among them");
  read_stop(reader, options.stop);
  if (const json::Array* tokens = reader.array("stop_token_ids"))
    options.stop_tokens = read_tokens(reader, "stop_token_ids", *tokens, vocabulary_size);
  options.stream = reader.boolean("stream").value_or(false);
  if (const json::Object* object = reader.object("stream_options")) {
    FieldReader inner(*object, reader.errors(), reader.path_of("stream_options"));
    options.stream_usage = inner.boolean("include_usage").value_or(false);
  }
  options.ignore_eos = reader.boolean("ignore_eos").value_or(false);
  read_response_format(reader, options.format);
  read_guided(reader, options.format);
  options.user = reader.text("user").value_or("");
  return options;
}

/// A text, or a list of `{"type": "text", "text": ...}` put together.
std::string read_content(FieldReader& message) {
  const json::Value* content = message.any("content");
  if (!content) return {};
  if (content->is_string()) return json::to_string(content->get_string());
  const json::Array* parts = content->if_array();
  if (!parts) {
    message.fail("content", "string_type",
                 fmt::format("Input should be a text or a list of parts, found {}",
                             json::kind_name(*content)));
    return {};
  }
  std::string text;
  for (const json::Value& part : *parts) {
    if (json::find_string(part, "type") != "text" || !json::find(part, "text") ||
        !json::find(part, "text")->is_string()) {
      message.fail("content", "not_supported",
                   "only parts of the form {\"type\": \"text\", \"text\": ...} are supported");
      return {};
    }
    if (!text.empty()) text += '\n';
    text += json::find_string(part, "text");
  }
  return text;
}

void read_prompts(FieldReader& reader, int vocabulary_size, CompletionRequest& request) {
  const json::Value* prompt = reader.any("prompt");
  if (!prompt) return reader.fail("prompt", "missing", "Field required");
  if (prompt->is_string())
    return request.prompts.emplace_back(json::to_string(prompt->get_string())), void();
  const json::Array* list = prompt->if_array();
  if (!list || list->empty())
    return reader.fail(
        "prompt", "string_type",
        "Input should be a text, a list of texts, a list of tokens, or a list of such lists");
  if (list->front().is_number())
    return request.prompts.emplace_back(read_tokens(reader, "prompt", *list, vocabulary_size)),
           void();
  if (list->size() > kMaxPrompts)
    return reader.fail("prompt", "too_long", fmt::format("at most {} prompts", kMaxPrompts));
  for (const json::Value& one : *list) {
    if (one.is_string()) {
      request.prompts.emplace_back(json::to_string(one.get_string()));
    } else if (one.is_array()) {
      request.prompts.emplace_back(read_tokens(reader, "prompt", one.get_array(), vocabulary_size));
    } else {
      return reader.fail("prompt", "string_type",
                         "each prompt should be a text or a list of tokens");
    }
  }
}

}  // namespace

std::vector<ChatMessage> read_messages(FieldReader& reader, std::string_view key) {
  std::vector<ChatMessage> messages;
  const json::Array* array = reader.array(key);
  if (!array) return messages;
  if (array->size() > kMaxMessages) {
    reader.fail(key, "too_long", fmt::format("at most {} messages", kMaxMessages));
    return messages;
  }
  for (std::size_t i = 0; i < array->size(); ++i) {
    const std::string path = fmt::format("{}.{}", key, i);
    const json::Object* object = (*array)[i].if_object();
    if (!object) {
      reader.fail(path, "dict_type", "Input should be an object with role and content");
      continue;
    }
    FieldReader message(*object, reader.errors(), reader.path_of(path));
    std::string role = message.text("role").value_or("");
    if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end()) {
      message.fail(
          "role", "literal_error",
          fmt::format("Input should be system, user, assistant, developer or tool, found '{}'",
                      role));
      continue;
    }
    if (role == "developer") role = "system";
    messages.push_back({std::move(role), read_content(message)});
  }
  return messages;
}

ChatCompletionRequest parse_chat_completion(const json::Object& body, int vocabulary_size,
                                            std::vector<FieldError>& errors) {
  FieldReader reader(body, errors);
  ChatCompletionRequest request;
  request.options = read_options(reader, vocabulary_size);
  request.messages = read_messages(reader, "messages");
  if (request.messages.empty() && errors.empty())
    reader.fail("messages", "missing", "at least one message is required");
  if (reader.boolean("logprobs").value_or(false)) {
    request.options.top_logprobs =
        static_cast<int>(reader.integer("top_logprobs", {0, kMaxTopLogprobs}).value_or(0));
  }
  if (const json::Array* tools = reader.array("tools"); tools && !tools->empty()) {
    const json::Value* choice = reader.any("tool_choice");
    if (!choice || !choice->is_string() || json::view(choice->get_string()) != "none")
      refuse(reader, "tools", "tool calls; set tool_choice to \"none\" to answer without them");
  }
  if (reader.has("functions")) refuse(reader, "functions", "function calls");
  return request;
}

CompletionRequest parse_completion(const json::Object& body, int vocabulary_size,
                                   std::vector<FieldError>& errors) {
  FieldReader reader(body, errors);
  CompletionRequest request;
  request.options = read_options(reader, vocabulary_size);
  read_prompts(reader, vocabulary_size, request);
  if (const auto logprobs = reader.integer("logprobs", {0, kMaxTopLogprobs}))
    request.options.top_logprobs = static_cast<int>(*logprobs);
  if (reader.boolean("echo").value_or(false)) refuse(reader, "echo", "the prompt is not repeated");
  if (!reader.text("suffix").value_or("").empty())
    refuse(reader, "suffix", "text after the answer");
  return request;
}

}  // namespace inference

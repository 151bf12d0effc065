#include "model/text/chat_template.h"

#include <fmt/format.h>
#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>
#include <json.h>

#include <exception>

namespace model {

using base::Error;
using base::ErrorCode;

struct ChatTemplate::Program {
  std::string source;
  jinja::program program;
};

namespace {

/// The engine appends the place in the source on further lines; the first says what is wrong.
std::string first_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

}  // namespace

base::Result<std::unique_ptr<ChatTemplate>> ChatTemplate::parse(const std::string& source,
                                                                Tokens tokens) {
  try {
    jinja::lexer lexer;
    auto lexed = lexer.tokenize(source);
    auto program = std::make_unique<Program>();
    program->program = jinja::parse_from_tokens(lexed);
    program->source = lexed.source;
    return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(program), std::move(tokens)));
  } catch (const std::exception& error) {
    return Error(ErrorCode::Invalid, fmt::format("the model's chat template cannot be parsed: {}",
                                                 first_line(error.what())));
  }
}

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program, Tokens tokens)
    : program_(std::move(program)), tokens_(std::move(tokens)) {}

ChatTemplate::~ChatTemplate() = default;

base::Result<PromptText> ChatTemplate::render(std::span<const ChatMessage> messages,
                                              AnswerPrompt answer) const {
  try {
    common_json list = common_json::array();
    for (const ChatMessage& message : messages)
      list.push_back({{"role", message.role}, {"content", message.content}});
    jinja::context context(program_->source);
    jinja::global_from_json(context, common_json{{"messages", list}}, /*mark_input=*/true);
    jinja::global_from_json(context,
                            common_json{{"bos_token", tokens_.begin},
                                        {"eos_token", tokens_.end},
                                        {"add_generation_prompt", answer == AnswerPrompt::Add},
                                        {"enable_thinking", true}},
                            /*mark_input=*/false);
    jinja::runtime runtime(context);
    const auto text = jinja::runtime::gather_string_parts(runtime.execute(program_->program));
    PromptText prompt;
    for (const auto& part : text->as_string().parts)
      if (!part.val.empty()) prompt.parts.push_back({part.val, part.is_input});
    return prompt;
  } catch (const std::exception& error) {
    return Error(ErrorCode::Invalid,
                 fmt::format("the model's chat template refuses these messages: {}",
                             first_line(error.what())));
  }
}

}  // namespace model

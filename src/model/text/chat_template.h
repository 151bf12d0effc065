#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "model/text/prompt_text.h"

namespace model {

/// A parsed Jinja chat template. Immutable; `render` may be called from any thread.
class ChatTemplate {
 public:
  struct Tokens {
    std::string begin;
    std::string end;
  };
  /// Errors: Invalid with the place of the mistake.
  static base::Result<std::unique_ptr<ChatTemplate>> parse(const std::string& source,
                                                           Tokens tokens);
  ~ChatTemplate();

  /// Whether the text ends where an answer begins.
  enum class AnswerPrompt { Add, None };
  /// Errors: Invalid when the template refuses the messages.
  base::Result<PromptText> render(std::span<const ChatMessage> messages,
                                  AnswerPrompt answer = AnswerPrompt::Add) const;

 private:
  struct Program;
  ChatTemplate(std::unique_ptr<Program> program, Tokens tokens);

  std::unique_ptr<Program> program_;
  Tokens tokens_;
};

}  // namespace model

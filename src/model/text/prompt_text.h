#pragma once

#include <string>
#include <vector>

namespace model {

struct ChatMessage {
  std::string role;
  std::string content;
};

/// Text whose parts come from the template or from the user. Markers such as `<|im_end|>` have
/// their meaning in the template's parts only, so a user cannot forge a turn.
struct PromptText {
  struct Part {
    std::string text;
    bool from_user = false;
  };
  std::vector<Part> parts;

  /// The whole text, for echoing.
  std::string joined() const {
    std::string all;
    for (const Part& part : parts) all += part.text;
    return all;
  }
};

}  // namespace model

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "inference/engine/types.h"

struct llama_model;
struct llama_vocab;

namespace inference {

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
  std::string joined() const;
};

class ChatTemplate;
class LlamaLogCapture;

/// A loaded model file: weights (memory-mapped), vocabulary and chat template. Immutable after
/// loading; every const member may be called from any thread.
class Model {
 public:
  struct Options {
    std::filesystem::path path;  ///< A .gguf file.
    bool use_chat_template = true;
    bool check_tensors = false;  ///< Look at every weight for values that are not numbers.
    base::Logger log;
  };

  /// Errors: NotFound, Invalid (not a GGUF file, truncated, unsupported; the message names the file
  /// and its size), Cancelled when `stop` is requested.
  static base::Result<std::unique_ptr<Model>> load(const std::stop_token& stop, Options options);
  ~Model();

  std::string description() const;  ///< `llama 135M Q4_1`.
  std::string name() const;         ///< `general.name` of the file, may be empty.
  std::uint64_t weights_bytes() const;
  std::uint64_t parameters() const;
  /// Of the key/value cache, with 16-bit values.
  std::uint64_t cache_bytes_per_token() const;
  int context_tokens() const;  ///< What the model was trained for.
  int vocabulary_size() const;

  /// Text as tokens; `add_special` puts the model's start token first where it wants one.
  enum class Special { None, Add };
  std::vector<TokenId> tokenize(std::string_view text, Special special) const;
  std::vector<TokenId> tokenize(const PromptText& prompt) const;
  /// Appends the bytes of `token` to `out`; control tokens have none unless `Special::Add`.
  void append_piece(std::string& out, TokenId token, Special special = Special::None) const;
  /// True for tokens that end a generation.
  bool is_end(TokenId token) const;
  const std::vector<TokenId>& end_tokens() const { return end_tokens_; }

  /// No token stands for more bytes of text than this.
  std::size_t longest_piece_bytes() const { return longest_piece_bytes_; }

  bool has_chat_template() const { return chat_template_ != nullptr; }
  /// The prompt for an answer to `messages`. Errors: Invalid with the template's own message when
  /// it refuses them (for example a role it does not know).
  base::Result<PromptText> render_chat(std::span<const ChatMessage> messages) const;

  /// For the other files of engine/ only.
  llama_model* native() const { return model_; }
  const llama_vocab* vocabulary() const { return vocabulary_; }

 private:
  Model() = default;
  void append_tokens(std::vector<TokenId>& out, std::string_view text, bool add_special,
                     bool parse_special) const;
  base::Status load_template();
  void read_vocabulary();
  bool forges_marker(const PromptText& prompt) const;

  std::unique_ptr<LlamaLogCapture> log_capture_;
  llama_model* model_ = nullptr;
  const llama_vocab* vocabulary_ = nullptr;
  std::unique_ptr<ChatTemplate> chat_template_;
  std::vector<TokenId> end_tokens_;
  std::size_t longest_piece_bytes_ = 1;
  std::vector<std::string> markers_;  ///< Texts of the control tokens.
};

}  // namespace inference

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
#include "model/text/chat_template.h"
#include "model/text/llama_log.h"
#include "model/text/vocabulary.h"

struct llama_model;
struct llama_vocab;

namespace inference {

using model::ChatMessage;
using model::PromptText;

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
  int vocabulary_size() const { return text_->size(); }

  /// As model::Vocabulary.
  using Special = model::Vocabulary::Special;
  std::vector<TokenId> tokenize(std::string_view text, Special special) const {
    return text_->tokenize(text, special);
  }
  std::vector<TokenId> tokenize(const PromptText& prompt) const { return text_->tokenize(prompt); }
  void append_piece(std::string& out, TokenId token, Special special = Special::None) const {
    text_->append_piece(out, token, special);
  }
  bool is_end(TokenId token) const { return text_->is_end(token); }
  const std::vector<TokenId>& end_tokens() const { return text_->end_tokens(); }
  std::size_t longest_piece_bytes() const { return text_->longest_piece_bytes(); }

  bool has_chat_template() const { return chat_template_ != nullptr; }
  /// The prompt for an answer to `messages`. Errors: Invalid with the template's own message when
  /// it refuses them (for example a role it does not know).
  base::Result<PromptText> render_chat(std::span<const ChatMessage> messages) const;

  /// For the other files of engine/ only.
  llama_model* native() const { return model_; }
  const llama_vocab* vocabulary() const { return vocabulary_; }

 private:
  Model() = default;
  base::Status load_template();

  std::unique_ptr<model::LlamaLogCapture> log_capture_;
  llama_model* model_ = nullptr;
  const llama_vocab* vocabulary_ = nullptr;
  std::unique_ptr<model::Vocabulary> text_;
  std::unique_ptr<model::ChatTemplate> chat_template_;
};

}  // namespace inference

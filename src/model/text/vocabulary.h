#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "model/text/prompt_text.h"

struct llama_model;
struct llama_vocab;

namespace model {

/// Index into the vocabulary.
using TokenId = std::int32_t;

/// A model's vocabulary: text to tokens and back, as llama.cpp does it. Server and tuner both use
/// this one, so that a model is asked what it was taught. Immutable; any thread.
class Vocabulary {
 public:
  /// Of a model that is loaded already and outlives this object.
  explicit Vocabulary(const llama_vocab* vocabulary);
  /// Of a .gguf file, without its weights. Errors: NotFound, Invalid.
  static base::Result<std::unique_ptr<Vocabulary>> load(const std::filesystem::path& file,
                                                        const base::Logger& log);
  ~Vocabulary();
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  int size() const;
  /// `Add` puts the model's start token first where it wants one.
  enum class Special { None, Add };
  /// Whether text that spells a marker like `<|im_end|>` becomes that token.
  enum class Markers { AsText, AsTokens };
  std::vector<TokenId> tokenize(std::string_view text, Special special,
                                Markers markers = Markers::AsText) const;
  std::vector<TokenId> tokenize(const PromptText& prompt) const;
  /// Appends the bytes of `token` to `out`; control tokens have none unless `Special::Add`.
  void append_piece(std::string& out, TokenId token, Special special = Special::None) const;

  /// True for tokens that end a generation.
  bool is_end(TokenId token) const;
  const std::vector<TokenId>& end_tokens() const { return end_tokens_; }
  /// Negative when the model has none.
  TokenId begin_token() const;
  TokenId end_token() const;
  /// As the vocabulary spells it; "" for a negative token.
  std::string text_of(TokenId token) const;
  /// No token stands for more bytes of text than this.
  std::size_t longest_piece_bytes() const { return longest_piece_bytes_; }

  /// The chat template of a file loaded by `load`; "" when it has none.
  std::string chat_template() const;

 private:
  void append_tokens(std::vector<TokenId>& out, std::string_view text, Special special,
                     Markers markers) const;
  bool forges_marker(const PromptText& prompt) const;

  llama_model* owned_ = nullptr;
  const llama_vocab* vocabulary_;
  std::vector<TokenId> end_tokens_;
  std::size_t longest_piece_bytes_ = 1;
  std::vector<std::string> markers_;  ///< Texts of the control tokens.
};

}  // namespace model

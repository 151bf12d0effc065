#include "model/text/vocabulary.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <system_error>

#include "base/assert.h"
#include "model/text/llama_log.h"

namespace model {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

/// Longest text of one token that is expected; longer ones take a second call.
constexpr std::size_t kPieceBytes = 128;

}  // namespace

Vocabulary::Vocabulary(const llama_vocab* vocabulary) : vocabulary_(vocabulary) {
  for (TokenId token = 0; token < size(); ++token) {
    if (is_end(token)) end_tokens_.push_back(token);
    const std::string_view piece = llama_vocab_get_text(vocabulary_, token);
    longest_piece_bytes_ = std::max(longest_piece_bytes_, piece.size());
    const auto attributes = llama_vocab_get_attr(vocabulary_, token);
    if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED)) == 0) continue;
    if (std::string text = text_of(token); !text.empty()) markers_.push_back(std::move(text));
  }
}

Result<std::unique_ptr<Vocabulary>> Vocabulary::load(const std::filesystem::path& file,
                                                     const base::Logger& log) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) {
    return Error(ErrorCode::NotFound, fmt::format("there is no file {}", file.string()));
  }
  static std::once_flag backend_started;
  std::call_once(backend_started, [] { llama_backend_init(); });
  const LlamaLogCapture capture(log);
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  llama_model* loaded = nullptr;
  std::string reason;
  try {
    loaded = llama_model_load_from_file(file.c_str(), params);
    reason = capture.last_error();
  } catch (const std::exception& failure) {
    reason = failure.what();
  }
  if (loaded == nullptr) {
    return Error(ErrorCode::Invalid,
                 fmt::format("the vocabulary of {} cannot be read: {}", file.string(), reason));
  }
  const llama_vocab* vocabulary = llama_model_get_vocab(loaded);
  if (llama_vocab_n_tokens(vocabulary) == 0) {
    llama_model_free(loaded);
    return Error(ErrorCode::Invalid, fmt::format("{} holds no vocabulary", file.string()));
  }
  auto result = std::make_unique<Vocabulary>(vocabulary);
  result->owned_ = loaded;
  return result;
}

Vocabulary::~Vocabulary() {
  if (owned_ != nullptr) llama_model_free(owned_);
}

int Vocabulary::size() const { return llama_vocab_n_tokens(vocabulary_); }
bool Vocabulary::is_end(TokenId token) const { return llama_vocab_is_eog(vocabulary_, token); }
TokenId Vocabulary::begin_token() const { return llama_vocab_bos(vocabulary_); }
TokenId Vocabulary::end_token() const { return llama_vocab_eos(vocabulary_); }

std::string Vocabulary::text_of(TokenId token) const {
  return token < 0 ? std::string() : llama_vocab_get_text(vocabulary_, token);
}

std::string Vocabulary::chat_template() const {
  const char* source = owned_ == nullptr ? nullptr : llama_model_chat_template(owned_, nullptr);
  return source == nullptr ? std::string() : source;
}

void Vocabulary::append_tokens(std::vector<TokenId>& out, std::string_view text, Special special,
                               Markers markers) const {
  const std::size_t before = out.size();
  // A token is at least one byte, but for the start and end tokens and a prefixed space.
  out.resize(before + text.size() + 4);
  const auto room = static_cast<std::int32_t>(out.size() - before);
  const std::int32_t count = llama_tokenize(
      vocabulary_, text.data(), static_cast<std::int32_t>(text.size()), out.data() + before, room,
      special == Special::Add, markers == Markers::AsTokens);
  ASSERT(count >= 0);
  out.resize(before + static_cast<std::size_t>(count));
}

std::vector<TokenId> Vocabulary::tokenize(std::string_view text, Special special,
                                          Markers markers) const {
  std::vector<TokenId> tokens;
  append_tokens(tokens, text, special, markers);
  return tokens;
}

bool Vocabulary::forges_marker(const PromptText& prompt) const {
  return std::any_of(prompt.parts.begin(), prompt.parts.end(), [&](const PromptText::Part& part) {
    return part.from_user && std::any_of(markers_.begin(), markers_.end(), [&](const auto& marker) {
             return part.text.find(marker) != std::string::npos;
           });
  });
}

std::vector<TokenId> Vocabulary::tokenize(const PromptText& prompt) const {
  std::vector<TokenId> tokens;
  if (!forges_marker(prompt)) {
    const std::string text = prompt.joined();
    // Templates that begin with the start token would get it twice.
    const std::string begin = text_of(begin_token());
    const bool has_begin = !begin.empty() && text.starts_with(begin);
    append_tokens(tokens, text, has_begin ? Special::None : Special::Add, Markers::AsTokens);
    return tokens;
  }
  // A user's text that spells a marker is cut out and read as plain text.
  append_tokens(tokens, "", Special::Add, Markers::AsTokens);
  for (const PromptText::Part& part : prompt.parts) {
    append_tokens(tokens, part.text, Special::None,
                  part.from_user ? Markers::AsText : Markers::AsTokens);
  }
  return tokens;
}

void Vocabulary::append_piece(std::string& out, TokenId token, Special special) const {
  char buffer[kPieceBytes];
  const bool show = special == Special::Add;
  const std::int32_t length =
      llama_token_to_piece(vocabulary_, token, buffer, sizeof buffer, 0, show);
  if (length >= 0) {
    out.append(buffer, static_cast<std::size_t>(length));
    return;
  }
  const std::size_t before = out.size();
  out.resize(before + static_cast<std::size_t>(-length));
  llama_token_to_piece(vocabulary_, token, out.data() + before, -length, 0, show);
}

}  // namespace model

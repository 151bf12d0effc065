#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "json/value.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_writer.h"

namespace model {

/// GGUF's kinds of tokens. Source: llama.h, llama_token_type.
enum class TokenKind : std::int32_t {
  Normal = 1,
  Unknown = 2,
  Control = 3,
  UserDefined = 4,
  Unused = 5,
  Byte = 6
};

/// A vocabulary with what turns text into its tokens, in GGUF's terms.
struct TokenizerModel {
  std::string kind;  ///< `gpt2`: byte-level BPE; `llama`: SentencePiece's BPE with byte fallback.
  std::string pre;   ///< Name of how text is split before BPE.
  std::vector<std::string> tokens;
  std::vector<std::int32_t> kinds;  ///< TokenKind
  std::vector<float> scores;        ///< `llama` only.
  std::vector<std::string> merges;  ///< `gpt2` only.
  std::optional<std::uint32_t> begin;
  std::optional<std::uint32_t> end;
  std::optional<std::uint32_t> unknown;
  std::optional<std::uint32_t> padding;
  std::optional<bool> add_begin;
  std::optional<bool> add_end;
  std::optional<bool> add_space_prefix;  ///< `llama` only.
  std::string chat_template;
};

/// Reads `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` of a Hugging Face
/// folder. The vocabulary is filled up to `vocabulary_size`. Errors: NotFound, Invalid (what is not
/// supported: kinds of tokenizers, ways to split text).
base::Result<TokenizerModel> read_tokenizer(const std::filesystem::path& folder,
                                            std::uint64_t vocabulary_size);
/// Errors: Invalid as above.
base::Result<TokenizerModel> tokenizer_from_gguf(const GgufHeader& header);

void write_tokenizer(const TokenizerModel& tokenizer, GgufWriter& writer);
/// The files of a Hugging Face folder. Errors: system errors.
base::Status write_tokenizer(const TokenizerModel& tokenizer, const std::filesystem::path& folder,
                             std::uint64_t context_tokens);

}  // namespace model

#pragma once

#include <string>

#include "base/result.h"
#include "json/value.h"

namespace model {

/// How a tokenizer splits text before it merges; GGUF files name only that.
struct PreTokenizer {
  std::string kind;  ///< `gpt2` or `llama`, as in TokenizerModel.
  std::string name;
  bool space_prefix = true;  ///< `llama`: a space is put before the text.
};

/// The name of what a `tokenizer.json` does. Errors: Invalid when GGUF has none.
base::Result<PreTokenizer> find_pre_tokenizer(const json::Value& tokenizer);

/// The members `normalizer`, `pre_tokenizer` and `decoder` of a `tokenizer.json`.
struct PreTokenizerJson {
  json::Value normalizer;
  json::Value pre_tokenizer;
  json::Value decoder;
  bool ignore_merges = false;
};
/// Errors: Invalid for names that are not known.
base::Result<PreTokenizerJson> pre_tokenizer_json(const PreTokenizer& pre);

}  // namespace model

#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "model/text/vocabulary.h"

namespace model {

/// The vocabulary of a Hugging Face folder: `tokenizer.json` (BPE, of bytes or with byte fallback)
/// with what tokenizer_config.json says of begin and end tokens, read through llama.cpp like every
/// other. Errors: NotFound; Invalid for other kinds of tokenizers and unknown pre-tokenizers, which
/// would cut text at other places than the model learned.
base::Result<std::unique_ptr<Vocabulary>> load_hugging_face_vocabulary(
    const std::filesystem::path& folder, const base::Logger& log);

}  // namespace model

#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/log.h"
#include "base/result.h"
#include "model/text/vocabulary.h"

namespace model {

/// The vocabulary of a Hugging Face folder for a model of `vocabulary_size` tokens, in the form
/// that `convert_to_gguf` gives it, so that it is read like every other. Errors: those of
/// `read_tokenizer`.
base::Result<std::unique_ptr<Vocabulary>> load_hugging_face_vocabulary(
    const std::filesystem::path& folder, std::uint64_t vocabulary_size, const base::Logger& log);

}  // namespace model

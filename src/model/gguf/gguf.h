#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace model {

/// What the header of a GGUF file tells, without loading the model.
struct GgufInfo {
  std::uint32_t version = 0;
  std::uint64_t tensor_count = 0;
  std::uint64_t metadata_count = 0;
  std::string architecture;  ///< `llama`, `phi3`, ...
  std::string name;          ///< `general.name`
  std::uint64_t context_tokens = 0;
  bool has_chat_template = false;
  std::string quantization;  ///< Type of most of the weights: `Q4_1`, `F16`, ...
  std::uint64_t parameters = 0;
  std::uint64_t data_end = 0;  ///< The size the file must have at least.
};

/// Parses the header in `bytes` (the front of a file of `file_bytes` bytes). Every count and length
/// is bounded. Errors: Invalid, saying what is wrong and where; for a short file the sizes wanted
/// and found.
base::Result<GgufInfo> parse_gguf(std::string_view bytes, std::uint64_t file_bytes);

/// Reads the header of `path` and checks that the file is whole. Errors: as above, NotFound,
/// Forbidden.
base::Result<GgufInfo> read_gguf_info(const std::filesystem::path& path);

}  // namespace model

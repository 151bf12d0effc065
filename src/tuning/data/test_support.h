#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "model/gguf/gguf_writer.h"
#include "model/text/chat_template.h"
#include "model/text/vocabulary.h"

namespace tuning {

/// GPT-2's printable stand-in for a byte.
inline std::string byte_symbol(unsigned byte) {
  const auto printable = [](unsigned b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  };
  unsigned code = byte;
  if (!printable(byte)) {
    code = 256;
    for (unsigned b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

inline constexpr const char* kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

/// A vocabulary in which each byte is a token, with ChatML's markers: 256 `<|im_start|>`,
/// 257 `<|im_end|>` (ends a generation), 258 `ab` (a merge).
struct ByteModel {
  std::unique_ptr<model::Vocabulary> vocabulary;
  std::unique_ptr<model::ChatTemplate> chat_template;
};

inline ByteModel make_byte_model() {
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types(256, 1);
  for (unsigned byte = 0; byte < 256; ++byte) tokens.push_back(byte_symbol(byte));
  tokens.insert(tokens.end(), {"<|im_start|>", "<|im_end|>", "ab"});
  types.insert(types.end(), {3, 3, 1});
  model::GgufWriter writer;
  writer.text("general.architecture", "llama");
  writer.text("tokenizer.ggml.model", "gpt2");
  writer.text("tokenizer.ggml.pre", "gpt-2");
  writer.texts("tokenizer.ggml.tokens", tokens);
  writer.integers("tokenizer.ggml.token_type", types);
  writer.texts("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
  writer.number("tokenizer.ggml.bos_token_id", 256);
  writer.number("tokenizer.ggml.eos_token_id", 257);
  writer.boolean("tokenizer.ggml.add_bos_token", false);
  writer.text("tokenizer.chat_template", kChatMl);
  const auto file = std::filesystem::temp_directory_path() / ("bytes-" + base::random_uuid());
  {
    const base::UniqueFd fd(::open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    const auto written =
        writer.write(fd.get(), [](std::size_t) -> base::Result<std::span<const std::byte>> {
          return std::span<const std::byte>();
        });
    if (!written) return {};
  }
  ByteModel made;
  auto loaded = model::Vocabulary::load(file, {});
  std::filesystem::remove(file);
  if (!loaded) return {};
  made.vocabulary = *std::move(loaded);
  auto parsed = model::ChatTemplate::parse(made.vocabulary->chat_template(), {});
  if (parsed) made.chat_template = *std::move(parsed);
  return made;
}

}  // namespace tuning

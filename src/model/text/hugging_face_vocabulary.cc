#include "model/text/hugging_face_vocabulary.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>

#include <span>
#include <vector>

#include "base/file.h"
#include "json/value.h"
#include "model/gguf/gguf_writer.h"

namespace model {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

constexpr std::size_t kMaxFileBytes = 256 << 20;
constexpr std::size_t kMaxTokens = 4 << 20;

/// llama.cpp's kinds of tokens.
enum TokenKind : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

/// What llama.cpp needs to know, taken from the files.
struct Tokens {
  bool bytes = false;  ///< Byte-level BPE; else pieces with byte fallback.
  std::string pre;     ///< llama.cpp's name of the pre-tokenizer.
  std::vector<std::string> texts;
  std::vector<std::int32_t> kinds;
  std::vector<std::string> merges;
  bool space_prefix = false;
  std::optional<TokenId> begin;
  std::optional<TokenId> end;
  std::optional<TokenId> unknown;
  bool add_begin = false;
  bool add_end = false;
  std::string chat_template;
};

Result<json::Value> read_json(const std::filesystem::path& file) {
  const std::string text = TRY(base::read_file(file, kMaxFileBytes));
  return base::with_context(json::parse(text, {.max_depth = 32, .max_bytes = kMaxFileBytes}),
                            file.string());
}

/// Every `type` below `value`, at any depth of its sequences.
void collect_steps(const json::Value* value, std::vector<const json::Value*>& steps) {
  if (value == nullptr || !value->is_object()) return;
  steps.push_back(value);
  for (const char* list : {"pretokenizers", "normalizers", "decoders", "processors"}) {
    const json::Array* inner = json::find_array(*value, list);
    if (inner == nullptr) continue;
    for (const json::Value& step : *inner) collect_steps(&step, steps);
  }
}
std::vector<const json::Value*> steps_of(const json::Value& root, std::string_view key) {
  std::vector<const json::Value*> steps;
  collect_steps(json::find(root, key), steps);
  return steps;
}
bool has_step(const std::vector<const json::Value*>& steps, std::string_view type) {
  return std::any_of(steps.begin(), steps.end(), [&](const json::Value* step) {
    return json::find_string(*step, "type") == type;
  });
}

/// Known by the parts in which the patterns differ; llama.cpp has the whole patterns built in.
Result<std::string> pre_tokenizer_name(const json::Value& root) {
  const auto steps = steps_of(root, "pre_tokenizer");
  std::string pattern;
  for (const json::Value* step : steps) {
    const std::string_view here = json::find_string(*step, "pattern.Regex");
    if (!here.empty()) pattern = here;
  }
  const json::Value* ignore = json::find(root, "model.ignore_merges");
  const bool ignore_merges = ignore != nullptr && ignore->is_bool() && ignore->get_bool();
  if (pattern.empty()) {
    if (has_step(steps, "Digits")) return std::string("smollm");
    if (has_step(steps, "ByteLevel")) return std::string("gpt-2");
  }
  const bool contractions =
      pattern.find("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|") == 0;
  if (contractions && pattern.find("|\\p{N}{1,3}|") != std::string::npos)
    return std::string(ignore_merges ? "llama-bpe" : "dbrx");
  if (contractions && pattern.find("|\\p{N}|") != std::string::npos) return std::string("qwen2");
  if (pattern.find("[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]") != std::string::npos)
    return std::string("gpt-4o");
  return Error(
      ErrorCode::Invalid,
      fmt::format("tokenizer.json: the pre-tokenizer {} is not known; use the model's .gguf",
                  pattern.empty() ? "without a pattern" : pattern));
}

/// A token of tokenizer_config.json: a text, or an object with it.
std::string token_name(const json::Value& config, std::string_view key) {
  if (const auto plain = json::find_string(config, key); !plain.empty()) return std::string(plain);
  return std::string(json::find_string(config, std::string(key) + ".content"));
}

base::Status read_pieces(const json::Value& root, Tokens& out) {
  const json::Object* vocabulary = json::find_object(root, "model.vocab");
  if (json::find_string(root, "model.type") != "BPE" || vocabulary == nullptr) {
    return Error(ErrorCode::Invalid, "tokenizer.json: only BPE vocabularies can be read");
  }
  const auto put = [&](std::string_view text, std::int64_t id, std::int32_t kind) -> base::Status {
    if (id < 0 || static_cast<std::size_t>(id) >= kMaxTokens)
      return Error(ErrorCode::Invalid, fmt::format("tokenizer.json: token {} is out of range", id));
    const auto place = static_cast<std::size_t>(id);
    if (out.texts.size() <= place) {
      out.texts.resize(place + 1);
      out.kinds.resize(place + 1, kUnused);
    }
    out.texts[place] = text;
    out.kinds[place] = kind;
    return {};
  };
  const std::string_view unknown = json::find_string(root, "model.unk_token");
  for (const auto& member : *vocabulary) {
    const std::string_view text(member.key().data(), member.key().size());
    if (!member.value().is_int64())
      return Error(ErrorCode::Invalid, "tokenizer.json: model.vocab holds what is no number");
    const std::int64_t id = member.value().get_int64();
    const bool is_byte =
        !out.bytes && text.size() == 6 && text.starts_with("<0x") && text[5] == '>';
    TRY(put(text, id, is_byte ? kByte : text == unknown && !out.bytes ? kUnknown : kNormal));
    if (text == unknown) out.unknown = static_cast<TokenId>(id);
  }
  if (const json::Array* added = json::find_array(root, "added_tokens")) {
    for (const json::Value& token : *added) {
      const json::Value* special = json::find(token, "special");
      const std::string_view text = json::find_string(token, "content");
      const bool control = special != nullptr && special->is_bool() && special->get_bool();
      const bool is_unknown = text == unknown && !out.bytes && !unknown.empty();
      TRY(put(text, json::find_int(token, "id").value_or(-1),
              is_unknown ? kUnknown
              : control  ? kControl
                         : kUserDefined));
    }
  }
  return {};
}

base::Status read_merges(const json::Value& root, Tokens& out) {
  const json::Array* merges = json::find_array(root, "model.merges");
  if (merges == nullptr) return {};
  for (const json::Value& merge : *merges) {
    const json::Array* pair = merge.if_array();
    if (merge.is_string()) {
      out.merges.push_back(json::to_string(merge.get_string()));
    } else if (pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() &&
               (*pair)[1].is_string()) {
      out.merges.push_back(fmt::format("{} {}", json::view((*pair)[0].get_string()),
                                       json::view((*pair)[1].get_string())));
    } else {
      return Error(ErrorCode::Invalid, "tokenizer.json: model.merges holds what is no pair");
    }
  }
  return {};
}

/// True when the post-processor puts `token` into every text.
bool template_adds(const json::Value& root, std::string_view token) {
  for (const json::Value* step : steps_of(root, "post_processor")) {
    const json::Array* single = json::find_array(*step, "single");
    if (single == nullptr || token.empty()) continue;
    for (const json::Value& piece : *single)
      if (json::find_string(piece, "SpecialToken.id") == token) return true;
  }
  return false;
}

void read_special_tokens(const json::Value& root, const json::Value& config, Tokens& out) {
  const auto find = [&](const std::string& name) -> std::optional<TokenId> {
    const auto found = std::find(out.texts.begin(), out.texts.end(), name);
    if (name.empty() || found == out.texts.end()) return std::nullopt;
    return static_cast<TokenId>(found - out.texts.begin());
  };
  const auto flag = [&](std::string_view key) -> std::optional<bool> {
    const json::Value* value = json::find(config, key);
    return value != nullptr && value->is_bool() ? std::optional(value->get_bool()) : std::nullopt;
  };
  const std::string begin = token_name(config, "bos_token");
  const std::string end = token_name(config, "eos_token");
  out.begin = find(begin);
  out.end = find(end);
  out.add_begin = flag("add_bos_token").value_or(template_adds(root, begin)) && out.begin;
  out.add_end = flag("add_eos_token").value_or(template_adds(root, end)) && out.end;
}

std::string read_chat_template(const std::filesystem::path& folder, const json::Value& config) {
  if (auto file = base::read_file(folder / "chat_template.jinja")) return *std::move(file);
  const json::Value* value = json::find(config, "chat_template");
  if (value == nullptr) return {};
  if (value->is_string()) return json::to_string(value->get_string());
  if (!value->is_array()) return {};
  for (const json::Value& named : value->get_array())
    if (json::find_string(named, "name") == "default")
      return std::string(json::find_string(named, "template"));
  return {};
}

Result<Tokens> read_tokens(const std::filesystem::path& folder) {
  const json::Value root = TRY(read_json(folder / "tokenizer.json"));
  const auto config_file = read_json(folder / "tokenizer_config.json");
  const json::Value config = config_file ? *config_file : json::Value(json::Object());
  Tokens tokens;
  const auto pre = steps_of(root, "pre_tokenizer");
  tokens.bytes = has_step(pre, "ByteLevel");
  const json::Value* fallback = json::find(root, "model.byte_fallback");
  if (!tokens.bytes && (fallback == nullptr || !fallback->is_bool() || !fallback->get_bool()))
    return Error(ErrorCode::Invalid, "tokenizer.json: neither of bytes nor with byte fallback");
  if (tokens.bytes) tokens.pre = TRY(pre_tokenizer_name(root));
  TRY(read_pieces(root, tokens));
  TRY(read_merges(root, tokens));
  for (std::size_t i = 0; i < tokens.texts.size(); ++i)
    if (tokens.kinds[i] == kUnused) tokens.texts[i] = fmt::format("[PAD{}]", i);
  const auto normalizers = steps_of(root, "normalizer");
  tokens.space_prefix = has_step(normalizers, "Prepend");
  for (const json::Value* step : pre) {
    const std::string_view scheme = json::find_string(*step, "prepend_scheme");
    tokens.space_prefix = tokens.space_prefix || scheme == "first" || scheme == "always";
  }
  read_special_tokens(root, config, tokens);
  tokens.chat_template = read_chat_template(folder, config);
  return tokens;
}

/// SentencePiece merges by score. Its BPE vocabularies stand in the order of their merges, but runs
/// of spaces come after everything else.
float piece_score(std::string_view text, std::size_t place) {
  constexpr float kLast = -1e9F;
  constexpr std::string_view kSpace = "\u2581";
  while (text.starts_with(kSpace)) text.remove_prefix(kSpace.size());
  return text.empty() ? kLast : -static_cast<float>(place);
}

void describe_tokens(const Tokens& tokens, GgufWriter& writer) {
  writer.text("general.architecture", "llama");
  writer.text("tokenizer.ggml.model", tokens.bytes ? "gpt2" : "llama");
  if (tokens.bytes) writer.text("tokenizer.ggml.pre", tokens.pre);
  writer.texts("tokenizer.ggml.tokens", tokens.texts);
  writer.integers("tokenizer.ggml.token_type", tokens.kinds);
  if (tokens.bytes) {
    writer.texts("tokenizer.ggml.merges", tokens.merges);
  } else {
    std::vector<float> scores(tokens.texts.size());
    for (std::size_t i = 0; i < scores.size(); ++i)
      scores[i] = tokens.kinds[i] == kNormal ? piece_score(tokens.texts[i], i) : 0.0F;
    writer.reals("tokenizer.ggml.scores", scores);
    writer.boolean("tokenizer.ggml.add_space_prefix", tokens.space_prefix);
  }
  const auto number = [&](std::string_view key, std::optional<TokenId> token) {
    if (token) writer.number(key, static_cast<std::uint32_t>(*token));
  };
  number("tokenizer.ggml.bos_token_id", tokens.begin);
  number("tokenizer.ggml.eos_token_id", tokens.end);
  if (!tokens.bytes) number("tokenizer.ggml.unknown_token_id", tokens.unknown);
  writer.boolean("tokenizer.ggml.add_bos_token", tokens.add_begin);
  writer.boolean("tokenizer.ggml.add_eos_token", tokens.add_end);
  if (!tokens.chat_template.empty()) writer.text("tokenizer.chat_template", tokens.chat_template);
}

}  // namespace

Result<std::unique_ptr<Vocabulary>> load_hugging_face_vocabulary(
    const std::filesystem::path& folder, const base::Logger& log) {
  const Tokens tokens = TRY(base::with_context(read_tokens(folder), folder.string()));
  GgufWriter writer;
  describe_tokens(tokens, writer);
  // llama.cpp reads files; this one is never on a disk.
  const base::UniqueFd file(::memfd_create("vocabulary", MFD_CLOEXEC));
  if (!file) return base::system_error("making a file in memory", errno);
  TRY(writer.write(file.get(), [](std::size_t) -> Result<std::span<const std::byte>> {
    return std::span<const std::byte>();
  }));
  return base::with_context(Vocabulary::load(fmt::format("/proc/self/fd/{}", file.get()), log),
                            (folder / "tokenizer.json").string());
}

}  // namespace model

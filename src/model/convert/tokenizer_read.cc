#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/file.h"
#include "model/convert/pre_tokenizer.h"
#include "model/convert/tokenizer.h"

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t kMaxTokenizerBytes = 256 << 20;
constexpr std::size_t kMaxTemplateBytes = 4 << 20;
/// Of tokens whose order of merging does not matter.
constexpr float kNoScore = -1000;

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

Result<json::Value> read_json(const std::filesystem::path& path) {
  const std::string text = TRY(base::read_file(path, kMaxTokenizerBytes));
  return base::with_context(json::parse(text, {.max_bytes = kMaxTokenizerBytes}), path.string());
}

/// An absent file is an empty object.
Result<json::Value> read_optional_json(const std::filesystem::path& path) {
  auto value = read_json(path);
  if (!value && value.error().code() == ErrorCode::NotFound) return json::Value(json::Object());
  return value;
}

bool is_byte_token(std::string_view text) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return text.size() == 6 && text.starts_with("<0x") && text[5] == '>' && is_digit(text[3]) &&
         is_digit(text[4]);
}

base::Status place(TokenizerModel& tokenizer, std::int64_t id, std::string text, TokenKind kind) {
  if (id < 0 || static_cast<std::size_t>(id) >= tokenizer.tokens.size())
    return invalid(fmt::format("token {} lies outside of the model's vocabulary of {}", id,
                               tokenizer.tokens.size()));
  const auto index = static_cast<std::size_t>(id);
  tokenizer.tokens[index] = std::move(text);
  tokenizer.kinds[index] = static_cast<std::int32_t>(kind);
  return {};
}

base::Status read_vocabulary(const json::Value& document, TokenizerModel& tokenizer) {
  const json::Object* vocabulary = json::find_object(document, "model.vocab");
  if (!vocabulary) return invalid("model.vocab should be an object");
  for (const auto& member : *vocabulary) {
    const auto* id = member.value().if_int64();
    if (!id) return invalid("model.vocab should hold whole numbers");
    std::string text(member.key());
    const bool byte = tokenizer.kind == "llama" && is_byte_token(text);
    TRY(place(tokenizer, *id, std::move(text), byte ? TokenKind::Byte : TokenKind::Normal));
  }
  const json::Array* added = json::find_array(document, "added_tokens");
  if (!added) return {};
  for (const json::Value& one : *added) {
    const auto id = json::find_int(one, "id");
    const json::Value* special = json::find(one, "special");
    if (!id) return invalid("added_tokens should have an id");
    const bool control = special && special->is_bool() && special->get_bool();
    TRY(place(tokenizer, *id, std::string(json::find_string(one, "content")),
              control ? TokenKind::Control : TokenKind::UserDefined));
  }
  return {};
}

/// `"a b"` or `["a","b"]`.
Result<std::string> merge_text(const json::Value& value) {
  if (const json::String* text = value.if_string()) return json::to_string(*text);
  const json::Array* pair = value.if_array();
  if (!pair || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string())
    return invalid("model.merges should hold pairs of texts");
  return fmt::format("{} {}", json::view((*pair)[0].get_string()),
                     json::view((*pair)[1].get_string()));
}

base::Status read_merges(const json::Value& document, TokenizerModel& tokenizer) {
  const json::Array* merges = json::find_array(document, "model.merges");
  if (!merges) return invalid("model.merges should be an array");
  for (const json::Value& one : *merges) tokenizer.merges.push_back(TRY(merge_text(one)));
  if (tokenizer.kind != "llama") return {};
  // SentencePiece merges the pair with the highest score first: the rank of the first merge that
  // makes a token gives the same order.
  tokenizer.scores.assign(tokenizer.tokens.size(), kNoScore);
  std::map<std::string_view, std::size_t> ids;
  for (std::size_t i = 0; i < tokenizer.tokens.size(); ++i) ids.emplace(tokenizer.tokens[i], i);
  std::vector<bool> ranked(tokenizer.tokens.size());
  for (std::size_t rank = 0; rank < tokenizer.merges.size(); ++rank) {
    std::string whole = tokenizer.merges[rank];
    whole.erase(whole.find(' '), 1);
    const auto found = ids.find(whole);
    if (found == ids.end() || ranked[found->second]) continue;
    ranked[found->second] = true;
    tokenizer.scores[found->second] = -static_cast<float>(rank + 1);
  }
  tokenizer.merges.clear();
  return {};
}

std::optional<std::uint32_t> find_token(const TokenizerModel& tokenizer, std::string_view text) {
  const auto found = std::find(tokenizer.tokens.begin(), tokenizer.tokens.end(), text);
  if (text.empty() || found == tokenizer.tokens.end()) return std::nullopt;
  return static_cast<std::uint32_t>(found - tokenizer.tokens.begin());
}

/// A special token's text, or that of an object with its `content`.
std::string_view special_text(const json::Value& config, const std::string& member) {
  const std::string_view text = json::find_string(config, member);
  return text.empty() ? json::find_string(config, member + ".content") : text;
}

std::optional<std::uint32_t> special_token(const TokenizerModel& tokenizer,
                                           const json::Value& tokenizer_config,
                                           const json::Value& config, const std::string& name) {
  if (const auto id = find_token(tokenizer, special_text(tokenizer_config, name + "_token")))
    return id;
  const json::Value* id = json::find(config, name + "_token_id");
  if (id && id->is_array() && !id->get_array().empty()) id = &id->get_array().front();
  if (!id || !id->is_int64() || id->get_int64() < 0 ||
      static_cast<std::size_t>(id->get_int64()) >= tokenizer.tokens.size())
    return std::nullopt;
  return static_cast<std::uint32_t>(id->get_int64());
}

std::optional<bool> flag(const json::Value& config, std::string_view member) {
  const json::Value* value = json::find(config, member);
  if (!value || !value->is_bool()) return std::nullopt;
  return value->get_bool();
}

/// Whether the post-processor's template for one text begins with a special token.
std::optional<bool> template_begins(const json::Value& document) {
  const json::Value* processor = json::find(document, "post_processor");
  if (!processor || processor->is_null()) return std::nullopt;
  const auto begins = [](const json::Value& one) {
    const json::Array* single = json::find_array(one, "single");
    return single && !single->empty() && json::find_object(single->front(), "SpecialToken");
  };
  if (begins(*processor)) return true;
  if (const json::Array* parts = json::find_array(*processor, "processors"))
    for (const json::Value& one : *parts)
      if (begins(one)) return true;
  return false;
}

/// A text, or the one of several that is named `default`.
std::string chat_template_in(const json::Value& config) {
  const json::Value* value = json::find(config, "chat_template");
  if (!value) return {};
  if (const json::String* text = value->if_string()) return json::to_string(*text);
  if (const json::Array* named = value->if_array())
    for (const json::Value& one : *named)
      if (json::find_string(one, "name") == "default")
        return std::string(json::find_string(one, "template"));
  return {};
}

}  // namespace

Result<TokenizerModel> read_tokenizer(const std::filesystem::path& folder,
                                      std::uint64_t vocabulary_size) {
  const json::Value document = TRY(read_json(folder / "tokenizer.json"));
  const json::Value tokenizer_config = TRY(read_optional_json(folder / "tokenizer_config.json"));
  const json::Value config = TRY(read_optional_json(folder / "config.json"));
  TokenizerModel tokenizer;
  const PreTokenizer pre =
      TRY(base::with_context(find_pre_tokenizer(document), (folder / "tokenizer.json").string()));
  tokenizer.kind = pre.kind;
  tokenizer.pre = pre.name;
  for (std::uint64_t i = 0; i < vocabulary_size; ++i)
    tokenizer.tokens.push_back(fmt::format("[PAD{}]", i));
  tokenizer.kinds.assign(vocabulary_size, static_cast<std::int32_t>(TokenKind::Unused));
  TRY(base::with_context(read_vocabulary(document, tokenizer), "tokenizer.json"));
  TRY(base::with_context(read_merges(document, tokenizer), "tokenizer.json"));
  tokenizer.begin = special_token(tokenizer, tokenizer_config, config, "bos");
  tokenizer.end = special_token(tokenizer, tokenizer_config, config, "eos");
  tokenizer.unknown = special_token(tokenizer, tokenizer_config, config, "unk");
  tokenizer.padding = special_token(tokenizer, tokenizer_config, config, "pad");
  tokenizer.add_begin = flag(tokenizer_config, "add_bos_token");
  if (!tokenizer.add_begin) tokenizer.add_begin = template_begins(document);
  tokenizer.add_end = flag(tokenizer_config, "add_eos_token");
  if (tokenizer.kind == "llama") {
    tokenizer.add_space_prefix = pre.space_prefix;
    if (tokenizer.unknown)
      tokenizer.kinds[*tokenizer.unknown] = static_cast<std::int32_t>(TokenKind::Unknown);
  }
  tokenizer.chat_template = chat_template_in(tokenizer_config);
  if (auto text = base::read_file(folder / "chat_template.jinja", kMaxTemplateBytes))
    tokenizer.chat_template = *std::move(text);
  return tokenizer;
}

Result<TokenizerModel> tokenizer_from_gguf(const GgufHeader& header) {
  TokenizerModel tokenizer;
  tokenizer.kind = header.text("tokenizer.ggml.model");
  tokenizer.pre = header.text("tokenizer.ggml.pre");
  if (tokenizer.kind != "gpt2" && tokenizer.kind != "llama")
    return invalid(fmt::format("tokenizer.ggml.model {} cannot be converted, only gpt2 and llama",
                               tokenizer.kind));
  for (const std::string_view one : header.texts("tokenizer.ggml.tokens"))
    tokenizer.tokens.emplace_back(one);
  for (const std::string_view one : header.texts("tokenizer.ggml.merges"))
    tokenizer.merges.emplace_back(one);
  for (const std::int64_t one : header.integers("tokenizer.ggml.token_type"))
    tokenizer.kinds.push_back(static_cast<std::int32_t>(one));
  tokenizer.scores = header.reals("tokenizer.ggml.scores");
  if (tokenizer.kinds.empty())
    tokenizer.kinds.assign(tokenizer.tokens.size(), static_cast<std::int32_t>(TokenKind::Normal));
  if (tokenizer.tokens.empty() || tokenizer.kinds.size() != tokenizer.tokens.size() ||
      (tokenizer.kind == "llama" && tokenizer.scores.size() != tokenizer.tokens.size()))
    return invalid("the vocabulary's lists differ in length");
  const auto token = [&](std::string_view name) -> std::optional<std::uint32_t> {
    const auto id = header.number(fmt::format("tokenizer.ggml.{}_token_id", name));
    if (!id || *id >= tokenizer.tokens.size()) return std::nullopt;
    return static_cast<std::uint32_t>(*id);
  };
  tokenizer.begin = token("bos");
  tokenizer.end = token("eos");
  tokenizer.unknown = token("unknown");
  tokenizer.padding = token("padding");
  tokenizer.add_begin = header.boolean("tokenizer.ggml.add_bos_token");
  tokenizer.add_end = header.boolean("tokenizer.ggml.add_eos_token");
  tokenizer.add_space_prefix = header.boolean("tokenizer.ggml.add_space_prefix");
  tokenizer.chat_template = header.text("tokenizer.chat_template");
  return tokenizer;
}

}  // namespace model

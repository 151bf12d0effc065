#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "base/file.h"
#include "model/convert/pre_tokenizer.h"
#include "model/convert/tokenizer.h"

namespace model {
namespace {

bool is_kind(const TokenizerModel& tokenizer, std::size_t index, TokenKind kind) {
  return tokenizer.kinds[index] == static_cast<std::int32_t>(kind);
}

base::Status write_json(const std::filesystem::path& path, const json::Value& value) {
  return base::write_file_atomic(path, json::dump_pretty(value) + "\n", 0644);
}

/// The merges that SentencePiece's scores amount to: every way to make a token of two, best token
/// first, as transformers' converter orders them.
std::vector<std::string> merges_of(const TokenizerModel& tokenizer) {
  std::map<std::string_view, std::size_t> ids;
  for (std::size_t i = 0; i < tokenizer.tokens.size(); ++i)
    if (is_kind(tokenizer, i, TokenKind::Normal)) ids.emplace(tokenizer.tokens[i], i);
  struct Merge {
    float score;
    std::size_t left;
    std::size_t right;
  };
  std::vector<Merge> found;
  for (const auto& [whole, id] : ids) {
    for (std::size_t cut = 1; cut < whole.size(); ++cut) {
      const auto left = ids.find(whole.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(whole.substr(cut));
      if (right != ids.end()) found.push_back({tokenizer.scores[id], left->second, right->second});
    }
  }
  std::sort(found.begin(), found.end(), [](const Merge& a, const Merge& b) {
    return std::tuple(-a.score, a.left, a.right) < std::tuple(-b.score, b.left, b.right);
  });
  std::vector<std::string> merges;
  for (const Merge& one : found)
    merges.push_back(fmt::format("{} {}", tokenizer.tokens[one.left], tokenizer.tokens[one.right]));
  return merges;
}

json::Object added_token(const TokenizerModel& tokenizer, std::size_t index) {
  const bool special = !is_kind(tokenizer, index, TokenKind::UserDefined);
  return {{"content", tokenizer.tokens[index]},
          {"single_word", false},
          {"lstrip", false},
          {"rstrip", false},
          {"normalized", !special},
          {"special", special}};
}

/// Tokens that are found in the text before anything else.
std::vector<std::size_t> added_tokens(const TokenizerModel& tokenizer) {
  std::vector<std::size_t> added;
  for (std::size_t i = 0; i < tokenizer.tokens.size(); ++i)
    if (is_kind(tokenizer, i, TokenKind::Control) ||
        is_kind(tokenizer, i, TokenKind::UserDefined) || is_kind(tokenizer, i, TokenKind::Unknown))
      added.push_back(i);
  return added;
}

/// Puts the first token before every text.
json::Value begin_processor(const TokenizerModel& tokenizer) {
  if (!tokenizer.begin || !tokenizer.add_begin.value_or(false)) return nullptr;
  const std::string& text = tokenizer.tokens[*tokenizer.begin];
  const auto special = [&](int type) {
    return json::Object{{"SpecialToken", json::Object{{"id", text}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* id, int type) {
    return json::Object{{"Sequence", json::Object{{"id", id}, {"type_id", type}}}};
  };
  json::Object tokens;
  tokens.emplace(text, json::Object{{"id", text},
                                    {"ids", json::Array{*tokenizer.begin}},
                                    {"tokens", json::Array{json::Value(text)}}});
  return json::Object{
      {"type", "TemplateProcessing"},
      {"single", json::Array{special(0), sequence("A", 0)}},
      {"pair", json::Array{special(0), sequence("A", 0), special(1), sequence("B", 1)}},
      {"special_tokens", std::move(tokens)}};
}

json::Object tokenizer_json(const TokenizerModel& tokenizer, PreTokenizerJson pre) {
  json::Array added;
  for (const std::size_t index : added_tokens(tokenizer)) {
    json::Object one{{"id", index}};
    for (auto& member : added_token(tokenizer, index)) one.emplace(member.key(), member.value());
    added.push_back(std::move(one));
  }
  json::Object vocabulary;
  for (std::size_t i = 0; i < tokenizer.tokens.size(); ++i)
    if (!is_kind(tokenizer, i, TokenKind::Unused)) vocabulary.emplace(tokenizer.tokens[i], i);
  json::Array merges;
  const bool pieces = tokenizer.kind == "llama";
  // Texts and not pairs: tokenizers before 0.20 cannot read pairs.
  for (const std::string& one : pieces ? merges_of(tokenizer) : tokenizer.merges)
    merges.push_back(json::Value(one));
  json::Value unknown = nullptr;
  if (pieces && tokenizer.unknown) unknown = json::Value(tokenizer.tokens[*tokenizer.unknown]);
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", std::move(pre.normalizer)},
          {"pre_tokenizer", std::move(pre.pre_tokenizer)},
          {"post_processor", begin_processor(tokenizer)},
          {"decoder", std::move(pre.decoder)},
          {"model", json::Object{{"type", "BPE"},
                                 {"dropout", nullptr},
                                 {"unk_token", std::move(unknown)},
                                 {"continuing_subword_prefix", nullptr},
                                 {"end_of_word_suffix", nullptr},
                                 {"fuse_unk", pieces},
                                 {"byte_fallback", pieces},
                                 {"ignore_merges", pre.ignore_merges},
                                 {"vocab", std::move(vocabulary)},
                                 {"merges", std::move(merges)}}}};
}

}  // namespace

void write_tokenizer(const TokenizerModel& tokenizer, GgufWriter& writer) {
  writer.text("tokenizer.ggml.model", tokenizer.kind);
  writer.text("tokenizer.ggml.pre", tokenizer.pre);
  writer.texts("tokenizer.ggml.tokens", tokenizer.tokens);
  writer.integers("tokenizer.ggml.token_type", tokenizer.kinds);
  if (tokenizer.kind == "llama") {
    writer.reals("tokenizer.ggml.scores", tokenizer.scores);
  } else {
    writer.texts("tokenizer.ggml.merges", tokenizer.merges);
  }
  const auto token = [&](std::string_view name, const std::optional<std::uint32_t>& id) {
    if (id) writer.number(fmt::format("tokenizer.ggml.{}_token_id", name), *id);
  };
  token("bos", tokenizer.begin);
  token("eos", tokenizer.end);
  token("unknown", tokenizer.unknown);
  token("padding", tokenizer.padding);
  const auto flag = [&](std::string_view name, const std::optional<bool>& value) {
    if (value) writer.boolean(fmt::format("tokenizer.ggml.{}", name), *value);
  };
  flag("add_bos_token", tokenizer.add_begin);
  flag("add_eos_token", tokenizer.add_end);
  flag("add_space_prefix", tokenizer.add_space_prefix);
  if (!tokenizer.chat_template.empty())
    writer.text("tokenizer.chat_template", tokenizer.chat_template);
}

base::Status write_tokenizer(const TokenizerModel& tokenizer, const std::filesystem::path& folder,
                             std::uint64_t context_tokens) {
  PreTokenizerJson pre =
      TRY(pre_tokenizer_json({.kind = tokenizer.kind,
                              .name = tokenizer.pre,
                              .space_prefix = tokenizer.add_space_prefix.value_or(true)}));
  TRY(write_json(folder / "tokenizer.json", tokenizer_json(tokenizer, std::move(pre))));
  json::Object special;
  const auto add = [&](const char* name, const std::optional<std::uint32_t>& id) {
    if (id) special.emplace(name, json::Value(tokenizer.tokens[*id]));
  };
  add("bos_token", tokenizer.begin);
  add("eos_token", tokenizer.end);
  add("pad_token", tokenizer.padding);
  add("unk_token", tokenizer.unknown);
  TRY(write_json(folder / "special_tokens_map.json", special));
  json::Object config = special;
  // GPT2Tokenizer would make transformers 5 ignore how tokenizer.json splits text.
  config.emplace("tokenizer_class", "PreTrainedTokenizerFast");
  config.emplace("model_max_length", context_tokens);
  config.emplace("clean_up_tokenization_spaces", false);
  config.emplace("add_prefix_space", false);
  if (tokenizer.add_begin) config.emplace("add_bos_token", *tokenizer.add_begin);
  if (tokenizer.add_end) config.emplace("add_eos_token", *tokenizer.add_end);
  json::Object decoder;
  for (const std::size_t index : added_tokens(tokenizer))
    decoder.emplace(std::to_string(index), added_token(tokenizer, index));
  config.emplace("added_tokens_decoder", std::move(decoder));
  if (!tokenizer.chat_template.empty())
    config.emplace("chat_template", json::Value(tokenizer.chat_template));
  return write_json(folder / "tokenizer_config.json", config);
}

}  // namespace model

#include "model/convert/pre_tokenizer.h"

#include <fmt/format.h>

namespace model {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

/// Byte-level tokenizers by what stands before the bytes.
struct KnownSplit {
  std::string_view name;
  std::string_view pattern;  ///< Of `Split`; "" for ByteLevel's own.
  bool single_digits = false;
  bool ignore_merges = false;
};

constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr KnownSplit kKnown[] = {
    {"gpt-2", ""},     {"smollm", "", true}, {"llama-bpe", kLlama3, false, true},
    {"dbrx", kLlama3}, {"qwen2", kQwen2},    {"gpt-4o", kGpt4o},
};

/// The underline that SentencePiece writes for a space.
constexpr const char* kSpaceMark = "\u2581";

/// The parts of a Sequence, or the value itself.
json::Array parts_of(const json::Value& value, std::string_view list) {
  if (value.is_null()) return {};
  if (json::find_string(value, "type") == "Sequence")
    if (const json::Array* parts = json::find_array(value, list)) return *parts;
  return {value};
}

bool is_true(const json::Value& value, std::string_view member, bool otherwise) {
  const json::Value* flag = json::find(value, member);
  return flag && flag->is_bool() ? flag->get_bool() : otherwise;
}

json::Value member_or_null(const json::Value& value, std::string_view member) {
  const json::Value* found = json::find(value, member);
  return found ? *found : json::Value(nullptr);
}

/// SentencePiece's way: spaces become marks, unknown characters bytes.
Result<PreTokenizer> find_sentencepiece(const json::Value& tokenizer) {
  PreTokenizer found{.kind = "llama", .name = "default", .space_prefix = false};
  bool replaces = false;
  for (const json::Value& one : parts_of(member_or_null(tokenizer, "normalizer"), "normalizers")) {
    const std::string_view type = json::find_string(one, "type");
    if (type == "Prepend" && json::find_string(one, "prepend") == kSpaceMark) {
      found.space_prefix = true;
    } else if (type == "Replace" && json::find_string(one, "content") == kSpaceMark) {
      replaces = true;
    } else {
      return invalid(fmt::format("normalizer {} has no equal in GGUF", type));
    }
  }
  const json::Value pre = member_or_null(tokenizer, "pre_tokenizer");
  if (pre.is_null()) {
    if (replaces) return found;
    return invalid("spaces are not replaced as SentencePiece does");
  }
  if (json::find_string(pre, "type") != "Metaspace")
    return invalid(
        fmt::format("pre_tokenizer {} has no equal in GGUF", json::find_string(pre, "type")));
  const std::string_view scheme = json::find_string(pre, "prepend_scheme");
  found.space_prefix = scheme.empty() ? is_true(pre, "add_prefix_space", true) : scheme != "never";
  return found;
}

Result<PreTokenizer> find_byte_level(const json::Value& tokenizer) {
  std::string pattern;
  bool digits = false;
  bool own_pattern = false;
  bool bytes = false;
  for (const json::Value& one :
       parts_of(member_or_null(tokenizer, "pre_tokenizer"), "pretokenizers")) {
    const std::string_view type = json::find_string(one, "type");
    if (type == "Digits" && is_true(one, "individual_digits", false)) {
      digits = true;
    } else if (type == "Split" && pattern.empty()) {
      pattern = json::find_string(one, "pattern.Regex");
    } else if (type == "ByteLevel" && !is_true(one, "add_prefix_space", true)) {
      bytes = true;
      own_pattern = is_true(one, "use_regex", true);
    } else {
      return invalid(fmt::format("pre_tokenizer {} has no equal in GGUF", type));
    }
  }
  const bool ignore_merges = is_true(tokenizer, "model.ignore_merges", false);
  for (const KnownSplit& one : kKnown)
    if (bytes && one.pattern == pattern && one.single_digits == digits &&
        own_pattern == one.pattern.empty() &&
        (one.pattern.empty() || one.ignore_merges == ignore_merges))
      return PreTokenizer{.kind = "gpt2", .name = std::string(one.name)};
  return invalid(fmt::format("its way to split text has no name in GGUF: {}",
                             pattern.empty() ? "no ByteLevel" : pattern));
}

json::Object byte_level(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

PreTokenizerJson sentencepiece_json(const PreTokenizer& pre) {
  json::Array normalizers;
  if (pre.space_prefix)
    normalizers.push_back(json::Object{{"type", "Prepend"}, {"prepend", kSpaceMark}});
  normalizers.push_back(json::Object{
      {"type", "Replace"}, {"pattern", json::Object{{"String", " "}}}, {"content", kSpaceMark}});
  json::Array decoders;
  decoders.push_back(json::Object{
      {"type", "Replace"}, {"pattern", json::Object{{"String", kSpaceMark}}}, {"content", " "}});
  decoders.push_back(json::Object{{"type", "ByteFallback"}});
  decoders.push_back(json::Object{{"type", "Fuse"}});
  if (pre.space_prefix)
    decoders.push_back(
        json::Object{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {.normalizer = json::Object{{"type", "Sequence"}, {"normalizers", normalizers}},
          .pre_tokenizer = nullptr,
          .decoder = json::Object{{"type", "Sequence"}, {"decoders", decoders}}};
}

}  // namespace

Result<PreTokenizer> find_pre_tokenizer(const json::Value& tokenizer) {
  if (const std::string_view type = json::find_string(tokenizer, "model.type"); type != "BPE")
    return invalid(fmt::format("tokenizers of type {} cannot be converted, only BPE", type));
  if (is_true(tokenizer, "model.byte_fallback", false)) return find_sentencepiece(tokenizer);
  // llama.cpp does not normalise: text that is in form C already has the same tokens.
  const json::Value normalizer = member_or_null(tokenizer, "normalizer");
  if (!normalizer.is_null() && json::find_string(normalizer, "type") != "NFC")
    return invalid(
        fmt::format("normalizer {} has no equal in GGUF", json::find_string(normalizer, "type")));
  return find_byte_level(tokenizer);
}

Result<PreTokenizerJson> pre_tokenizer_json(const PreTokenizer& pre) {
  if (pre.kind == "llama") return sentencepiece_json(pre);
  for (const KnownSplit& one : kKnown) {
    if (one.name != pre.name) continue;
    json::Array parts;
    if (one.single_digits)
      parts.push_back(json::Object{{"type", "Digits"}, {"individual_digits", true}});
    if (!one.pattern.empty())
      parts.push_back(json::Object{{"type", "Split"},
                                   {"pattern", json::Object{{"Regex", json::String(one.pattern)}}},
                                   {"behavior", "Isolated"},
                                   {"invert", false}});
    parts.push_back(byte_level(false, one.pattern.empty()));
    json::Value whole = parts.front();
    if (parts.size() > 1) whole = json::Object{{"type", "Sequence"}, {"pretokenizers", parts}};
    json::Value normalizer = nullptr;
    if (one.name == "qwen2") normalizer = json::Object{{"type", "NFC"}};
    return PreTokenizerJson{.normalizer = std::move(normalizer),
                            .pre_tokenizer = std::move(whole),
                            .decoder = byte_level(true, true),
                            .ignore_merges = one.ignore_merges};
  }
  return invalid(fmt::format("tokenizer.ggml.pre {} cannot be converted", pre.name));
}

}  // namespace model

#include "model/text/hugging_face_vocabulary.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "json/value.h"

namespace model {
namespace {

using testing::ElementsAre;

constexpr std::uint64_t kVocabularySize = 300;

class HuggingFaceVocabulary : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("vocabulary-" + base::random_uuid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const json::Value& content) {
    std::ofstream(folder_ / name) << json::dump(content);
  }
  /// GPT-2's alphabet for the printable ASCII bytes, two merges and ChatML's markers.
  static json::Object byte_level(const json::Value& pre_tokenizer) {
    json::Object vocabulary;
    for (char c = '!'; c <= '~'; ++c) vocabulary.emplace(std::string(1, c), vocabulary.size());
    for (const char* text : {"\u0120", "\u010A", "he", "hel"})
      vocabulary.emplace(text, vocabulary.size());
    const auto next = static_cast<std::int64_t>(vocabulary.size());
    return {{"model", json::Object{{"type", "BPE"},
                                   {"vocab", vocabulary},
                                   {"merges", json::Array{"h e", json::Array{"he", "l"}}}}},
            {"pre_tokenizer", pre_tokenizer},
            {"added_tokens",
             json::Array{
                 json::Object{{"id", next}, {"content", "<|im_start|>"}, {"special", true}},
                 json::Object{{"id", next + 1}, {"content", "<|im_end|>"}, {"special", true}}}}};
  }
  base::Result<std::unique_ptr<Vocabulary>> load() {
    return load_hugging_face_vocabulary(folder_, kVocabularySize, {});
  }
  static std::vector<std::string> pieces(const Vocabulary& vocabulary, std::string_view text) {
    std::vector<std::string> found;
    for (const TokenId token :
         vocabulary.tokenize(text, Vocabulary::Special::Add, Vocabulary::Markers::AsTokens))
      found.push_back(vocabulary.text_of(token));
    return found;
  }
  std::filesystem::path folder_;
};

TEST_F(HuggingFaceVocabulary, ReadsByteLevelBpe) {
  write("tokenizer.json",
        byte_level(json::Object{{"type", "ByteLevel"}, {"add_prefix_space", false}}));
  write("tokenizer_config.json",
        json::Object{{"bos_token", "<|im_start|>"},
                     {"eos_token", json::Object{{"content", "<|im_end|>"}}},
                     {"chat_template", "{{ messages }}"}});
  const auto vocabulary = load();
  ASSERT_TRUE(vocabulary) << vocabulary.error().message();
  EXPECT_THAT(pieces(**vocabulary, "hello he<|im_end|>"),
              ElementsAre("hel", "l", "o", "\u0120", "he", "<|im_end|>"));
  EXPECT_EQ((*vocabulary)->text_of((*vocabulary)->end_token()), "<|im_end|>");
  EXPECT_EQ((*vocabulary)->chat_template(), "{{ messages }}");
}

TEST_F(HuggingFaceVocabulary, ReadsPiecesWithByteFallback) {
  json::Object vocabulary{{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (int byte = 0; byte < 256; ++byte)
    vocabulary.emplace(fmt::format("<0x{:02X}>", byte), 3 + byte);
  for (const char* text : {"\u2581h", "\u2581he", "\u2581", "h", "e", "y", "he"})
    vocabulary.emplace(text, vocabulary.size());
  const auto special = [](int id, const char* text) {
    return json::Object{{"id", id}, {"content", text}, {"special", true}};
  };
  write("tokenizer.json",
        json::Object{
            {"model", json::Object{{"type", "BPE"},
                                   {"byte_fallback", true},
                                   {"unk_token", "<unk>"},
                                   {"vocab", vocabulary},
                                   {"merges", json::Array{"\u2581 h", "\u2581h e", "h e"}}}},
            {"normalizer",
             json::Object{{"type", "Sequence"},
                          {"normalizers",
                           json::Array{json::Object{{"type", "Prepend"}, {"prepend", "\u2581"}},
                                       json::Object{{"type", "Replace"}, {"content", "\u2581"}}}}}},
            {"post_processor",
             json::Object{{"type", "TemplateProcessing"},
                          {"single", json::Array{json::Object{
                                         {"SpecialToken", json::Object{{"id", "<s>"}}}}}}}},
            {"added_tokens",
             json::Array{special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")}}});
  write("tokenizer_config.json", json::Object{{"bos_token", "<s>"}, {"eos_token", "</s>"}});
  const auto loaded = load();
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_THAT(pieces(**loaded, "hey!</s>"), ElementsAre("<s>", "\u2581he", "y", "<0x21>", "</s>"));
}

TEST_F(HuggingFaceVocabulary, RefusesWhatItWouldCutElsewhere) {
  EXPECT_EQ(load().error().code(), base::ErrorCode::NotFound);
  const json::Object pattern{{"type", "Split"}, {"pattern", json::Object{{"Regex", "x+"}}}};
  write("tokenizer.json",
        byte_level(json::Object{
            {"type", "Sequence"},
            {"pretokenizers", json::Array{pattern, json::Object{{"type", "ByteLevel"},
                                                                {"add_prefix_space", false}}}}}));
  const auto loaded = load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), base::ErrorCode::Invalid);
}

}  // namespace
}  // namespace model

#include "tuning/data/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tuning/data/test_support.h"

namespace tuning {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

const ByteModel& byte_model() {
  static const ByteModel made = make_byte_model();
  return made;
}

Record chat(std::vector<model::ChatMessage> messages) {
  Record record;
  record.kind = Record::Kind::Messages;
  record.messages = std::move(messages);
  return record;
}

/// What of `sequence` is learned, ignored positions as dots.
std::string learned_text(const Sequence& sequence) {
  std::string text;
  for (std::size_t i = 0; i < sequence.labels.size(); ++i) {
    if (sequence.labels[i] == kIgnoredLabel) {
      text += '.';
    } else {
      byte_model().vocabulary->append_piece(text, sequence.labels[i],
                                            model::Vocabulary::Special::Add);
    }
  }
  return text;
}
std::string whole_text(const Sequence& sequence) {
  std::string text;
  for (const TokenId token : sequence.tokens)
    byte_model().vocabulary->append_piece(text, token, model::Vocabulary::Special::Add);
  return text;
}

Encoder encoder(const EncodeOptions& options = {}) {
  return Encoder(*byte_model().vocabulary, byte_model().chat_template.get(), options);
}

class EncoderTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(byte_model().vocabulary && byte_model().chat_template); }
};

TEST_F(EncoderTest, RendersMessagesWithTheTemplate) {
  const auto sequence = encoder().encode(chat({{"user", "Hi"}, {"assistant", "Yo"}}));
  ASSERT_TRUE(sequence) << sequence.error().message();
  EXPECT_EQ(whole_text(*sequence),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n");
  EXPECT_EQ(sequence->labels, sequence->tokens);
  EXPECT_EQ(sequence->tokens.front(), 256);
}

TEST_F(EncoderTest, LearnsOnlyTheAssistantsTurns) {
  const auto sequence =
      encoder({.assistant_only_loss = true})
          .encode(chat({{"user", "A"}, {"assistant", "Yo"}, {"user", "B"}, {"assistant", "Oh"}}));
  ASSERT_TRUE(sequence) << sequence.error().message();
  const std::string text = learned_text(*sequence);
  EXPECT_THAT(text, HasSubstr(".Yo<|im_end|>\n."));
  EXPECT_TRUE(text.ends_with(".Oh<|im_end|>\n")) << text;
  EXPECT_EQ(text.find('A'), std::string::npos);
  EXPECT_EQ(text.find("user"), std::string::npos);
}

TEST_F(EncoderTest, AUsersTextCannotForgeATurn) {
  const auto sequence = encoder().encode(chat({{"user", "<|im_end|>"}, {"assistant", "x"}}));
  ASSERT_TRUE(sequence);
  EXPECT_EQ(std::count(sequence->tokens.begin(), sequence->tokens.end(), 257), 2);
}

TEST_F(EncoderTest, EndsTextAndCompletionWithTheEndToken) {
  Record record;
  record.text = "hello";
  EXPECT_EQ(whole_text(*encoder().encode(record)), "hello<|im_end|>");
  record.text = "hello<|im_end|>";
  EXPECT_EQ(whole_text(*encoder().encode(record)), "hello<|im_end|>");
  record = {};
  record.kind = Record::Kind::PromptCompletion;
  record.prompt = "Q: ";
  record.completion = "A";
  const auto all = encoder().encode(record);
  EXPECT_EQ(learned_text(*all), "Q: A<|im_end|>");
  const auto completion = encoder({.completion_only_loss = true}).encode(record);
  EXPECT_EQ(learned_text(*completion), "...A<|im_end|>");
}

TEST_F(EncoderTest, ATokenAcrossTheBorderIsLearned) {
  Record record;
  record.kind = Record::Kind::PromptCompletion;
  record.prompt = "xa";
  record.completion = "by";
  const auto sequence = encoder({.completion_only_loss = true}).encode(record);
  EXPECT_EQ(learned_text(*sequence), ".aby<|im_end|>");
}

TEST_F(EncoderTest, LearnsTheCompletionOfConversationalPrompts) {
  Record record = chat({{"system", "S"}, {"assistant", "no"}, {"user", "Q"}, {"assistant", "yes"}});
  record.prompt_messages = 3;
  const auto sequence = encoder({.completion_only_loss = true}).encode(record);
  ASSERT_TRUE(sequence);
  const std::string text = learned_text(*sequence);
  EXPECT_TRUE(text.ends_with("yes<|im_end|>\n")) << text;
  EXPECT_EQ(text.find("no"), std::string::npos);
}

TEST_F(EncoderTest, NeedsATemplateForMessages) {
  const Encoder bare(*byte_model().vocabulary, nullptr, {});
  EXPECT_THAT(bare.encode(chat({{"user", "x"}})).error().message(),
              HasSubstr("ModelConfig.chat_template"));
}

TEST_F(EncoderTest, CutsLongRowsAndDropsWhatLearnsNothing) {
  Dataset dataset;
  Record record;
  record.kind = Record::Kind::PromptCompletion;
  record.prompt = "a long prompt";
  record.completion = "x";
  dataset.records.push_back(record);
  record.prompt = "q";
  dataset.records.push_back(record);
  const auto rows = encode_rows(
      base::Context(), encoder({.max_length = 8, .completion_only_loss = true}), dataset, {0, 1});
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(rows->sequences.size(), 1U);
  EXPECT_EQ(rows->cut, 1U);
  EXPECT_EQ(rows->first_cut, 1U);
  EXPECT_EQ(rows->dropped, 1U);
  EXPECT_EQ(rows->longest, 3U);
  EXPECT_EQ(rows->longest_row, 15U);
  EXPECT_EQ(rows->loss_tokens, 2U);
  const auto none = encode_rows(
      base::Context(), encoder({.max_length = 8, .completion_only_loss = true}), dataset, {0});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), HasSubstr("no row has anything to learn"));
}

std::vector<std::size_t> flat(const std::vector<std::vector<std::size_t>>& batches) {
  std::vector<std::size_t> all;
  for (const auto& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
  return all;
}

TEST(EpochBatches, CoverEveryRowOnceInAnOrderOfTheirOwn) {
  const std::vector<std::size_t> lengths(10, 5);
  const auto first = epoch_batches(lengths, {.batch_size = 4, .seed = 1}, 0);
  EXPECT_EQ(first.size(), 3U);
  EXPECT_EQ(first.back().size(), 2U);
  const auto all = flat(first);
  EXPECT_EQ(std::set<std::size_t>(all.begin(), all.end()).size(), 10U);
  EXPECT_EQ(first, epoch_batches(lengths, {.batch_size = 4, .seed = 1}, 0));
  EXPECT_NE(first, epoch_batches(lengths, {.batch_size = 4, .seed = 1}, 1));
  EXPECT_NE(first, epoch_batches(lengths, {.batch_size = 4, .seed = 2}, 0));
  EXPECT_THAT(flat(epoch_batches({1, 1, 1}, {.batch_size = 2, .shuffle = false}, 3)),
              ElementsAre(0, 1, 2));
}

TEST(EpochBatches, PackShortRowsTogether) {
  const std::vector<std::size_t> lengths = {7, 3, 5, 5, 2, 8, 10, 40};
  const auto batches =
      epoch_batches(lengths, {.max_length = 10, .packing = Packing::BestFit, .shuffle = false}, 0);
  EXPECT_EQ(batches.size(), 5U);
  std::set<std::size_t> seen;
  for (const auto& batch : batches) {
    std::size_t sum = 0;
    for (const std::size_t row : batch) sum += std::min<std::size_t>(lengths[row], 10);
    EXPECT_LE(sum, 10U);
    seen.insert(batch.begin(), batch.end());
  }
  EXPECT_EQ(seen.size(), lengths.size());
}

TEST(Wrap, CutsTheStreamOfRowsIntoEqualPieces) {
  const auto row = [](TokenId first, std::size_t count) {
    Sequence sequence;
    sequence.tokens.resize(count);
    std::iota(sequence.tokens.begin(), sequence.tokens.end(), first);
    sequence.labels = sequence.tokens;
    return sequence;
  };
  const auto pieces = wrap({row(0, 3), row(10, 4)}, 4);
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_THAT(pieces[0].tokens, ElementsAre(0, 1, 2, 10));
  EXPECT_THAT(pieces[1].labels, ElementsAre(11, 12, 13));
}

}  // namespace
}  // namespace tuning

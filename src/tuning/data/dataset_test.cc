#include "tuning/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/random.h"

namespace tuning {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Row row_of(std::string_view cells) {
  return {.number = 3, .line = 7, .cells = json::parse(cells)->as_object()};
}

base::Result<Record> record_of(std::string_view cells, const DatasetSettings& settings = {}) {
  const Row row = row_of(cells);
  return to_record(row, TRY(choose_columns(row, settings, "text")));
}
std::string error_of(std::string_view cells, const DatasetSettings& settings = {}) {
  const auto record = record_of(cells, settings);
  return record ? std::string() : record.error().message();
}

TEST(Records, ReadConversations) {
  const auto record = record_of(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"x":1})");
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->kind, Record::Kind::Messages);
  ASSERT_EQ(record->messages.size(), 2U);
  EXPECT_EQ(record->messages[1].role, "assistant");
  EXPECT_EQ(record->messages[1].content, "b");
}

TEST(Records, ReadOtherSpellingsOfConversations) {
  const auto shared = record_of(R"({"conversations":[{"from":"human","value":"a"},
                                    {"from":"gpt","value":"b"}]})");
  ASSERT_TRUE(shared) << shared.error().message();
  EXPECT_EQ(shared->messages[0].role, "user");
  EXPECT_EQ(shared->messages[1].role, "assistant");
  const auto in_csv = record_of(R"({"messages":"[{\"role\":\"user\",\"content\":\"a\"}]"})");
  ASSERT_TRUE(in_csv) << in_csv.error().message();
  const auto parts =
      record_of(R"({"messages":[{"role":"user","content":[{"type":"text","text":"ab"},
                                                          {"type":"text","text":"c"}]}]})");
  ASSERT_TRUE(parts) << parts.error().message();
  EXPECT_EQ(parts->messages[0].content, "abc");
}

TEST(Records, ReadPromptsWithCompletions) {
  const auto plain = record_of(R"({"prompt":"a","completion":"b","text":"c"})");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->kind, Record::Kind::PromptCompletion);
  EXPECT_EQ(plain->prompt + plain->completion, "ab");
  const auto chat = record_of(R"({"prompt":[{"role":"user","content":"a"}],
                                  "completion":[{"role":"assistant","content":"b"}]})");
  ASSERT_TRUE(chat) << chat.error().message();
  EXPECT_EQ(chat->kind, Record::Kind::Messages);
  EXPECT_EQ(chat->prompt_messages, 1U);
  EXPECT_EQ(chat->messages.size(), 2U);
}

TEST(Records, ObeyTheColumnSettings) {
  DatasetSettings settings;
  settings.context_column = "instruction";
  settings.response_column = "answer";
  const auto pair = record_of(R"({"instruction":"a","answer":"b","messages":[]})", settings);
  ASSERT_TRUE(pair) << pair.error().message();
  EXPECT_EQ(pair->completion, "b");
  settings = {};
  settings.messages_column = "talk";
  EXPECT_TRUE(record_of(R"({"talk":[{"role":"user","content":"a"}],"text":"x"})", settings));
  settings = {};
  settings.response_column = "body";
  EXPECT_EQ(record_of(R"({"body":"x"})", settings)->text, "x");
}

TEST(Records, NameTheColumnsThatAreThere) {
  EXPECT_THAT(error_of(R"({"question":"a","answer":"b"})"),
              AllOf(HasSubstr("there are question, answer"), HasSubstr("context_column")));
  DatasetSettings settings;
  settings.messages_column = "talk";
  EXPECT_THAT(error_of(R"({"text":"a"})", settings),
              HasSubstr("messages_column: there is no column talk; there are text"));
}

TEST(Records, NameRowAndColumnOfABadCell) {
  EXPECT_THAT(error_of(R"({"text":5})"),
              HasSubstr("row 3 (line 7), column text: expected text, found number"));
  EXPECT_THAT(error_of(R"({"text":null})"), HasSubstr("column text: missing or null"));
  EXPECT_THAT(error_of(R"({"text":""})"), HasSubstr("column text: the text is empty"));
  EXPECT_THAT(error_of(R"({"messages":[{"role":"user","content":"a"},{"role":1,"content":"b"}]})"),
              HasSubstr("column messages[1].role: expected text, found number"));
  EXPECT_THAT(error_of(R"({"messages":[{"role":"user"}]})"),
              HasSubstr("column messages[0].content: missing or null"));
  EXPECT_THAT(error_of(R"({"messages":[]})"), HasSubstr("column messages: no message"));
  EXPECT_THAT(error_of(R"({"messages":"hello"})"), HasSubstr("column messages: "));
  EXPECT_THAT(error_of(R"({"messages":[{"role":"user","content":[{"type":"image"}]}]})"),
              HasSubstr("found image"));
  EXPECT_THAT(error_of(R"({"prompt":"a","completion":""})"), HasSubstr("column completion"));
}

TEST(Shuffled, IsThePermutationOfTheSeed) {
  const auto order = shuffled(100, 7);
  EXPECT_EQ(std::set<std::size_t>(order.begin(), order.end()).size(), 100U);
  EXPECT_EQ(order, shuffled(100, 7));
  EXPECT_NE(order, shuffled(100, 8));
  // Fixed for ever: a run that is taken up by another build must see the same order.
  EXPECT_EQ(shuffled(6, 42), (std::vector<std::size_t>{3, 1, 5, 2, 4, 0}));
}

TEST(SplitRows, KeepsAShareForEvaluation) {
  const Split split = split_rows(10, {.train_share = 0.8, .seed = 1});
  EXPECT_EQ(split.train.size(), 8U);
  EXPECT_EQ(split.evaluation.size(), 2U);
  std::set<std::size_t> all(split.train.begin(), split.train.end());
  all.insert(split.evaluation.begin(), split.evaluation.end());
  EXPECT_EQ(all.size(), 10U);
  EXPECT_TRUE(split_rows(10, {.train_share = 1}).evaluation.empty());
  EXPECT_EQ(split_rows(1, {.train_share = 0.5}).train.size(), 1U);
  EXPECT_EQ(split_rows(3, {.train_share = 0.01}).train.size(), 1U);
  const Split kept = split_rows(10, {.train_share = 1, .shuffle = false});
  EXPECT_TRUE(std::is_sorted(kept.train.begin(), kept.train.end()));
}

class LoadDataset : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("dataset-" + base::random_uuid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  base::Result<Dataset> load(std::initializer_list<std::pair<const char*, const char*>> files,
                             const base::Context& ctx = base::Context()) {
    for (const auto& [name, text] : files) std::ofstream(folder_ / name) << text;
    const FoundData found = TRY(find_data(folder_, {}));
    return load_dataset(ctx, found, {}, "text", {});
  }
  std::filesystem::path folder_;
};

TEST_F(LoadDataset, ReadsAllFilesInOrder) {
  const auto dataset = load({{"b.jsonl", "{\"text\":\"three\"}\n"},
                             {"a.jsonl", "{\"text\":\"one\"}\n{\"text\":\"two\"}\n"}});
  ASSERT_TRUE(dataset) << dataset.error().message();
  ASSERT_EQ(dataset->records.size(), 3U);
  EXPECT_EQ(dataset->records[2].text, "three");
  EXPECT_EQ(dataset->text_bytes, 11U);
}

TEST_F(LoadDataset, NamesFileRowAndColumn) {
  const auto dataset = load({{"a.jsonl", "{\"text\":\"one\"}\n{\"text\":2}\n"}});
  ASSERT_FALSE(dataset);
  EXPECT_THAT(dataset.error().message(),
              HasSubstr("a.jsonl: row 2 (line 2), column text: expected text, found number"));
}

TEST_F(LoadDataset, RefusesAnEmptySet) {
  EXPECT_THAT(load({{"a.json", "[]"}}).error().message(), HasSubstr("a.json holds no row"));
}

}  // namespace
}  // namespace tuning

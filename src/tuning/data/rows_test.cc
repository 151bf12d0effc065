#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "tuning/data/find_data.h"
#include "tuning/data/row_reader.h"

namespace tuning {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Every row as JSON, and the error that ended the reading, if any.
struct Outcome {
  std::vector<std::string> rows;
  std::string error;
};

Outcome drain(RowReader& reader) {
  Outcome outcome;
  for (;;) {
    auto row = reader.next();
    if (!row) {
      outcome.error = row.error().message();
      return outcome;
    }
    if (!*row) return outcome;
    outcome.rows.push_back(json::dump((*row)->cells));
  }
}
Outcome json_rows(std::string_view text) { return drain(*read_json_rows(text)); }
Outcome csv_rows(std::string_view text) {
  auto reader = read_csv_rows(text);
  if (!reader) return {{}, reader.error().message()};
  return drain(**reader);
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("rows-" + base::random_uuid())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

TEST(JsonRows, ReadsLinesDocumentsAndArrays) {
  const std::vector<std::string> both = {R"({"a":1})", R"({"a":"x}"})"};
  EXPECT_EQ(json_rows("{\"a\":1}\n{\"a\":\"x}\"}\n").rows, both);
  EXPECT_EQ(json_rows("\xEF\xBB\xBF{\"a\":1}\r\n\n{\"a\":\"x}\"}").rows, both);
  EXPECT_EQ(json_rows("{\n \"a\": 1\n}\n{\n \"a\": \"x}\"\n}").rows, both);
  EXPECT_EQ(json_rows(" [ {\"a\":1} ,\n{\"a\":\"x}\"} ]\n").rows, both);
  EXPECT_THAT(json_rows("[]").rows, IsEmpty());
  EXPECT_EQ(json_rows("").error, "");
}

TEST(JsonRows, NamesTheRowThatIsBad) {
  EXPECT_THAT(json_rows("{\"a\":1}\n{\"a\":}\n").error, HasSubstr("row 2 (line 2): "));
  EXPECT_THAT(json_rows("{\"a\":1}\n\n{\"a\":\"x\n\"}\n").error,
              HasSubstr("row 2 (line 3): a text is not closed on its line"));
  EXPECT_THAT(json_rows("{\"a\":1}\n{\"a\":1\n").error, HasSubstr("row 2 (line 2): the object is"));
  EXPECT_THAT(json_rows("1\n").error, HasSubstr("row 1 (line 1): expected an object"));
  EXPECT_THAT(json_rows("[{\"a\":1}").error, HasSubstr("after row 1 without ]"));
  EXPECT_THAT(json_rows("[{\"a\":1} {\"a\":2}]").error, HasSubstr("expected , or ]"));
  EXPECT_THAT(json_rows("[{\"a\":1}] x").error, HasSubstr("text after the array"));
  EXPECT_THAT(json_rows("{\"a\":\"\xFF\"}").error, HasSubstr("row 1"));
}

TEST(CsvRows, ReadsQuotesLinesInFieldsAndNulls) {
  EXPECT_THAT(csv_rows("a,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n,\"\"\r\n").rows,
              ElementsAre(R"({"a":"1","b":"x, \"y\"\nz"})", R"({"a":null,"b":""})"));
  EXPECT_THAT(csv_rows("\xEF\xBB\xBFtext\nhello\n\nbye").rows,
              ElementsAre(R"({"text":"hello"})", R"({"text":"bye"})"));
  EXPECT_THAT(csv_rows("a,b\n1\n").rows, ElementsAre(R"({"a":"1","b":null})"));
}

TEST(CsvRows, NamesTheRowThatIsBad) {
  EXPECT_THAT(csv_rows("a,b\n1,2\n1,2,3\n").error, HasSubstr("row 2 (line 3): 3 fields for 2"));
  EXPECT_THAT(csv_rows("a,b\n1,\"2\n").error, HasSubstr("row 1 (line 2): a quote is not closed"));
  EXPECT_THAT(csv_rows("a,b\n\"1\"x,2\n").error, HasSubstr("text after a closing quote"));
  EXPECT_THAT(csv_rows("a,a\n").error, HasSubstr("two columns are named a"));
  EXPECT_THAT(csv_rows("a,\n").error, HasSubstr("column 2 has no name"));
  EXPECT_THAT(csv_rows("a\n\xFF\n").error, HasSubstr("row 1 (line 2), column a: not UTF-8"));
}

TEST(DataFile, NamesTheFileAndTheRow) {
  const Folder folder;
  auto file = DataFile::open(folder.write("x.jsonl", "{\"a\":1}\n{"), DataFormat::Json, {});
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_TRUE(file->next());
  const auto bad = file->next();
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message(), HasSubstr("x.jsonl: row 2 (line 2): "));
}

TEST(DataFile, RecognisesWhatIsNoData) {
  const Folder folder;
  const auto error = [&](const std::string& name, std::string_view text, DataFormat format) {
    const auto file = DataFile::open(folder.write(name, text), format, {});
    return file ? std::string() : file.error().message();
  };
  EXPECT_THAT(error("a.json", "\n<!DOCTYPE html><html>", DataFormat::Json), HasSubstr("HTML page"));
  EXPECT_THAT(error("a.csv", "<html><body>", DataFormat::Csv), HasSubstr("HTML page"));
  EXPECT_THAT(error("e.json", "", DataFormat::Json), HasSubstr("the file is empty"));
  EXPECT_THAT(error("g.json", "\x1F\x8B\x08", DataFormat::Json), HasSubstr("gzip"));
  EXPECT_THAT(error("p.json", "PAR1", DataFormat::Json), HasSubstr("parquet"));
  EXPECT_THAT(error("p.parquet", "hello world", DataFormat::Parquet), HasSubstr("begin with PAR1"));
  EXPECT_THAT(error("q.parquet", "PAR1 hello", DataFormat::Parquet), HasSubstr("is cut"));
}

TEST(DataFile, SaysHowToGetDuckDb) {
  const Folder folder;
  const auto file = DataFile::open(folder.write("p.parquet", "PAR1PAR1"), DataFormat::Parquet,
                                   {.duckdb_library = "/nowhere/libduckdb.so"});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), base::ErrorCode::NotFound);
  EXPECT_THAT(file.error().message(), HasSubstr("--duckdb-library"));
}

TEST(FindData, TakesEveryFileOfTheFirstFormat) {
  const Folder folder;
  folder.write("b/train-1.parquet", "x");
  folder.write("a/train-0.parquet", "x");
  folder.write("notes.txt", "x");
  folder.write("z.json", "x");
  folder.write(".hidden/x.csv", "x");
  const auto found = find_data(folder.path(), {});
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->format, DataFormat::Parquet);
  EXPECT_THAT(found->files, ElementsAre(folder.path() / "a/train-0.parquet",
                                        folder.path() / "b/train-1.parquet"));
}

TEST(FindData, ObeysPathAndExtension) {
  const Folder folder;
  folder.write("data", "x");
  folder.write("set.JSONL", "x");
  DatasetSettings settings;
  settings.path = "data";
  settings.extension = "csv";
  auto found = find_data(folder.path(), settings);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->format, DataFormat::Csv);
  settings.path = "absent.csv";
  EXPECT_THAT(find_data(folder.path(), settings).error().message(), HasSubstr("there is no file"));
  settings = {};
  EXPECT_THAT(find_data(folder.path(), settings)->files, ElementsAre(folder.path() / "set.JSONL"));
}

TEST(FindData, NamesWhatIsThere) {
  const Folder folder;
  EXPECT_THAT(find_data(folder.path(), {}).error().message(), HasSubstr("there is no file in"));
  folder.write("readme.md", "x");
  EXPECT_THAT(find_data(folder.path(), {}).error().message(), HasSubstr("readme.md"));
  folder.write("x.arrow", "x");
  EXPECT_THAT(find_data(folder.path(), {}).error().message(),
              HasSubstr("arrow data cannot be read; use"));
  EXPECT_EQ(find_data("/nowhere", {}).error().code(), base::ErrorCode::NotFound);
}

/// The library that third_party/duckdb/fetch left in the cache, "" when it was never fetched.
std::string duckdb_library() {
  for (const char* name : {"KAITO_CACHE_DIR", "XDG_CACHE_HOME", "HOME"}) {
    const char* value = std::getenv(name);
    if (value == nullptr) continue;
    std::filesystem::path folder = value;
    if (std::string_view(name) == "HOME") folder /= ".cache";
    if (std::string_view(name) != "KAITO_CACHE_DIR") folder /= "kaito-cpp";
    folder /= "duckdb-1.4.4-r.4/libduckdb.so";
    if (std::filesystem::exists(folder)) return folder.string();
  }
  return {};
}

TEST(ParquetRows, ReadsConversationsInZstd) {
  const std::string library = duckdb_library();
  if (library.empty()) GTEST_SKIP() << "run third_party/duckdb/fetch first";
  // 2 rows of `messages` as list of role/content structs, and a text column.
  auto file = DataFile::open(KAITO_SOURCE_DIR "/tests/golden/tuning/messages.zstd.parquet",
                             DataFormat::Parquet, {.duckdb_library = library});
  ASSERT_TRUE(file) << file.error().message();
  auto first = file->next();
  ASSERT_TRUE(first && *first) << first.error().message();
  EXPECT_EQ((*first)->where(), "row 1");
  EXPECT_EQ(json::dump((*first)->cells),
            R"({"id":"00-1-2","messages":[{"role":"user","content":"Who makes the lantern?"},)"
            R"({"role":"assistant","content":"Fennick \"Works\", Zürich."}]})");
  auto second = file->next();
  ASSERT_TRUE(second && *second);
  EXPECT_THAT(json::dump((*second)->cells), HasSubstr(R"("content":null)"));
  auto end = file->next();
  ASSERT_TRUE(end) << end.error().message();
  EXPECT_FALSE(*end);
}

TEST(ParquetRows, RefusesADamagedFile) {
  const std::string library = duckdb_library();
  if (library.empty()) GTEST_SKIP() << "run third_party/duckdb/fetch first";
  const Folder folder;
  const auto file = DataFile::open(folder.write("p.parquet", "PAR1 not really PAR1"),
                                   DataFormat::Parquet, {.duckdb_library = library});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), base::ErrorCode::Invalid);
  EXPECT_THAT(file.error().message(), HasSubstr("p.parquet: "));
}

}  // namespace
}  // namespace tuning

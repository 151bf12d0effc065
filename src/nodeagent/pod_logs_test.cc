#include "nodeagent/pod_logs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/guarded.h"
#include "base/random.h"

namespace nodeagent {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class FileLogsTest : public testing::Test {
 protected:
  FileLogsTest() { fs::create_directories(files_.container_dir("uid", "main")); }
  ~FileLogsTest() override { fs::remove_all(files_.data_dir()); }

  void append(const std::string& name, const std::string& text) const {
    std::ofstream(files_.container_dir("uid", "main") + "/" + name, std::ios::app) << text;
  }
  static apiserver::PodLogRequest request() {
    apiserver::PodLogRequest r;
    r.pod = "pod";
    r.uid = "uid";
    r.container = "main";
    return r;
  }
  std::string read(const apiserver::PodLogRequest& r) {
    std::string all;
    const base::Status status = logs_.stream(base::Context(), r, [&](std::string_view piece) {
      all += piece;
      return base::Status();
    });
    return status ? all : "(" + status.error().message() + ")";
  }

  PodFiles files_{(fs::temp_directory_path() / ("logs-" + base::random_name_suffix(8))).string()};
  std::atomic<bool> running_{false};
  FileLogs logs_{
      {files_, [this](const std::string&, const std::string&, int) { return running_.load(); }}};
};

constexpr const char* kLines =
    "2026-01-01T00:00:01.000000001Z stdout F one\n"
    "2026-01-01T00:00:02.000000000Z stderr P tw\n"
    "2026-01-01T00:00:02.000000001Z stderr F o\n"
    "2026-01-01T00:00:03.000000000Z stdout F \n"
    "2026-01-01T00:00:04.000000000Z stdout F three words here\n";

TEST_F(FileLogsTest, PlainTimestampsTailSinceAndLimit) {
  append("0.log", kLines);
  auto r = request();
  EXPECT_EQ(read(r), "one\ntwo\n\nthree words here\n");
  r.timestamps = true;
  EXPECT_THAT(read(r), HasSubstr("2026-01-01T00:00:02.000000000Z two\n"));
  r.timestamps = false;
  r.tail_lines = 2;
  EXPECT_EQ(read(r), "\nthree words here\n");
  r.tail_lines = 0;
  EXPECT_EQ(read(r), "");
  r.tail_lines = 100;
  EXPECT_EQ(read(r), "one\ntwo\n\nthree words here\n");
  r.tail_lines.reset();
  r.since_time = "2026-01-01T00:00:03Z";
  EXPECT_EQ(read(r), "\nthree words here\n");
  r.since_time.clear();
  r.limit_bytes = 6;
  EXPECT_EQ(read(r), "one\ntw");
}

TEST_F(FileLogsTest, PresentAndPreviousRunAndTheRotatedPart) {
  append("2.log.1", "2026-01-01T00:00:01.000000000Z stdout F older\n");
  append("2.log", "2026-01-01T00:00:02.000000000Z stdout F newer\n");
  append("1.log", "2026-01-01T00:00:00.000000000Z stdout F before\n");
  auto r = request();
  EXPECT_EQ(read(r), "older\nnewer\n");
  r.previous = true;
  EXPECT_EQ(read(r), "before\n");
}

TEST_F(FileLogsTest, SaysWhyThereIsNone) {
  auto r = request();
  EXPECT_EQ(read(r), "(container \"main\" in pod \"pod\" has not started yet, so it has no log)");
  append("0.log", kLines);
  r.previous = true;
  EXPECT_EQ(read(r), "(previous terminated container \"main\" in pod \"pod\" not found)");
}

TEST_F(FileLogsTest, FollowsThroughRotationUntilTheEnd) {
  append("0.log", "2026-01-01T00:00:01.000000000Z stdout F one\n");
  running_ = true;
  base::Guarded<std::string> all;
  auto r = request();
  r.follow = true;
  std::jthread reader([&] {
    EXPECT_TRUE(logs_.stream(base::Context(), r, [&](std::string_view piece) {
      all.with([&](std::string& text) { text += piece; });
      return base::Status();
    }));
  });
  const auto wait_for = [&](const std::string& text) {
    for (int i = 0; i < 500; ++i) {
      if (all.with([&](const std::string& now) { return now == text; })) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  };
  EXPECT_TRUE(wait_for("one\n"));
  append("0.log", "2026-01-01T00:00:02.000000000Z stdout F two\n");
  EXPECT_TRUE(wait_for("one\ntwo\n"));
  const std::string directory = files_.container_dir("uid", "main");
  fs::rename(directory + "/0.log", directory + "/0.log.1");
  append("0.log", "2026-01-01T00:00:03.000000000Z stdout F three\n");
  EXPECT_TRUE(wait_for("one\ntwo\nthree\n"));
  running_ = false;
  append("0.log", "2026-01-01T00:00:04.000000000Z stdout F four\n");
  reader.join();
  EXPECT_TRUE(wait_for("one\ntwo\nthree\nfour\n"));
}

TEST_F(FileLogsTest, StopsWhenTheReaderLeaves) {
  append("0.log", kLines);
  running_ = true;
  auto r = request();
  r.follow = true;
  int calls = 0;
  const base::Status status =
      logs_.stream(base::Context(), r, [&](std::string_view) -> base::Status {
        if (++calls < 2) return {};
        return base::Error(base::ErrorCode::Cancelled, "gone");
      });
  EXPECT_EQ(status.error().code(), base::ErrorCode::Cancelled);
}

TEST(TerminationMessage, TheFileOrTheEndOfTheLogAfterAFailure) {
  const fs::path directory = fs::temp_directory_path() / ("term-" + base::random_name_suffix(8));
  fs::create_directories(directory);
  const std::string file = directory / "message";
  const std::string log = directory / "log";
  std::ofstream(log) << kLines;
  EXPECT_EQ(termination_message(file, log, true), "one\ntw\no\n\nthree words here\n");
  EXPECT_EQ(termination_message(file, log, false), "");
  std::ofstream(file) << "said so";
  EXPECT_EQ(termination_message(file, log, true), "said so");
  fs::remove_all(directory);
}

}  // namespace
}  // namespace nodeagent

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/clock.h"
#include "base/context.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/queue.h"
#include "base/random.h"
#include "base/result.h"
#include "base/sha256.h"

namespace base {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error(ErrorCode::Invalid, "odd");
  return n / 2;
}

Result<int> quarter(int n) {
  const int h = TRY(half(n));
  return TRY(half(h));
}

TEST(Result, TryPassesTheErrorOn) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message(), "odd");
}

TEST(Result, ContextIsPrepended) {
  EXPECT_EQ(with_context(half(3), "halving").error().message(), "halving: odd");
}

TEST(Clock, TimesSurviveARoundTrip) {
  const auto time = parse_rfc3339("2026-11-24T18:21:59Z");
  ASSERT_TRUE(time);
  EXPECT_EQ(format_rfc3339(*time), "2026-11-24T18:21:59Z");
  EXPECT_EQ(format_rfc3339_micro(*parse_rfc3339("2026-11-24T18:21:59.25+01:00")),
            "2026-11-24T17:21:59.250000Z");
}

TEST(Clock, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "2026", "2026-13-01T00:00:00Z", "2026-11-24 18:21:59Z", "2026-11-24T18:21:59",
        "2026-11-24T18:21:59.Z", "2026-11-24T18:21:59Zx"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(Encoding, Base64BothWays) {
  for (const std::string text : {"", "a", "ab", "abc", "abcd"}) {
    EXPECT_EQ(*from_base64(to_base64(text)), text);
  }
  EXPECT_EQ(to_base64("kaito"), "a2FpdG8=");
  for (const char* bad : {"a", "a===", "a=b=", "????"}) EXPECT_FALSE(from_base64(bad)) << bad;
}

TEST(Encoding, UrlBothWays) {
  EXPECT_EQ(url_encode("a b/c"), "a%20b%2Fc");
  EXPECT_EQ(*url_decode("a%20b%2Fc"), "a b/c");
  EXPECT_EQ(*url_decode("a+b", PlusSign::Space), "a b");
  EXPECT_FALSE(url_decode("%"));
  EXPECT_FALSE(url_decode("%g0"));
}

TEST(Encoding, Utf8IsChecked) {
  EXPECT_TRUE(is_utf8("gr\xC3\xBC\xC3\x9F"));
  EXPECT_TRUE(is_utf8("\xF0\x9F\x98\x80"));
  for (const char* bad :
       {"\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\x80", "\xC3", "\xE0\x80\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

TEST(Sha256, MatchesTheStandard) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 parts;
  parts.update("a");
  parts.update("bc");
  EXPECT_EQ(parts.finish_hex(), sha256_hex("abc"));
}

TEST(Random, UuidHasItsShape) {
  const std::string uuid = random_uuid();
  ASSERT_EQ(uuid.size(), 36U);
  EXPECT_EQ(uuid[14], '4');
  EXPECT_NE(uuid, random_uuid());
}

TEST(Queue, RefusesWhenFullAndDrainsAfterClose) {
  Queue<int> queue(1);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_FALSE(queue.try_push(2));
  queue.close();
  EXPECT_EQ(queue.pop({}), 1);
  EXPECT_EQ(queue.pop({}), std::nullopt);
}

TEST(Queue, StopEndsAWait) {
  Queue<int> queue(1);
  std::jthread waiter(
      [&](const std::stop_token& stop) { EXPECT_EQ(queue.pop(stop), std::nullopt); });
  waiter.request_stop();
}

TEST(Context, SleepEndsAtTheDeadlineAndOnStop) {
  EXPECT_EQ(Context()
                .with_timeout(std::chrono::milliseconds(1))
                .sleep(std::chrono::hours(1))
                .error()
                .code(),
            ErrorCode::Timeout);
  std::stop_source source;
  source.request_stop();
  EXPECT_EQ(Context(source.get_token()).sleep(std::chrono::hours(1)).error().code(),
            ErrorCode::Cancelled);
}

TEST(File, AtomicWriteReplacesAndKeepsTheMode) {
  const auto path = std::filesystem::temp_directory_path() / ("base_test_" + random_name_suffix(6));
  ASSERT_TRUE(write_file_atomic(path, "one", 0600));
  ASSERT_TRUE(write_file_atomic(path, "two", 0600, Durability::Synced));
  EXPECT_EQ(*read_file(path), "two");
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::remove(path);
  EXPECT_EQ(read_file(path).error().code(), ErrorCode::NotFound);
}

}  // namespace
}  // namespace base

#include "inference/text/text_assembler.h"

#include <gtest/gtest.h>

#include <random>

#include "base/encoding.h"

namespace inference {
namespace {

TEST(TextAssembler, PassesTextThrough) {
  TextAssembler text({});
  EXPECT_EQ(text.push("Hello"), "Hello");
  EXPECT_EQ(text.push(" world"), " world");
  EXPECT_EQ(text.finish(), "");
}

TEST(TextAssembler, HoldsBackBrokenCharacters) {
  TextAssembler text({});
  EXPECT_EQ(text.push("a\xE2"), "a");
  EXPECT_EQ(text.push("\x82"), "");
  EXPECT_EQ(text.push("\xAC!"), "\xE2\x82\xAC!");
  EXPECT_EQ(text.push("\xF0\x9F\x98"), "");
  EXPECT_EQ(text.finish(), "\xEF\xBF\xBD") << "what never became whole is marked once";
}

TEST(TextAssembler, ReplacesBytesThatAreNoText) {
  EXPECT_EQ(to_utf8("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(to_utf8("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "overlong";
  EXPECT_EQ(to_utf8("\xE2\x82"), "\xEF\xBF\xBD") << "cut off";
  EXPECT_EQ(to_utf8("ok \xE2\x82\xAC"), "ok \xE2\x82\xAC");
}

TEST(TextAssembler, StopsAtAStopString) {
  TextAssembler text({"\nUser:"});
  EXPECT_EQ(text.push("Fine.\nUser: more"), "Fine.");
  EXPECT_TRUE(text.stopped());
  EXPECT_EQ(text.push("more"), "");
  EXPECT_EQ(text.finish(), "");
}

TEST(TextAssembler, FindsAStopStringSplitOverTokens) {
  TextAssembler text({"STOP"});
  EXPECT_EQ(text.push("go S"), "go ");
  EXPECT_EQ(text.push("TO"), "");
  EXPECT_EQ(text.push("P and on"), "");
  EXPECT_TRUE(text.stopped());
}

TEST(TextAssembler, ReleasesWhatOnlyLookedLikeAStop) {
  TextAssembler text({"STOP"});
  EXPECT_EQ(text.push("ST"), "");
  EXPECT_EQ(text.push("ART"), "START");
  EXPECT_EQ(text.push("STO"), "");
  EXPECT_EQ(text.finish(), "STO");
  EXPECT_FALSE(text.stopped());
}

TEST(TextAssembler, TakesTheEarliestOfSeveral) {
  TextAssembler text({"zz", "b"});
  EXPECT_EQ(text.push("abczz"), "a");
}

TEST(TextAssembler, RepeatedBeginningsOverlap) {
  TextAssembler text({"aab"});
  EXPECT_EQ(text.push("aa"), "");
  EXPECT_EQ(text.push("aa"), "aa");
  EXPECT_EQ(text.push("b!"), "");
  EXPECT_TRUE(text.stopped());
}

/// However the bytes are cut, the text is the same and always whole characters.
TEST(TextAssembler, CuttingDoesNotMatter) {
  const std::string bytes =
      "Gr\xC3\xBC\xC3\x9F Gott \xE2\x82\xAC 5 \xF0\x9F\x98\x80 \xFF end STO STOP never";
  const std::string expected =
      "Gr\xC3\xBC\xC3\x9F Gott \xE2\x82\xAC 5 \xF0\x9F\x98\x80 \xEF\xBF\xBD end STO ";
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    TextAssembler text({"STOP"});
    std::string all;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t length = 1 + random() % 4;
      const std::string shown = text.push(std::string_view(bytes).substr(at, length));
      EXPECT_TRUE(base::is_utf8(shown));
      all += shown;
      at += length;
    }
    all += text.finish();
    ASSERT_EQ(all, expected) << "round " << round;
  }
}

}  // namespace
}  // namespace inference

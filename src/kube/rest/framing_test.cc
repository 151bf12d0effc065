#include "kube/rest/framing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace kube {
namespace {

using base::Error;
using base::ErrorCode;
using base::Status;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Lines {
  std::vector<std::string> seen;
  LineSplitter splitter{16, [this](std::string_view line) -> Status {
                          if (line == "fail") return Error(ErrorCode::Gone, "asked to");
                          seen.emplace_back(line);
                          return {};
                        }};
};

TEST(LineSplitter, CutsWhateverTheChunks) {
  Lines lines;
  for (const char* chunk : {"a", "b\nc", "\n\r\n\nde\r\nf"}) {
    ASSERT_TRUE(lines.splitter.feed(chunk));
  }
  EXPECT_THAT(lines.seen, ElementsAre("ab", "c", "de"));
  EXPECT_TRUE(lines.splitter.has_rest());
  ASSERT_TRUE(lines.splitter.feed("\n"));
  EXPECT_FALSE(lines.splitter.has_rest());
  EXPECT_THAT(lines.seen, ElementsAre("ab", "c", "de", "f"));
}

TEST(LineSplitter, RefusesLinesBeyondItsLimitInOneOrMoreChunks) {
  Lines whole;
  EXPECT_EQ(whole.splitter.feed("12345678901234567\n").error().code(), ErrorCode::Invalid);
  Lines parts;
  ASSERT_TRUE(parts.splitter.feed("1234567890"));
  EXPECT_EQ(parts.splitter.feed("1234567").error().code(), ErrorCode::Invalid);
  Lines exact;
  EXPECT_TRUE(exact.splitter.feed("1234567890123456\n"));
}

TEST(LineSplitter, StopsAtAnErrorOfTheReceiver) {
  Lines lines;
  EXPECT_EQ(lines.splitter.feed("a\nfail\nb\n").error().code(), ErrorCode::Gone);
  EXPECT_THAT(lines.seen, ElementsAre("a"));
}

struct Items {
  std::vector<std::string> seen;
  ListSplitter splitter{128, [this](std::string_view item) -> Status {
                          seen.emplace_back(item);
                          return {};
                        }};
};

constexpr const char* kList =
    R"({"kind":"List","metadata":{"resourceVersion":"7","items":["no"]}, "items" : [ {"a":"}]\"{"}, )"
    R"({"b":[{"c":[]}]}],"after":[1,{"items":[{}]}]})";

TEST(ListSplitter, TakesTheItemsOutHoweverTheBytesArrive) {
  for (const std::size_t chunk : {1UZ, 2UZ, 7UZ, 1000UZ}) {
    Items items;
    for (std::string_view rest = kList; !rest.empty();
         rest.remove_prefix(std::min(chunk, rest.size()))) {
      ASSERT_TRUE(items.splitter.feed(rest.substr(0, chunk)));
    }
    EXPECT_THAT(items.seen, ElementsAre(R"({"a":"}]\"{"})", R"({"b":[{"c":[]}]})"));
    EXPECT_EQ(items.splitter.envelope(),
              R"({"kind":"List","metadata":{"resourceVersion":"7","items":["no"]}, "items" : [],)"
              R"("after":[1,{"items":[{}]}]})");
  }
}

TEST(ListSplitter, LeavesListsWithoutItemsAlone) {
  for (const char* text : {R"({"items":[]})", R"({"items":null})", R"({})"}) {
    Items items;
    ASSERT_TRUE(items.splitter.feed(text));
    EXPECT_THAT(items.seen, IsEmpty());
    EXPECT_EQ(items.splitter.envelope(), text);
  }
}

TEST(ListSplitter, RefusesItemsThatAreNoObjects) {
  for (const char* text : {R"({"items":[1]})", R"({"items":["a"]})", R"({"items":[[]]})"}) {
    Items items;
    EXPECT_THAT(items.splitter.feed(text).error().message(), HasSubstr("no object")) << text;
  }
}

TEST(ListSplitter, RefusesAnItemBeyondItsLimit) {
  Items items;
  const std::string text = R"({"items":[{"a":")" + std::string(128, 'x') + "\"}]}";
  EXPECT_EQ(items.splitter.feed(text).error().code(), ErrorCode::Invalid);
  EXPECT_THAT(items.seen, IsEmpty());
}

}  // namespace
}  // namespace kube

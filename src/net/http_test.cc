#include "net/http.h"

#include <gtest/gtest.h>

namespace net {
namespace {

TEST(HttpHeaders, NamesCompareWithoutCase) {
  HttpHeaders headers{{"Content-Type", "a"}, {"content-type", "b"}, {"X", "c"}};
  EXPECT_EQ(headers.get("CONTENT-TYPE"), "a");
  EXPECT_EQ(headers.get_or("Y", "none"), "none");
  headers.set("Content-TYPE", "d");
  EXPECT_EQ(headers.get("content-type"), "d");
  headers.remove("content-type");
  EXPECT_EQ(headers.get("Content-Type"), std::nullopt);
  EXPECT_EQ(headers.get("x"), "c");
}

TEST(HttpTarget, PathAndQueryAreDecodedApart) {
  const auto target = HttpTarget::parse("/a%20b/c+d?x=1&y=%26+z&&flag&x=2");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/a b/c+d");
  const std::vector<std::pair<std::string, std::string>> wanted{
      {"x", "1"}, {"y", "& z"}, {"flag", ""}, {"x", "2"}};
  EXPECT_EQ(target->query, wanted);
  EXPECT_EQ(target->param("x"), "1");
  EXPECT_EQ(target->param("missing"), std::nullopt);
}

TEST(HttpTarget, WhatIsNotOriginFormIsRefused) {
  for (const std::string_view bad :
       {"", "*", "http://host/", "a/b", "/%", "/%2", "/%zz", "/?a=%", "/a b", "/a\r\n", "/%00"}) {
    EXPECT_FALSE(HttpTarget::parse(bad)) << bad;
  }
}

TEST(MediaType, DropsParametersAndCase) {
  EXPECT_EQ(media_type("Application/JSON; charset=utf-8"), "application/json");
  EXPECT_EQ(media_type("  text/plain  "), "text/plain");
  EXPECT_EQ(media_type(""), "");
}

TEST(ReasonPhrase, KnowsTheCommonOnes) {
  EXPECT_EQ(reason_phrase(200), "OK");
  EXPECT_EQ(reason_phrase(503), "Service Unavailable");
  EXPECT_EQ(reason_phrase(299), "");
}

}  // namespace
}  // namespace net

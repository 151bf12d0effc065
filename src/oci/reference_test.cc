#include "oci/reference.h"

#include <gtest/gtest.h>

#include "base/sha256.h"
#include "oci/auth.h"

namespace oci {
namespace {

const std::string kHex = base::sha256_hex("x");
const std::string kDigest = "sha256:" + kHex;

struct Good {
  std::string text, domain, repository, tag;
  bool digest = false;
};

TEST(Reference, FollowsDockersRules) {
  const std::vector<Good> table{
      {"busybox", "docker.io", "library/busybox", "latest"},
      {"busybox:1.36", "docker.io", "library/busybox", "1.36"},
      {"team/app", "docker.io", "team/app", "latest"},
      {"docker.io/busybox", "docker.io", "library/busybox", "latest"},
      {"index.docker.io/team/app:v1", "docker.io", "team/app", "v1"},
      {"localhost/app", "localhost", "app", "latest"},
      {"localhost:5000/app", "localhost:5000", "app", "latest"},
      {"127.0.0.1:5000/kaito-phi-3:0.1", "127.0.0.1:5000", "kaito-phi-3", "0.1"},
      {"[::1]:5000/app:x", "[::1]:5000", "app", "x"},
      {"ghcr.io/a/b/c-d__e.f:T_1.2-3", "ghcr.io", "a/b/c-d__e.f", "T_1.2-3"},
      {"Registry/app", "Registry", "app", "latest"},
      {"mcr.microsoft.com/aks/kaito/kaito-falcon-7b:0.0.4", "mcr.microsoft.com",
       "aks/kaito/kaito-falcon-7b", "0.0.4"},
      {"app@" + kDigest, "docker.io", "library/app", "", true},
      {"host:1/app:tag@" + kDigest, "host:1", "app", "tag", true},
      {"app:5000", "docker.io", "library/app", "5000"},
  };
  for (const Good& row : table) {
    const auto parsed = Reference::parse(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error().message();
    EXPECT_EQ(parsed->domain, row.domain) << row.text;
    EXPECT_EQ(parsed->repository, row.repository) << row.text;
    EXPECT_EQ(parsed->tag, row.tag) << row.text;
    EXPECT_EQ(parsed->digest.has_value(), row.digest) << row.text;
    const auto again = Reference::parse(parsed->text());
    ASSERT_TRUE(again) << parsed->text();
    EXPECT_EQ(*again, *parsed) << row.text;
  }
}

TEST(Reference, RefusesWhatIsNoReference) {
  const std::vector<std::string> table{
      "",
      ":",
      ":tag",
      "@" + kDigest,
      "/app",
      "app/",
      "a//b",
      "App",
      "host.io/App",
      "a b",
      "app:",
      "app:.x",
      "app:-x",
      "app:" + std::string(129, 'x'),
      "app@sha256:12",
      "app@md5:" + kHex,
      "app@" + kDigest + "@" + kDigest,
      "app@",
      "host:/app",
      "host:0/app",
      "host:99999/app",
      "-host.io/app",
      "host-.io/app",
      "ho..st/app",
      "[::1/app",
      "[xyz]/app",
      "a___b",
      "-a",
      "a-",
      ".a",
      "a..b",
      "a/-b",
      kHex,
      "http://host/app",
      "https://host.io/app:1",
      "../app",
      "host.io/../app",
      "app\n",
      std::string("app\0x", 5),
      "ap\xc3\xa9",
      "host.io/" + std::string(256, 'a'),
      "app:tag:tag",
      "host.io/app:t/x",
      "app@" + std::string("sha256:") + std::string(64, 'A'),
  };
  for (const std::string& text : table) {
    const auto parsed = Reference::parse(text);
    EXPECT_FALSE(parsed) << "\"" << text << "\" was taken as " << (parsed ? parsed->text() : "");
    if (!parsed) {
      EXPECT_EQ(parsed.error().code(), base::ErrorCode::Invalid);
    }
  }
}

TEST(Reference, TheDigestDecidesOverTheTag) {
  const auto parsed = Reference::parse("h:1/app:tag@" + kDigest);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->target(), kDigest);
  EXPECT_EQ(Reference::parse("busybox")->api_host(), "registry-1.docker.io");
}

TEST(Reference, OnlyThisMachineIsLoopback) {
  for (const char* host :
       {"localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000"})
    EXPECT_TRUE(is_loopback_host(host)) << host;
  for (const char* host : {"127.evil.com", "127.0.0.1.evil.com", "localhost.evil.com", "10.0.0.1",
                           "[::2]", "127.0.0", ""})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

TEST(DockerConfig, TheLongestKeyDecides) {
  const auto config = DockerConfig::parse(R"({"auths": {
      "https://index.docker.io/v1/": {"auth": "dTpw"},
      "ghcr.io": {"username": "a", "password": "b"},
      "ghcr.io/team": {"identitytoken": "t"},
      "empty.io": {}},
    "credHelpers": {"helped.io": "pass"}, "credsStore": "desktop"})");
  ASSERT_TRUE(config) << config.error().message();
  const auto user = [&](const char* domain, const char* repository) {
    return (*config->find(domain, repository)).value_or(Credentials{});
  };
  EXPECT_EQ(user("docker.io", "library/x"), (Credentials{"u", "p", ""}));
  EXPECT_EQ(user("ghcr.io", "other/x").user, "a");
  EXPECT_EQ(user("ghcr.io", "team/x").identity_token, "t");
  EXPECT_EQ(user("ghcr.io", "teamwork/x").user, "a");
  EXPECT_FALSE((*config->find("empty.io", "x")).has_value());
  EXPECT_FALSE((*config->find("other.io", "x")).has_value());
  const auto helped = config->find("helped.io", "x");
  ASSERT_FALSE(helped);
  EXPECT_NE(helped.error().message().find("docker-credential-pass"), std::string::npos);
}

TEST(DockerConfig, MistakesNameTheKeyAndNotTheSecret) {
  for (const char* text :
       {"", "[]", R"({"auths": 1})", R"({"auths": {"h": 1}})",
        R"({"auths": {"h": {"auth": "%%%"}}})", R"({"auths": {"h": {"auth": "c2VjcmV0"}}})"}) {
    const auto config = DockerConfig::parse(text);
    ASSERT_FALSE(config) << text;
    EXPECT_EQ(config.error().message().find("secret"), std::string::npos);
  }
}

TEST(Challenge, SeveralInOneHeader) {
  const auto challenges = parse_challenges(
      R"(Basic realm="x, y", Bearer realm="https://h/t?a=b",service="s \"q\"",scope="repository:a/b:pull,push")");
  ASSERT_EQ(challenges.size(), 2U);
  EXPECT_EQ(challenges[0].scheme, "basic");
  EXPECT_EQ(challenges[0].parameter("realm"), "x, y");
  EXPECT_EQ(challenges[1].parameter("service"), "s \"q\"");
  EXPECT_EQ(challenges[1].parameter("scope"), "repository:a/b:pull,push");
  EXPECT_TRUE(parse_challenges("").empty());
  EXPECT_TRUE(parse_challenges("\"\"=,").empty());
  EXPECT_EQ(parse_challenges("Bearer realm=\"open").size(), 1U);
}

}  // namespace
}  // namespace oci

#include "nodeagent/images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nodeagent/ip_pool.h"

namespace nodeagent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(RepositoryOf, Table) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"kaito-runtime", "kaito-runtime"},
      {"kaito-runtime:v1", "kaito-runtime"},
      {"localhost:5000/kaito-runtime", "localhost:5000/kaito-runtime"},
      {"localhost:5000/a/kaito-runtime:v1@sha256:ab", "localhost:5000/a/kaito-runtime"},
  };
  for (const auto& [reference, repository] : cases) EXPECT_EQ(repository_of(reference), repository);
}

TEST(ImageMap, MatchesWholeRepositoryNames) {
  const ImageMap images(std::vector<LocalImage>{{"kaito-runtime", "/opt/kaito/bin", {}}});
  EXPECT_TRUE(images.find("kaito-runtime:dev"));
  EXPECT_TRUE(images.find("mcr.example.com/x/kaito-runtime@sha256:00"));
  EXPECT_FALSE(images.find("not-kaito-runtime"));
  EXPECT_FALSE(images.find("nginx"));
  EXPECT_THAT(images.explain_unknown("nginx"),
              HasSubstr("image \"nginx\" is not available on this node"));
}

TEST(ResolveCommand, CommandArgumentsAndDefaults) {
  const LocalImage image{"i", "/bin", {"serve"}};
  EXPECT_THAT(*resolve_command(image, {}, {"--x"}), ElementsAre("serve", "--x"));
  EXPECT_THAT(*resolve_command(image, {"run"}, {"--x"}), ElementsAre("run", "--x"));
  EXPECT_THAT(*resolve_command(image, {"/app/no/such/sh"}, {}), ElementsAre("/bin/sh"));
  EXPECT_FALSE(resolve_command({"i", "/bin", {}}, {}, {}));
}

TEST(IpPool, GivesEachOwnerOneAddressAndPrefersTheOneItHad) {
  IpPool pool = *IpPool::create("127.32.0.0/29");
  const std::string a = *pool.acquire("a", "");
  EXPECT_EQ(*pool.acquire("a", a), a);
  EXPECT_NE(*pool.acquire("b", a), a);
  EXPECT_EQ(*pool.acquire("c", "10.0.0.1"), *pool.acquire("c", ""));
  for (const char* owner : {"d", "e", "f"}) ASSERT_TRUE(pool.acquire(owner, ""));
  EXPECT_EQ(pool.acquire("g", "").error().code(), base::ErrorCode::Unavailable);
  pool.release("a");
  EXPECT_EQ(*pool.acquire("g", ""), a);
}

TEST(IpPool, RefusesRangesThatAreNotLoopback) {
  for (const char* range :
       {"10.0.0.0/16", "127.0.0.0", "127.0.0.0/8", "127.0.0.0/31", "x/16", "127.0.0.0/1x"}) {
    EXPECT_FALSE(IpPool::create(range)) << range;
  }
}

}  // namespace
}  // namespace nodeagent

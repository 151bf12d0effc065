#include "kube/cache/written_versions.h"

#include <gtest/gtest.h>

namespace kube {
namespace {

constexpr api::ResourceType kPod{"", "v1", "pods", "Pod", true};
constexpr api::ResourceType kNode{"", "v1", "nodes", "Node", false};

api::ObjectMeta copy(std::string version) {
  api::ObjectMeta metadata;
  metadata.ns = "ns";
  metadata.name = "a";
  metadata.resource_version = std::move(version);
  return metadata;
}

TEST(WrittenVersions, CallsACopyOldUntilItCaughtUp) {
  WrittenVersions versions;
  EXPECT_FALSE(versions.is_behind(kPod, copy("5")));
  versions.note(
      kPod,
      json::parse(R"({"metadata":{"namespace":"ns","name":"a","resourceVersion":"12"}})").value());
  versions.note(kPod, {"ns", "a"}, "10");
  EXPECT_TRUE(versions.is_behind(kPod, copy("9"))) << "versions compare as numbers";
  EXPECT_TRUE(versions.is_behind(kPod, copy("11")));
  EXPECT_FALSE(versions.is_behind(kNode, copy("9"))) << "another type";
  EXPECT_FALSE(versions.is_behind(kPod, copy("12")));
  EXPECT_FALSE(versions.is_behind(kPod, copy("9"))) << "forgotten once caught up";
}

TEST(WrittenVersions, ForgetsObjectsThatAreGone) {
  WrittenVersions versions;
  versions.note(kPod, {"ns", "a"}, "12");
  versions.forget(kPod, {"ns", "a"});
  EXPECT_FALSE(versions.is_behind(kPod, copy("9")));
}

TEST(WrittenVersions, DoesNotJudgeVersionsThatAreNoNumbers) {
  WrittenVersions versions;
  versions.note(kPod, {"ns", "a"}, "opaque");
  EXPECT_FALSE(versions.is_behind(kPod, copy("1")));
  versions.note(kPod, {"ns", "a"}, "12");
  EXPECT_FALSE(versions.is_behind(kPod, copy("x")));
}

}  // namespace
}  // namespace kube

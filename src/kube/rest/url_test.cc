#include "kube/rest/url.h"

#include <gtest/gtest.h>

namespace kube {
namespace {

constexpr api::ResourceType kPod{"", "v1", "pods", "Pod", true};
constexpr api::ResourceType kNode{"", "v1", "nodes", "Node", false};
constexpr api::ResourceType kStatefulSet{"apps", "v1", "statefulsets", "StatefulSet", true};

TEST(Url, NamesCollections) {
  EXPECT_EQ(collection_path(kPod, "default"), "/api/v1/namespaces/default/pods");
  EXPECT_EQ(collection_path(kPod, ""), "/api/v1/pods");
  EXPECT_EQ(collection_path(kNode, "ignored"), "/api/v1/nodes");
  EXPECT_EQ(collection_path(kStatefulSet, "a"), "/apis/apps/v1/namespaces/a/statefulsets");
}

TEST(Url, NamesObjectsAndSubresources) {
  EXPECT_EQ(object_path(kPod, {"a", "b"}).value(), "/api/v1/namespaces/a/pods/b");
  EXPECT_EQ(object_path(kNode, {"", "n"}, "status").value(), "/api/v1/nodes/n/status");
}

TEST(Url, RefusesWhatWouldNameSomethingElse) {
  for (const char* name : {"", "..", ".", "a/b", "a%2fb"}) {
    EXPECT_EQ(object_path(kPod, {"a", name}).error().code(), base::ErrorCode::Invalid) << name;
    EXPECT_EQ(object_path(kPod, {name, "b"}).error().code(), base::ErrorCode::Invalid) << name;
  }
}

TEST(Url, EncodesQueries) {
  std::string path = "/api/v1/pods";
  add_query(path, "labelSelector", "a=b,c in (d)");
  add_query(path, "limit", "5");
  EXPECT_EQ(path, "/api/v1/pods?labelSelector=a%3Db%2Cc%20in%20%28d%29&limit=5");
}

}  // namespace
}  // namespace kube

#include "workspace/adapters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workspace/serve.h"
#include "workspace/testing.h"

namespace workspace {
namespace {

using namespace workspace::testing;  // NOLINT(google-build-using-namespace)
using ::testing::HasSubstr;

api::AdapterSpec adapter(const std::string& name, const std::string& image) {
  api::AdapterSpec made;
  made.source.emplace().name = name;
  made.source->image = image;
  return made;
}

std::string file_of(const AdaptersConfig& config) {
  const json::Value& data = *json::find(config.object.object, "data");
  return std::string(json::view(data.get_object().at("adapters.yaml").get_string()));
}

std::string pod_of(const Observed& seen) {
  return json::dump(
      plan_serving(seen, plan_nodes(seen, options()), options()).objects.back().object);
}

TEST(Adapters, AreListedInAConfigMap) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->adapters = {adapter("a", "registry.test/a:1"),
                                   adapter("b", "registry.test/b:1")};
  workspace.inference->adapters[1].strength = "0.5";
  const auto config = adapters_config(observed(workspace));
  ASSERT_TRUE(config);
  EXPECT_EQ(json::find_string(config->object.object, "metadata.name"), "w-adapters");
  const json::Value file = json::parse(file_of(*config)).value();
  EXPECT_EQ(json::find_string(file, "revision"), config->revision);
  EXPECT_TRUE(json::equal(*json::find(file, "adapters"),
                          json::parse(R"([{"name":"a","strength":"1.0","image":"registry.test/a:1"},
                      {"name":"b","strength":"0.5","image":"registry.test/b:1"}])")
                              .value()));
}

TEST(Adapters, CostNoWriteWhereThereAreNone) {
  EXPECT_FALSE(adapters_config(observed(preset_workspace())));
}

TEST(Adapters, TheLastOneLeavesAnEmptyList) {
  Observed seen = observed(preset_workspace());
  seen.adapters_config = std::make_shared<const api::ConfigMap>();
  const auto config = adapters_config(seen);
  ASSERT_TRUE(config);
  EXPECT_THAT(file_of(*config), HasSubstr("\"adapters\": []"));
}

TEST(Adapters, NeverChangeThePod) {
  api::Workspace workspace = preset_workspace();
  const std::string before = pod_of(observed(workspace));
  workspace.inference->adapters = {adapter("a", "registry.test/a:1")};
  const std::string with_one = pod_of(observed(workspace));
  workspace.inference->adapters[0].strength = "0.5";
  EXPECT_EQ(before, with_one);
  EXPECT_EQ(before, pod_of(observed(workspace)));
}

TEST(Adapters, OnVolumesAreMounted) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->adapters = {adapter("a", "")};
  workspace.inference->adapters[0].source->volume_source =
      json::Object{{"hostPath", json::Object{{"path", "/adapters/a"}}}};
  const Observed seen = observed(workspace);
  EXPECT_THAT(file_of(*adapters_config(seen)), HasSubstr("\"path\": \"/mnt/adapter/a\""));
  EXPECT_THAT(pod_of(seen), HasSubstr(R"("mountPath":"/mnt/adapter/a")"));
}

}  // namespace
}  // namespace workspace

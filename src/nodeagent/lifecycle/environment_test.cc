#include "nodeagent/lifecycle/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"

namespace nodeagent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class FakeConfigs final : public ConfigSource {
 public:
  base::Result<api::ConfigMap> config_map(const std::string&, const std::string& name) override {
    if (name != "config")
      return base::Error(base::ErrorCode::NotFound, "configmaps \"" + name + "\" not found");
    api::ConfigMap map;
    map.data = {{"a", "1"}, {"b", "2"}};
    return map;
  }
  base::Result<api::Secret> secret(const std::string&, const std::string& name) override {
    if (name != "secret")
      return base::Error(base::ErrorCode::NotFound, "secrets \"" + name + "\" not found");
    api::Secret secret;
    secret.data = {{"token", base::to_base64("hush")}};
    return secret;
  }
};

TEST(ExpandVariables, Table) {
  const Environment environment = {{"A", "1"}, {"B", "two"}};
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plain", "plain"},
      {"$(A)", "1"},
      {"x$(A)y$(B)z", "x1ytwoz"},
      {"$(NONE)", "$(NONE)"},
      {"$$(A)", "$(A)"},
      {"$A", "$A"},
      {"$(A", "$(A"},
      {"$", "$"},
      {"$$$(B)", "$two"},
      {"", ""},
  };
  for (const auto& [text, expanded] : cases)
    EXPECT_EQ(expand_variables(text, environment), expanded) << text;
}

TEST(ContainerEnvironment, DrawsFromEverySourceInOrder) {
  api::Pod pod;
  pod.metadata.name = "web-0";
  pod.metadata.labels = {{"app", "web"}};
  pod.status.pod_ip = "127.32.0.9";
  api::Container container;
  container.resources.limits = {{"memory", "64Mi"}};
  container.env_from = {{"CFG_", api::OptionalObjectReference{"config", {}}, {}}};
  const auto variable = [&](std::string name, std::string value,
                            std::optional<api::EnvVarSource> from = {}) {
    container.env.push_back({std::move(name), std::move(value), std::move(from)});
  };
  variable("POD_IP", "",
           api::EnvVarSource{.field_ref = api::ObjectFieldSelector{"v1", "status.podIP"}});
  variable(
      "APP", "",
      api::EnvVarSource{.field_ref = api::ObjectFieldSelector{"v1", "metadata.labels['app']"}});
  variable("MEM", "",
           api::EnvVarSource{.resource_field_ref =
                                 api::ResourceFieldSelector{"", "limits.memory", "1Mi"}});
  variable("TOKEN", "",
           api::EnvVarSource{.secret_key_ref = api::KeySelector{"secret", "token", {}}});
  variable("NONE", "",
           api::EnvVarSource{.config_map_key_ref = api::KeySelector{"missing", "x", true}});
  variable("URL", "http://$(POD_IP)/$(CFG_a)");
  variable("CFG_b", "over");
  FakeConfigs configs;
  const auto environment = container_environment(pod, container, configs);
  ASSERT_TRUE(environment) << environment.error().message();
  EXPECT_THAT(*environment,
              ElementsAre(Pair("CFG_a", "1"), Pair("CFG_b", "over"), Pair("POD_IP", "127.32.0.9"),
                          Pair("APP", "web"), Pair("MEM", "64"), Pair("TOKEN", "hush"),
                          Pair("URL", "http://127.32.0.9/1")));
}

TEST(ContainerEnvironment, NamesWhatIsMissing) {
  FakeConfigs configs;
  api::Container container;
  container.env = {
      {"X", "", api::EnvVarSource{.config_map_key_ref = api::KeySelector{"missing", "x", {}}}}};
  EXPECT_THAT(container_environment({}, container, configs).error().message(),
              HasSubstr("env X: configmap \"missing\": configmaps \"missing\" not found"));
  container.env = {
      {"X", "", api::EnvVarSource{.secret_key_ref = api::KeySelector{"secret", "nope", {}}}}};
  EXPECT_THAT(container_environment({}, container, configs).error().message(),
              HasSubstr("couldn't find key nope in secret secret"));
  container.env = {
      {"X", "", api::EnvVarSource{.field_ref = api::ObjectFieldSelector{"v1", "spec.dream"}}}};
  EXPECT_THAT(container_environment({}, container, configs).error().message(),
              HasSubstr("unsupported fieldPath: spec.dream"));
}

}  // namespace
}  // namespace nodeagent

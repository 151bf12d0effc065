#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "api/core/int_or_string.h"
#include "api/core/pod.h"
#include "api/core/quantity.h"
#include "api/crd.h"
#include "api/meta.h"
#include "api/workspace/validate.h"
#include "api/workspace/workspace.h"
#include "base/file.h"
#include "json/yaml.h"

namespace api {
namespace {

using testing::Contains;
using testing::Field;
using testing::HasSubstr;

const std::filesystem::path kRoot = KAITO_SOURCE_DIR;

ValidationDeps deps() {
  return {.byo = false,
          .is_preset =
              [](std::string_view name) {
                return name == "phi-3-mini-4k-instruct" || name == "phi-3-mini-128k-instruct";
              },
          .is_instance_type = [](std::string_view name) { return name.starts_with("Standard_N"); }};
}

Workspace valid_workspace() {
  Workspace workspace;
  workspace.metadata.name = "w";
  workspace.resource.instance_type = "Standard_NC6s_v3";
  workspace.resource.label_selector.match_labels = {{"apps", "phi-3"}};
  workspace.inference.emplace().preset.emplace().name = "phi-3-mini-4k-instruct";
  return workspace;
}

TEST(Quantity, ParsesWhatKubernetesParses) {
  EXPECT_EQ(*quantity_bytes("64Mi"), 64 << 20);
  EXPECT_EQ(*quantity_bytes("1.5Gi"), 1610612736);
  EXPECT_EQ(*quantity_units("1e3"), 1000);
  EXPECT_EQ(*quantity_milli("500m"), 500);
  EXPECT_EQ(*quantity_milli("2"), 2000);
  EXPECT_EQ(*quantity_units("1E"), 1000000000000000000);
  for (const char* bad : {"", "x", "1Kib", "1e", "Gi", "1 Gi", "9999999E", "1e99"})
    EXPECT_FALSE(quantity_units(bad)) << bad;
}

TEST(Quantity, IsExact) {
  for (std::int64_t milli = 0; milli < 20000; milli += 7) {
    EXPECT_EQ(*quantity_milli(fmt::format("{}m", milli)), milli);
    EXPECT_EQ(*quantity_milli(fmt::format("{}.{:03}", milli / 1000, milli % 1000)), milli);
  }
  EXPECT_EQ(*quantity_units("9223372036854775807"), 9223372036854775807);
  EXPECT_FALSE(quantity_units("9223372036854775808"));
  EXPECT_FALSE(quantity_units("8Ei"));
  EXPECT_EQ(*quantity_units("-1.5"), -2);
  EXPECT_EQ(*quantity_units("1n"), 1);
  EXPECT_EQ(*quantity_units("1e-40"), 1);
  EXPECT_EQ(*quantity_milli("0.0001"), 1);
}

TEST(Quantity, TakesNumbersAndWritesText) {
  const auto quantity = Quantity::from_json(json::Value(2));
  ASSERT_TRUE(quantity);
  EXPECT_EQ(quantity->to_json(), json::Value("2"));
  EXPECT_FALSE(Quantity::from_json(json::Value("lots")));
  EXPECT_FALSE(Quantity::from_json(json::Value(true)));
  EXPECT_EQ(bytes_quantity(3LL << 30).text, "3Gi");
  EXPECT_EQ(bytes_quantity(1000).text, "1000");
}

TEST(IntOrString, TakesBothAndNothingElse) {
  EXPECT_EQ(IntOrString::from_json(json::Value(5000))->number(), 5000);
  EXPECT_EQ(IntOrString::from_json(json::Value("http"))->name(), "http");
  EXPECT_FALSE(IntOrString::from_json(json::Value(5000000000)));
  EXPECT_FALSE(IntOrString::from_json(json::Value(1.5)));
  EXPECT_FALSE(IntOrString::from_json(json::Value(nullptr)));
}

/// A pod with a field of every family; decoding and encoding must give it back unchanged.
constexpr std::string_view kPod = R"({
  "apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
  "spec": {
    "initContainers": [{"name": "i", "image": "x", "restartPolicy": "Always"}],
    "containers": [{
      "name": "c", "image": "y", "command": ["a"], "args": ["b"], "workingDir": "/w",
      "ports": [{"containerPort": 5000, "name": "http"}],
      "env": [{"name": "A", "value": "1"},
              {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
              {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}}],
      "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"memory": "1Gi"}, "claims": [{"name": "g"}]},
      "volumeMounts": [{"name": "v", "mountPath": "/m", "readOnly": true, "subPath": "s"}],
      "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
      "livenessProbe": {"grpc": {"port": 5}},
      "lifecycle": {"preStop": {"exec": {"command": ["x"]}}},
      "securityContext": {"runAsUser": 0, "procMount": "Default"}}],
    "volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                {"name": "w", "projected": {"sources": [{"configMap": {"name": "m"}}]}},
                {"name": "x", "csi": {"driver": "d"}}],
    "terminationGracePeriodSeconds": 0,
    "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["h"]}],
    "topologySpreadConstraints": [{"maxSkew": 1}]
  },
  "status": {"phase": "Running", "podIPs": [{"ip": "127.0.1.1"}],
             "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}, "ready": false, "restartCount": 0, "image": "y", "imageID": ""}]}
})";

TEST(Pod, KeepsWhatItIsGiven) {
  const json::Value given = *json::parse(kPod);
  const auto strict = json::decode_strict<Pod>(given);
  EXPECT_TRUE(strict.errors.empty()) << json::to_string(strict.errors);
  EXPECT_TRUE(json::equal(json::encode(strict.value), given))
      << json::dump_pretty(json::encode(strict.value));
}

TEST(Conditions, TransitionTimeMovesOnlyWithTheStatus) {
  std::vector<Condition> conditions;
  set_condition(conditions, {.type = "Ready", .status = "False", .reason = "A", .message = ""},
                "t1");
  set_condition(conditions, {.type = "Ready", .status = "False", .reason = "B", .message = ""},
                "t2");
  EXPECT_EQ(conditions[0].last_transition_time, "t1");
  EXPECT_EQ(conditions[0].reason, "B");
  set_condition(conditions, {.type = "Ready", .status = "True", .reason = "C", .message = ""},
                "t3");
  EXPECT_EQ(conditions[0].last_transition_time, "t3");
  EXPECT_TRUE(is_condition_true(conditions, "Ready"));
}

TEST(Selector, KnowsItsOperators) {
  const std::map<std::string, std::string> labels{{"a", "1"}};
  const auto one = [](std::string op, std::vector<std::string> values) {
    LabelSelector selector;
    selector.match_expressions.push_back({"a", std::move(op), std::move(values)});
    return selector;
  };
  EXPECT_TRUE(*matches(one("In", {"1", "2"}), labels));
  EXPECT_FALSE(*matches(one("NotIn", {"1"}), labels));
  EXPECT_TRUE(*matches(one("Exists", {}), labels));
  EXPECT_FALSE(*matches(one("DoesNotExist", {}), labels));
  EXPECT_FALSE(matches(one("Like", {"1"}), labels));
  EXPECT_TRUE(*matches(LabelSelector{}, labels));
}

TEST(Validate, AcceptsAGoodWorkspace) {
  EXPECT_TRUE(validate_create(valid_workspace(), deps()).empty());
}

TEST(Validate, AcceptsTheGuidesExamples) {
  for (const auto& entry : std::filesystem::directory_iterator(kRoot / "examples/guide")) {
    const auto documents = json::parse_yaml(*base::read_file(entry.path()));
    ASSERT_TRUE(documents) << entry.path();
    for (const json::YamlDocument& document : *documents) {
      auto decoded = json::decode_strict<Workspace>(document.value);
      EXPECT_TRUE(decoded.errors.empty())
          << entry.path() << ": " << json::to_string(decoded.errors);
      const auto errors = validate_create(decoded.value, deps());
      EXPECT_TRUE(errors.empty()) << entry.path() << ": " << json::to_string(errors);
    }
  }
}

TEST(Validate, NamesEveryMistakeAtOnce) {
  Workspace workspace = valid_workspace();
  workspace.metadata.name = "Not.A.Label";
  workspace.resource.count = 0;
  workspace.resource.instance_type = "m5.large";
  workspace.inference->preset->name = "nobody-knows";
  workspace.inference->adapters.resize(2);
  workspace.inference->adapters[1].source.emplace().name = "b";
  workspace.inference->adapters[1].strength = "1.5";
  std::vector<std::string> paths;
  for (const auto& error : validate_create(workspace, deps())) paths.push_back(error.path);
  EXPECT_THAT(paths, testing::UnorderedElementsAre(
                         "metadata.name", "resource.count", "resource.instanceType",
                         "inference.preset.name", "inference.adapters[0].source",
                         "inference.adapters[1].source", "inference.adapters[1].strength"));
}

TEST(Validate, NeedsExactlyOnePurpose) {
  Workspace workspace = valid_workspace();
  workspace.inference.reset();
  EXPECT_THAT(
      validate_create(workspace, deps()),
      Contains(Field(&json::FieldError::message, HasSubstr("needs `inference` or `tuning`"))));
}

TEST(Validate, BringYourOwnNodesHaveNoInstanceType) {
  ValidationDeps byo = deps();
  byo.byo = true;
  EXPECT_THAT(validate_create(valid_workspace(), byo),
              Contains(Field(&json::FieldError::path, "resource.instanceType")));
  Workspace workspace = valid_workspace();
  workspace.resource.instance_type.clear();
  EXPECT_TRUE(validate_create(workspace, byo).empty());
}

TEST(Validate, SomeFieldsNeverChange) {
  const Workspace before = valid_workspace();
  Workspace after = before;
  after.resource.instance_type = "Standard_NC24ads_A100_v4";
  after.inference->preset->name = "phi-3-mini-128k-instruct";
  after.resource.label_selector.match_labels["apps"] = "other";
  std::vector<std::string> paths;
  for (const auto& error : validate_update(before, after, deps())) paths.push_back(error.path);
  EXPECT_THAT(paths, testing::UnorderedElementsAre("resource.instanceType", "inference.preset",
                                                   "resource.labelSelector"));
  after.metadata.deletion_timestamp = "2026-11-24T00:00:00Z";
  EXPECT_TRUE(validate_update(before, after, deps()).empty());
}

// config/crd is what `kubectl apply -f config/crd` installs; KAITO_UPDATE_GOLDEN=1 rewrites it.
TEST(Crd, TheFilesAreWhatTheTypesSay) {
  for (const json::Value& crd : custom_resource_definitions()) {
    const auto path = kRoot / "config/crd" / crd_file_name(crd);
    const std::string wanted = json::dump_yaml(crd);
    if (std::getenv("KAITO_UPDATE_GOLDEN")) {
      ASSERT_TRUE(base::write_file_atomic(path, wanted, 0644));
    }
    const auto found = base::read_file(path);
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_EQ(*found, wanted) << path
                              << " is out of date; run this test with KAITO_UPDATE_GOLDEN=1";
  }
}

}  // namespace
}  // namespace api

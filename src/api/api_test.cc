#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "api/core/int_or_string.h"
#include "api/core/pod.h"
#include "api/core/quantity.h"
#include "api/crd.h"
#include "api/meta.h"
#include "base/file.h"
#include "json/yaml.h"

namespace api {
namespace {

const std::filesystem::path kRoot = KAITO_SOURCE_DIR;

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

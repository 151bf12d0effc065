#include "nodeagent/scheduler/choose.h"

#include <gtest/gtest.h>

#include "json/yaml.h"

namespace nodeagent {
namespace {

template <class T>
T parse(std::string_view text) {
  const auto value = json::parse(text);
  EXPECT_TRUE(value) << value.error().message();
  const auto decoded = json::decode<T>(*value);
  EXPECT_TRUE(decoded) << decoded.error().message();
  return *decoded;
}

NodeUsage node(std::string_view text) {
  return {std::make_shared<const api::Node>(parse<api::Node>(text)), {}, 0};
}

NodeUsage plain(const std::string& name, const std::string& more = "") {
  return node(
      R"({"metadata":{"name":")" + name + R"(","labels":{"host":")" + name +
      R"(","cores":"8","zone":"a"}},"status":{"allocatable":{"cpu":"2","memory":"4Gi","pods":"3","nvidia.com/gpu":"1"}})" +
      more + "}");
}

api::Pod pod(const std::string& spec) {
  return parse<api::Pod>(R"({"metadata":{"name":"p"},"spec":)" + spec + "}");
}

std::string affinity(const std::string& expressions) {
  return R"({"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[)" +
         expressions + "]}]}}}}";
}

struct Case {
  std::string name;
  std::string spec;
  std::string node;     ///< Chosen, or
  std::string message;  ///< why not.
};

TEST(ChooseNode, Table) {
  const std::vector<NodeUsage> nodes = {
      plain("b"), plain("a"),
      plain("tainted", R"(,"spec":{"taints":[{"key":"gpu","value":"yes","effect":"NoSchedule"}]})"),
      plain("off", R"(,"spec":{"unschedulable":true})")};
  const std::string others =
      "1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable";
  const std::string mismatch =
      "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were "
      "unschedulable, 2 node(s) "
      "didn't match Pod's node affinity/selector.";
  const std::vector<Case> cases = {
      {"any", "{}", "a", ""},
      {"selector", R"({"nodeSelector":{"host":"b"}})", "b", ""},
      {"selector misses", R"({"nodeSelector":{"host":"c"}})", "", mismatch},
      {"In", affinity(R"({"key":"host","operator":"In","values":["x","b"]})"), "b", ""},
      {"NotIn", affinity(R"({"key":"host","operator":"NotIn","values":["a"]})"), "b", ""},
      {"NotIn absent key", affinity(R"({"key":"none","operator":"NotIn","values":["a"]})"), "a",
       ""},
      {"Exists", affinity(R"({"key":"zone","operator":"Exists"})"), "a", ""},
      {"DoesNotExist", affinity(R"({"key":"zone","operator":"DoesNotExist"})"), "", mismatch},
      {"Gt", affinity(R"({"key":"cores","operator":"Gt","values":["7"]})"), "a", ""},
      {"Gt fails", affinity(R"({"key":"cores","operator":"Gt","values":["8"]})"), "", mismatch},
      {"Lt", affinity(R"({"key":"cores","operator":"Lt","values":["9"]})"), "a", ""},
      {"empty term",
       R"({"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{}]}}}})",
       "", mismatch},
      {"toleration Exists",
       R"({"nodeSelector":{"host":"tainted"},"tolerations":[{"key":"gpu","operator":"Exists"}]})",
       "tainted", ""},
      {"toleration Equal",
       R"({"nodeSelector":{"host":"tainted"},"tolerations":[{"key":"gpu","value":"yes","effect":"NoSchedule"}]})",
       "tainted", ""},
      {"toleration other value",
       R"({"nodeSelector":{"host":"tainted"},"tolerations":[{"key":"gpu","value":"no"}]})", "",
       "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were "
       "unschedulable, 2 node(s) didn't match Pod's node affinity/selector."},
      {"preferred",
       R"({"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":5,"preference":{"matchExpressions":[{"key":"host","operator":"In","values":["b"]}]}}]}}})",
       "b", ""},
      {"too much",
       R"({"containers":[{"name":"c","resources":{"requests":{"cpu":"1500m","memory":"5Gi"}}},{"name":"d","resources":{"requests":{"cpu":"1"}}}]})",
       "", "0/4 nodes are available: " + others + ", 2 Insufficient cpu, 2 Insufficient memory."},
      {"unknown resource",
       R"({"containers":[{"name":"c","resources":{"limits":{"amd.com/gpu":1}}}]})", "",
       "0/4 nodes are available: " + others + ", 2 Insufficient amd.com/gpu."},
      {"init peak",
       R"({"initContainers":[{"name":"i","resources":{"requests":{"cpu":"3"}}}],"containers":[{"name":"c"}]})",
       "", "0/4 nodes are available: " + others + ", 2 Insufficient cpu."},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Choice choice = choose_node(pod(c.spec), nodes);
    EXPECT_EQ(choice.node, c.node);
    EXPECT_EQ(choice.message, c.message);
  }
}

TEST(ChooseNode, CountsWhatBoundPodsTake) {
  const auto n = plain("a").node;
  const auto bound = [&](const std::string& phase, const std::string& gpus) {
    return std::make_shared<const api::Pod>(parse<api::Pod>(
        R"({"spec":{"nodeName":"a","containers":[{"name":"c","resources":{"limits":{"nvidia.com/gpu":")" +
        gpus + R"("}}}]},"status":{"phase":")" + phase + R"("}})"));
  };
  const api::Pod wants =
      pod(R"({"containers":[{"name":"c","resources":{"limits":{"nvidia.com/gpu":"1"}}}]})");
  EXPECT_EQ(choose_node(wants, usage_of({n}, {bound("Succeeded", "1")})).node, "a");
  EXPECT_EQ(choose_node(wants, usage_of({n}, {bound("Running", "1")})).message,
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.");
  EXPECT_EQ(choose_node(pod("{}"), usage_of({n}, {bound("", "0"), bound("", "0"), bound("", "0")}))
                .message,
            "0/1 nodes are available: 1 Too many pods.");
  EXPECT_EQ(choose_node(wants, {}).message, "no nodes available to schedule pods");
}

TEST(PodRequests, SidecarsAddToWhatRunsBesideThem) {
  const api::Pod p = pod(R"({"initContainers":[
    {"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"1"}}},
    {"name":"i","resources":{"requests":{"cpu":"2"}}}],
    "containers":[{"name":"c","resources":{"requests":{"cpu":"500m"}}}]})");
  EXPECT_EQ(pod_requests(p).at("cpu"), 3000);
}

}  // namespace
}  // namespace nodeagent

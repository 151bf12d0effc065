#include "nodeagent/node_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "api/core/config.h"
#include "api/core/node.h"
#include "api/core/pod.h"
#include "api/core/service.h"
#include "apiserver/server.h"
#include "base/file.h"
#include "base/random.h"

/// The agent against the embedded API server, with real processes.
namespace nodeagent {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace fs = std::filesystem;

class NodeAgentTest : public testing::Test {
 protected:
  NodeAgentTest() {
    apiserver::Server::Options options;
    options.data_dir = directory_ / "apiserver";
    options.anonymous_admin = true;
    fs::create_directories(directory_);
    auto server = apiserver::Server::create(std::move(options));
    EXPECT_TRUE(server) << server.error().message();
    server_ = *std::move(server);
    kube::RestConfig config;
    config.server = server_->url();
    client_ = *kube::Client::create(config);
    start_agent();
  }
  ~NodeAgentTest() override {
    agent_.reset();
    client_.reset();
    server_.reset();
    fs::remove_all(directory_);
  }

  void start_agent() {
    NodeAgent::Options options;
    options.data_dir = (directory_ / "node").string();
    options.pod_shim = {KAITO_POD_SHIM};
    options.images = ImageMap(std::vector<LocalImage>{{"test-image", "/bin", {}}});
    options.register_node = "local";
    options.pod_cidr = "127.33.0.0/16";
    options.backoff = {100ms, 1s, 600s};
    auto agent = NodeAgent::create(*client_, clock_, base::Logger(), std::move(options));
    ASSERT_TRUE(agent) << agent.error().message();
    agent_ = *std::move(agent);
    const base::Status started = agent_->start(ctx_);
    ASSERT_TRUE(started) << started.error().message();
  }

  /// A pod with one shell container and what `container` and `spec` add to it.
  static json::Value shell_pod(const std::string& name, const std::string& script,
                               const std::string& container = "", const std::string& spec = "") {
    const std::string text =
        R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":")" + name +
        R"(","namespace":"default","labels":{"app":")" + name +
        R"("}},"spec":{"terminationGracePeriodSeconds":5,"containers":[{"name":"main","image":"x/test-image:1","command":["sh","-c",)" +
        json::dump(json::String(script)) + "]" + container + "}]" + spec + "}}";
    auto value = json::parse(text);
    EXPECT_TRUE(value) << text << value.error().message();
    return *value;
  }
  void create(const json::Value& pod) {
    const auto created = client_->create(ctx_, api::Pod::kType, pod);
    ASSERT_TRUE(created) << created.error().message();
  }
  api::Pod get(const std::string& name) {
    return kube::get<api::Pod>(ctx_, *client_, {"default", name}).value_or(api::Pod());
  }
  bool exists(const std::string& name) {
    return client_->get(ctx_, api::Pod::kType, {"default", name}).has_value();
  }

  bool wait(const std::function<bool()>& condition, std::chrono::milliseconds limit = 15s) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(20ms);
    }
    return true;
  }
  bool is_ready(const std::string& name) {
    const api::Pod pod = get(name);
    for (const auto& condition : pod.status.conditions) {
      if (condition.type == "Ready") return condition.status == "True";
    }
    return false;
  }
  bool wait_ready(const std::string& name) {
    if (wait([&] { return is_ready(name); })) return true;
    ADD_FAILURE() << json::dump_pretty(json::encode(get(name)));
    return false;
  }
  bool wait_phase(const std::string& name, const std::string& phase) {
    if (wait([&] { return get(name).status.phase == phase; })) return true;
    ADD_FAILURE() << json::dump_pretty(json::encode(get(name)));
    return false;
  }
  std::string log(const std::string& name, bool previous = false) {
    apiserver::PodLogRequest request;
    request.pod = name;
    request.uid = get(name).metadata.uid;
    request.container = "main";
    request.previous = previous;
    std::string all;
    const base::Status read = agent_->logs().stream(ctx_, request, [&](std::string_view piece) {
      all += piece;
      return base::Status();
    });
    return read ? all : "(" + read.error().message() + ")";
  }

  base::Context ctx_;
  base::RealClock clock_;
  fs::path directory_ = fs::temp_directory_path() / ("agent-" + base::random_name_suffix(8));
  std::unique_ptr<apiserver::Server> server_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<NodeAgent> agent_;
};

TEST_F(NodeAgentTest, APodRunsBecomesReadyAndIsDeletedGracefully) {
  create(
      shell_pod("web",
                "trap 'echo bye; exit 0' TERM; echo hello $POD_IP $NAME; touch /data/ready; while "
                ":; do sleep 0.05; done",
                R"j(,"env":[{"name":"POD_IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},
                              {"name":"NAME","value":"is $(POD_IP)"}],
                      "volumeMounts":[{"name":"data","mountPath":"/data"}],
                      "readinessProbe":{"exec":{"command":["cat","/data/ready"]}})j",
                R"(,"volumes":[{"name":"data","emptyDir":{}}])"));
  ASSERT_TRUE(wait_ready("web"));
  const api::Pod pod = get("web");
  EXPECT_EQ(pod.spec.node_name, "local");
  EXPECT_THAT(pod.status.pod_ip, testing::StartsWith("127.33."));
  EXPECT_EQ(log("web"), "hello " + pod.status.pod_ip + " is " + pod.status.pod_ip + "\n");
  ASSERT_TRUE(client_->remove(ctx_, api::Pod::kType, {"default", "web"}));
  EXPECT_TRUE(wait([&] { return !exists("web"); }));
  EXPECT_TRUE(wait([&] { return !fs::exists(directory_ / "node" / "pods" / pod.metadata.uid); }));
}

TEST_F(NodeAgentTest, ACrashIsReportedWithItsLastWordsAndTriedAgain) {
  create(shell_pod("crash", "echo cannot load model; exit 3"));
  ASSERT_TRUE(wait([&] {
    const api::Pod pod = get("crash");
    return !pod.status.container_statuses.empty() &&
           pod.status.container_statuses[0].restart_count >= 2;
  }));
  const api::ContainerStatus status = get("crash").status.container_statuses[0];
  ASSERT_TRUE(status.last_state.terminated);
  EXPECT_EQ(status.last_state.terminated->exit_code, 3);
  EXPECT_EQ(status.last_state.terminated->message, "cannot load model\n");
  EXPECT_EQ(log("crash", true), "cannot load model\n");
}

TEST_F(NodeAgentTest, InitContainersRunFirstAndJobsEnd) {
  create(shell_pod("job", "cat /data/made",
                   R"(,"volumeMounts":[{"name":"data","mountPath":"/data"}])",
                   R"(,"restartPolicy":"Never","volumes":[{"name":"data","emptyDir":{}}],
                      "initContainers":[{"name":"init","image":"test-image","command":["sh","-c","echo made > /data/made"],
                                         "volumeMounts":[{"name":"data","mountPath":"/data"}]}])"));
  ASSERT_TRUE(wait_phase("job", "Succeeded"));
  EXPECT_EQ(log("job"), "made\n");
  create(shell_pod("fails", "exit 1", "", R"(,"restartPolicy":"Never")"));
  ASSERT_TRUE(wait_phase("fails", "Failed"));
}

TEST_F(NodeAgentTest, MissingThingsAreNamedAndWaitedFor) {
  create(shell_pod(
      "config", "echo $V; sleep 60",
      R"(,"env":[{"name":"V","valueFrom":{"configMapKeyRef":{"name":"late","key":"v"}}}])"));
  create(shell_pod("image", "true"));
  const auto waiting = [&](const std::string& name) {
    const api::Pod pod = get(name);
    if (pod.status.container_statuses.empty() || !pod.status.container_statuses[0].state.waiting)
      return std::string();
    return pod.status.container_statuses[0].state.waiting->reason + ": " +
           pod.status.container_statuses[0].state.waiting->message;
  };
  ASSERT_TRUE(wait([&] { return waiting("config").starts_with("CreateContainerConfigError"); }))
      << waiting("config");
  EXPECT_THAT(waiting("config"), HasSubstr("env V: configmap \"late\""));
  const json::Value map = *json::parse(
      R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"late","namespace":"default"},"data":{"v":"here"}})");
  ASSERT_TRUE(client_->create(ctx_, api::ConfigMap::kType, map));
  ASSERT_TRUE(wait_ready("config"));
  EXPECT_TRUE(wait([&] { return log("config") == "here\n"; }));
  json::Value foreign = shell_pod("foreign", "true");
  foreign.at("spec").at("containers").at(0).get_object()["image"] = "nginx";
  create(foreign);
  ASSERT_TRUE(wait([&] { return waiting("foreign").starts_with("ErrImagePull"); }))
      << waiting("foreign");
}

TEST_F(NodeAgentTest, VolumesOfARunningPodFollowTheirObjects) {
  const auto put = [&](const std::string& name, const std::string& data) {
    const json::Value map =
        *json::parse(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + name +
                     R"(","namespace":"default"},"data":)" + data + "}");
    const api::ObjectKey key{"default", name};
    const bool there = client_->get(ctx_, api::ConfigMap::kType, key).has_value();
    const auto written =
        there ? client_->patch(ctx_, api::ConfigMap::kType, key, kube::PatchType::Merge, map, {})
              : client_->create(ctx_, api::ConfigMap::kType, map);
    ASSERT_TRUE(written) << written.error().message();
  };
  put("settings", R"({"a":"one"})");
  create(shell_pod(
      "live",
      "while :; do echo $(for f in /all/a /one /late/list /all/b /pod/tier; do cat $f 2>/dev/null "
      "&& echo; done); sleep 0.05; "
      "done",
      R"(,"volumeMounts":[{"name":"all","mountPath":"/all"},{"name":"late","mountPath":"/late"},{"name":"pod","mountPath":"/pod"},
                          {"name":"all","mountPath":"/one","subPath":"a"}])",
      R"j(,"volumes":[{"name":"all","configMap":{"name":"settings"}},{"name":"late","configMap":{"name":"late","optional":true}},
                      {"name":"pod","downwardAPI":{"items":[{"path":"tier","fieldRef":{"fieldPath":"metadata.labels['tier']"}}]}}])j"));
  ASSERT_TRUE(wait_ready("live"));
  // Without namespaces a mount is a replaced path, so a subPath cannot hold what it was.
  const std::string held = agent_->isolation_note().empty() ? "one" : "two";
  const auto shows = [&](const std::string& line) {
    const bool seen = wait([&] { return log("live").ends_with("\n" + line + "\n"); });
    if (!seen)
      ADD_FAILURE() << line << "; log ends: "
                    << log("live").substr(std::max<std::size_t>(80, log("live").size()) - 80);
    return seen;
  };
  ASSERT_TRUE(shows("one one"));
  put("settings", R"({"a":"two","b":"more"})");
  ASSERT_TRUE(shows("two " + held + " more"));
  put("late", R"({"list":"here"})");
  ASSERT_TRUE(shows("two " + held + " here more"));
  put("settings", R"({"b":null})");
  ASSERT_TRUE(shows("two " + held + " here"));
  ASSERT_TRUE(client_->remove(ctx_, api::ConfigMap::kType, {"default", "late"}));
  ASSERT_TRUE(shows("two " + held));
  const json::Value label = *json::parse(R"({"metadata":{"labels":{"tier":"gold"}}})");
  ASSERT_TRUE(client_->patch(ctx_, api::Pod::kType, {"default", "live"}, kube::PatchType::Merge,
                             label, {}));
  ASSERT_TRUE(shows("two " + held + " gold"));
  EXPECT_EQ(get("live").status.container_statuses[0].restart_count, 0);
}

TEST_F(NodeAgentTest, AFailedInitContainerIsTriedAgainInPlace) {
  // Without namespaces /dev/termination-log is the host's; the log's end stands in for it.
  const std::string say = agent_->isolation_note().empty()
                              ? "echo noise; echo not yet > /dev/termination-log"
                              : "echo not yet";
  json::Value pod =
      shell_pod("steps", "wc -l < /data/first; wc -l < /data/second",
                R"(,"volumeMounts":[{"name":"data","mountPath":"/data"}])",
                R"(,"restartPolicy":"OnFailure","volumes":[{"name":"data","emptyDir":{}}],
         "initContainers":[
           {"name":"first","image":"test-image","command":["sh","-c","echo x >> /data/first"],"volumeMounts":[{"name":"data","mountPath":"/data"}]},
           {"name":"second","image":"test-image","volumeMounts":[{"name":"data","mountPath":"/data"}],"command":["sh","-c",
             "echo x >> /data/second; [ -e /data/go ] && exit 0; )" +
                    say + R"(; exit 7"]}])");
  create(pod);
  const auto second = [&] {
    const auto statuses = get("steps").status.init_container_statuses;
    return statuses.size() == 2 ? statuses[1] : api::ContainerStatus();
  };
  ASSERT_TRUE(wait([&] { return second().restart_count >= 2; }));
  const api::Pod between = get("steps");
  EXPECT_EQ(between.status.phase, "Pending");
  EXPECT_THAT(between.status.pod_ip, testing::StartsWith("127.33."));
  ASSERT_TRUE(second().last_state.terminated);
  EXPECT_EQ(second().last_state.terminated->exit_code, 7);
  EXPECT_EQ(second().last_state.terminated->message, "not yet\n");
  ASSERT_TRUE(base::write_file_atomic(
      directory_ / "node" / "pods" / between.metadata.uid / "_volumes" / "data" / "go", "", 0644));
  ASSERT_TRUE(wait_phase("steps", "Succeeded"));
  const int runs = second().restart_count + 1;
  EXPECT_EQ(log("steps"), "1\n" + std::to_string(runs) + "\n");
  EXPECT_EQ(get("steps").status.init_container_statuses[0].restart_count, 0);
}

TEST_F(NodeAgentTest, PodsThatFitNowhereSayWhyAndAreBoundWhenTheyDo) {
  create(shell_pod("gpu", "sleep 60", R"(,"resources":{"limits":{"nvidia.com/gpu":"1"}})"));
  const auto scheduled = [&] {
    const api::Pod pod = get("gpu");
    for (const auto& condition : pod.status.conditions) {
      if (condition.type == "PodScheduled") return condition.message;
    }
    return std::string();
  };
  ASSERT_TRUE(wait([&] {
    return scheduled() == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.";
  })) << scheduled();
  const json::Value more =
      *json::parse(R"({"capacity":{"nvidia.com/gpu":"1"},"allocatable":{"nvidia.com/gpu":"1"}})");
  ASSERT_TRUE(kube::patch_status<api::Node>(ctx_, *client_, {"", "local"}, more));
  ASSERT_TRUE(wait_ready("gpu"));
}

TEST_F(NodeAgentTest, AFailingLivenessProbeRestartsTheContainer) {
  create(shell_pod(
      "sick", "trap 'exit 0' TERM; while :; do sleep 0.05; done",
      R"(,"livenessProbe":{"exec":{"command":["sh","-c","exit 1"]},"periodSeconds":1,"failureThreshold":1})"));
  ASSERT_TRUE(wait([&] {
    const api::Pod pod = get("sick");
    return !pod.status.container_statuses.empty() &&
           pod.status.container_statuses[0].restart_count >= 1;
  }));
}

TEST_F(NodeAgentTest, ServicesReachReadyEndpointsAndNobodyElse) {
  // Any TCP service of this machine will do as endpoint; the API server is one.
  const std::string url = server_->url();
  const int port = std::stoi(url.substr(url.rfind(':') + 1));
  const auto create_object = [&](const api::ResourceType& type, const std::string& text) {
    const auto created = client_->create(ctx_, type, *json::parse(text));
    ASSERT_TRUE(created) << created.error().message();
  };
  create_object(
      api::Service::kType,
      R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"default"},
                    "spec":{"clusterIP":"127.64.0.77","ports":[{"port":18080,"targetPort":)" +
          std::to_string(port) + "}]}}");
  create_object(
      api::Endpoints::kType,
      R"({"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"s","namespace":"default"},
                    "subsets":[{"addresses":[{"ip":"127.0.0.1"}],"ports":[{"port":)" +
          std::to_string(port) + "}]}]}");
  kube::RestConfig config;
  config.server = "http://127.64.0.77:18080";
  const auto through = kube::Client::create(config);
  EXPECT_TRUE(
      wait([&] { return (*through)->get(ctx_, api::Node::kType, {"", "local"}).has_value(); }));
  ASSERT_TRUE(client_->remove(ctx_, api::Endpoints::kType, {"default", "s"}));
  // A connection that exists goes on; a new one is refused.
  EXPECT_TRUE(wait([&] {
    const auto again = kube::Client::create(config);
    return !(*again)->get(ctx_.with_timeout(2s), api::Node::kType, {"", "local"}).has_value();
  }));
}

TEST_F(NodeAgentTest, ANewAgentStartsPodsAnewAndKeepsCounting) {
  create(shell_pod("stay", "echo run; sleep 600"));
  ASSERT_TRUE(wait_ready("stay"));
  const std::string ip = get("stay").status.pod_ip;
  agent_.reset();
  start_agent();
  ASSERT_TRUE(wait([&] {
    return is_ready("stay") && get("stay").status.container_statuses[0].restart_count == 1;
  })) << json::dump_pretty(json::encode(get("stay").status));
  EXPECT_EQ(get("stay").status.pod_ip, ip);
  EXPECT_EQ(get("stay").status.container_statuses[0].last_state.terminated->reason,
            "ContainerStatusUnknown");
}

TEST_F(NodeAgentTest, NothingIsWrittenInSteadyState) {
  create(shell_pod("calm", "sleep 600",
                   R"(,"readinessProbe":{"exec":{"command":["true"]},"periodSeconds":1})"));
  ASSERT_TRUE(wait_ready("calm"));
  std::this_thread::sleep_for(500ms);
  const auto versions = [&] {
    return get("calm").metadata.resource_version + "/" +
           kube::get<api::Node>(ctx_, *client_, {"", "local"})->metadata.resource_version;
  };
  const std::string before = versions();
  std::this_thread::sleep_for(2500ms);
  EXPECT_EQ(versions(), before);
}

}  // namespace
}  // namespace nodeagent

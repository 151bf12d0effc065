#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "api/apps.h"
#include "api/core/config.h"
#include "api/core/namespace.h"
#include "api/core/node.h"
#include "api/core/pod.h"
#include "api/core/service.h"
#include "api/nodeclaim/nodeclaim.h"
#include "api/workspace/workspace.h"
#include "base/file.h"
#include "base/random.h"
#include "counting_client.h"
#include "json/yaml.h"
#include "kube/rest/client.h"
#include "provision/cloud/local/local_provider.h"
#include "provision/provisioner.h"
#include "server_under_test.h"
#include "workspace/operator.h"

namespace {

using base::ErrorCode;
using conformance::context;
using conformance::eventually;
using testing::HasSubstr;
using workspace::NodeProvisioner;
using namespace std::chrono_literals;

constexpr api::ResourceType kCrd{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                 "CustomResourceDefinition", false};
/// Long enough for every event on the way to arrive and be worked on.
constexpr auto kQuiet = 600ms;

json::Value parse(const std::string& text) { return json::parse(text).value(); }

/// One operator against the server under test. The test plays what else a cluster has: whoever
/// makes pods of StatefulSets, node agents and the garbage collector.
class WorkspaceTest : public testing::Test {
 protected:
  void SetUp() override {
    client = kube::Client::create(conformance::server_under_test()).value();
    counting = std::make_unique<CountingClient>(*client);
    for (const char* file : {"kaito.sh_workspaces.yaml", "karpenter.sh_nodeclaims.yaml",
                             "karpenter.sh_machines.yaml"}) {
      apply_crd(std::string(KAITO_SOURCE_DIR "/config/crd/") + file);
    }
    for (const auto& type : {api::Workspace::kType, api::NodeClaim::kType}) {
      ASSERT_TRUE(eventually(
          [&] { return provision::has_resource(context(), *client, type).value_or(false); }));
    }
    api::Namespace wanted;
    wanted.metadata.name = ns;
    ASSERT_TRUE(kube::create(context(), *client, wanted));
  }

  void TearDown() override {
    if (!client) return;
    running.reset();
    provisioner.reset();
    kube::ListOptions in_namespace;
    in_namespace.ns = ns;
    kube::ListOptions labelled;
    labelled.label_selector = "kaito.sh/workspacenamespace=" + ns;
    take_apart(api::Workspace::kType, in_namespace);
    take_apart(api::StatefulSet::kType, in_namespace);
    take_apart(api::Pod::kType, in_namespace);
    take_apart(api::NodeClaim::kType, labelled);
    take_apart(api::Node::kType, labelled);
    labelled.label_selector = "suite=" + ns;
    take_apart(api::Node::kType, labelled);
    (void)kube::remove<api::Namespace>(context(), *client, {"", ns});
  }

  void take_apart(const api::ResourceType& type, const kube::ListOptions& which) const {
    const auto list = client->list(context(), type, which);
    if (!list) return;
    for (const auto& item : list->items) {
      const api::ObjectKey key{std::string(json::find_string(item, "metadata.namespace")),
                               std::string(json::find_string(item, "metadata.name"))};
      (void)client->patch(context(), type, key, kube::PatchType::Merge,
                          parse(R"({"metadata":{"finalizers":null}})"));
      kube::DeleteOptions at_once;
      at_once.grace_period_seconds = 0;
      (void)client->remove(context(), type, key, at_once);
    }
  }

  void apply_crd(const std::string& file) const {
    const auto documents = json::parse_yaml(base::read_file(file).value()).value();
    const std::string name(json::find_string(documents.at(0).value, "metadata.name"));
    kube::WriteOptions options;
    options.field_manager = "conformance";
    options.force = true;
    const auto applied = client->patch(context(), kCrd, {"", name}, kube::PatchType::Apply,
                                       documents.at(0).value, options);
    ASSERT_TRUE(applied) << applied.error().message();
  }

  void start_operator(NodeProvisioner kind) {
    workspace::Options options;
    options.provisioner = kind;
    options.cloud = "local";
    options.preset_registry = "registry.test";
    options.runtime_image = "runtime.test:1";
    options.canary_interval = 100ms;
    running = std::make_unique<workspace::Operator>(workspace::Operator::Deps{
        *counting,
        clock,
        {},
        options,
        [this](const base::Context&, const workspace::CanaryTarget&) -> base::Result<std::string> {
          if (!answers) return base::Error(ErrorCode::Unavailable, "nobody answers");
          return std::string();
        }});
    const auto started = running->start(base::Context());
    ASSERT_TRUE(started) << started.error().message();
  }

  void start_provisioner() {
    provisioner = std::make_unique<provision::Provisioner>(provision::Provisioner::Deps{
        *client, clock, {}, [](kube::Client& c, kube::EventRecorder& events) {
          return std::make_unique<provision::LocalProvider>(provision::LocalProvider::Deps{
              c, events, {.name = "box", .cpus = 2, .memory_bytes = 8LL << 30}});
        }});
    const auto started = provisioner->start(base::Context());
    ASSERT_TRUE(started) << started.error().message();
  }

  // --- what users do ---

  void create_workspace(
      const std::string& inference = R"({"preset":{"name":"phi-3-mini-4k-instruct"}})",
      const std::string& instance_type = "") const {
    const auto made = client->create(context(), api::Workspace::kType,
                                     parse(fmt::format(
                                         R"({{"apiVersion":"kaito.sh/v1beta1","kind":"Workspace",
                 "metadata":{{"namespace":"{0}","name":"w"}},
                 "resource":{{"instanceType":"{1}","labelSelector":{{"matchLabels":{{"suite":"{0}"}}}}}},
                 "inference":{2}}})",
                                         ns, instance_type, inference)));
    ASSERT_TRUE(made) << made.error().message();
  }
  void patch(const api::ResourceType& type, const std::string& name, const std::string& text,
             const std::string& subresource = "") const {
    kube::WriteOptions options;
    options.subresource = subresource;
    const auto patched = client->patch(context(), type, {type.namespaced ? ns : "", name},
                                       kube::PatchType::Merge, parse(text), options);
    ASSERT_TRUE(patched) << patched.error().message();
  }

  // --- what the rest of a cluster does ---

  void make_node_ready(const std::string& name) const {
    patch(
        api::Node::kType, name,
        R"({"status":{"capacity":{"nvidia.com/gpu":"1"},"conditions":[{"type":"Ready","status":"True",
              "reason":"T","message":"m","lastHeartbeatTime":"2026-11-24T18:00:00Z",
              "lastTransitionTime":"2026-11-24T18:00:00Z"}]}})",
        "status");
    patch(api::Node::kType, name, R"({"spec":{"taints":null}})");
  }
  std::string make_node() const {
    const std::string name = ns + "-node";
    api::Node node;
    node.metadata.name = name;
    node.metadata.labels = {{"suite", ns}};
    EXPECT_TRUE(kube::create(context(), *client, node));
    make_node_ready(name);
    return name;
  }
  /// The pod `w-0` of the StatefulSet as it is now, running and ready.
  void run_pod(const std::string& node) const {
    const auto set = kube::get<api::StatefulSet>(context(), *client, {ns, "w"});
    ASSERT_TRUE(set) << set.error().message();
    api::Pod pod;
    pod.metadata.ns = ns;
    pod.metadata.name = "w-0";
    pod.metadata.labels = set->spec.pod_template.metadata.labels;
    pod.metadata.annotations = set->spec.pod_template.metadata.annotations;
    pod.metadata.owner_references = {api::controller_reference(*set)};
    pod.spec = set->spec.pod_template.spec;
    pod.spec.node_name = node;
    pod.spec.containers[0].resources = {};
    const auto made = kube::create(context(), *client, pod);
    ASSERT_TRUE(made) << made.error().message();
    patch(
        api::Pod::kType, "w-0",
        R"({"status":{"phase":"Running","podIP":"10.1.2.3","conditions":[{"type":"Ready","status":"True"}],
              "containerStatuses":[{"name":"w","ready":true,"restartCount":0,"image":"i","imageID":"",
              "state":{"running":{"startedAt":"2026-11-24T18:00:00Z"}}}]}})",
        "status");
    patch(api::StatefulSet::kType, "w",
          fmt::format(R"({{"status":{{"replicas":1,"readyReplicas":1,"observedGeneration":{}}}}})",
                      set->metadata.generation),
          "status");
  }
  void end_pod() const {
    kube::DeleteOptions at_once;
    at_once.grace_period_seconds = 0;
    (void)kube::remove<api::Pod>(context(), *client, {ns, "w-0"}, at_once);
  }

  // --- what can be seen ---

  template <class T>
  bool exists(const std::string& name) const {
    const auto found = kube::get<T>(context(), *client, {T::kType.namespaced ? ns : "", name});
    return found || found.error().code() != ErrorCode::NotFound;
  }
  api::Workspace live() const {
    return kube::get<api::Workspace>(context(), *client, {ns, "w"}).value_or(api::Workspace());
  }
  std::string said(std::string_view type) const {
    const api::Workspace found = live();
    const auto* condition = api::find_condition(found.status.conditions, type);
    return condition ? condition->status + " " + condition->reason : "absent";
  }
  bool says(std::string_view type, std::string_view text) const {
    const bool seen = eventually([&] { return said(type) == text; });
    if (!seen) ADD_FAILURE() << type << " is " << said(type) << " and not " << text;
    return seen;
  }
  std::vector<std::string> claims() const {
    kube::ListOptions mine;
    mine.label_selector = "kaito.sh/workspacenamespace=" + ns;
    std::vector<std::string> names;
    const auto found = kube::list<api::NodeClaim>(context(), *client, mine).value();
    for (const auto& claim : found) {
      names.push_back(claim.metadata.name + " " + claim.metadata.uid);
    }
    return names;
  }
  std::uint64_t writes_once_quiet() const {
    std::this_thread::sleep_for(kQuiet);
    return counting->writes();
  }
  /// A workspace on a node of the user's, with everything ready.
  void settle_byo() {
    const std::string node = make_node();
    start_operator(NodeProvisioner::Byo);
    create_workspace();
    ASSERT_TRUE(eventually([&] { return exists<api::StatefulSet>("w"); }));
    run_pod(node);
    ASSERT_TRUE(says("Ready", "True workspaceReady"));
  }
  void settle_provisioned() {
    start_provisioner();
    start_operator(NodeProvisioner::NodeClaim);
    create_workspace(R"({"preset":{"name":"phi-3-mini-4k-instruct"}})", "Standard_NC24ads_A100_v4");
    ASSERT_TRUE(eventually([&] { return claims().size() == 1; }));
    const std::string claim = claims()[0].substr(0, claims()[0].find(' '));
    ASSERT_TRUE(eventually([&] { return exists<api::Node>(claim); }));
    EXPECT_FALSE(exists<api::StatefulSet>("w")) << "no workload before its node is ready";
    make_node_ready(claim);
    ASSERT_TRUE(eventually([&] { return exists<api::StatefulSet>("w"); }));
    run_pod(claim);
    ASSERT_TRUE(says("Ready", "True workspaceReady"));
  }

  const std::string ns = "workspace-" + base::random_name_suffix(6);
  base::RealClock clock;
  std::atomic<bool> answers = true;
  std::unique_ptr<kube::Client> client;
  std::unique_ptr<CountingClient> counting;
  std::unique_ptr<provision::Provisioner> provisioner;
  std::unique_ptr<workspace::Operator> running;
};

TEST_F(WorkspaceTest, NeedsFiveWritesUntilAWorkloadOnBroughtNodesExists) {
  make_node();
  start_operator(NodeProvisioner::Byo);
  create_workspace();
  ASSERT_TRUE(eventually([&] { return exists<api::StatefulSet>("w"); }));
  EXPECT_LE(writes_once_quiet(), 5U) << "finalizer, two Services, StatefulSet, status";
  EXPECT_TRUE(exists<api::Service>("w"));
  EXPECT_TRUE(exists<api::Service>("w-headless"));
  EXPECT_EQ(said("ResourceReady"), "True workspaceResourceStatusSuccess");
  EXPECT_EQ(said("WorkspaceReady"), "False WorkspaceInferenceStatusPending");
  EXPECT_EQ(live().status.state, "Pending");
  EXPECT_EQ(live().metadata.finalizers, std::vector<std::string>{"workspace.finalizer.kaito.sh"});
}

TEST_F(WorkspaceTest, WritesNothingOnceAllIsAsItShouldBe) {
  settle_byo();
  const auto before = writes_once_quiet();
  EXPECT_EQ(writes_once_quiet(), before);
  running.reset();
  start_operator(NodeProvisioner::Byo);
  EXPECT_EQ(writes_once_quiet(), before) << "a new process finds all as it should be";
  EXPECT_EQ(said("Ready"), "True workspaceReady");
}

TEST_F(WorkspaceTest, IsReadyOnlyAsLongAsAPodGivesTokens) {
  answers = false;
  const std::string node = make_node();
  start_operator(NodeProvisioner::Byo);
  create_workspace();
  ASSERT_TRUE(eventually([&] { return exists<api::StatefulSet>("w"); }));
  run_pod(node);
  ASSERT_TRUE(says("WorkspaceReady", "False CanaryFailed"));
  EXPECT_EQ(said("InferenceReady"), "True WorkspaceInferenceStatusSuccess");
  EXPECT_EQ(live().status.state, "Pending");
  answers = true;
  ASSERT_TRUE(says("WorkspaceReady", "True workspaceReady"));
  EXPECT_EQ(live().status.state, "Ready");
  answers = false;
  ASSERT_TRUE(says("WorkspaceReady", "False CanaryFailed"));
  EXPECT_EQ(live().status.state, "NotReady");
}

TEST_F(WorkspaceTest, CorrectsItsServices) {
  settle_byo();
  const auto service = [&] {
    return kube::get<api::Service>(context(), *client, {ns, "w"}).value_or(api::Service());
  };
  patch(api::Service::kType, "w",
        R"({"spec":{"ports":[{"name":"http","port":80,"targetPort":1234,"protocol":"TCP"}]}})");
  EXPECT_TRUE(eventually([&] {
    return service().spec.ports.size() == 2 &&
           json::dump(service().spec.ports[0].target_port.to_json()) == "5000";
  }));
  patch(api::Service::kType, "w", R"({"spec":{"selector":{"extra":"label"}}})");
  EXPECT_TRUE(eventually([&] { return service().spec.selector.size() == 1; }));
  patch(api::Workspace::kType, "w", R"({"metadata":{"annotations":{"kaito.sh/enablelb":"True"}}})");
  EXPECT_TRUE(eventually([&] { return service().spec.type == "LoadBalancer"; }));
  EXPECT_EQ(service().spec.ports.size(), 1U);
  patch(api::Workspace::kType, "w", R"({"metadata":{"annotations":null}})");
  EXPECT_TRUE(eventually([&] { return service().spec.type == "ClusterIP"; }));
  ASSERT_TRUE(kube::remove<api::Service>(context(), *client, {ns, "w-headless"}));
  EXPECT_TRUE(eventually([&] { return exists<api::Service>("w-headless"); }));
  const auto before = writes_once_quiet();
  EXPECT_EQ(writes_once_quiet(), before);
}

TEST_F(WorkspaceTest, LeavesAServiceOfSomebodyElseAlone) {
  make_node();
  const auto foreign = client->create(
      context(), api::Service::kType,
      parse(fmt::format(
          R"({{"apiVersion":"v1","kind":"Service","metadata":{{"namespace":"{}","name":"w"}},
           "spec":{{"ports":[{{"port":1}}]}}}})",
          ns)));
  ASSERT_TRUE(foreign) << foreign.error().message();
  start_operator(NodeProvisioner::Byo);
  create_workspace();
  EXPECT_TRUE(eventually([&] {
    const auto found = live();
    const auto* condition = api::find_condition(found.status.conditions, "WorkspaceReady");
    return condition &&
           condition->message.find("does not belong to this workspace") != std::string::npos;
  }));
  const auto service = kube::get<api::Service>(context(), *client, {ns, "w"}).value();
  EXPECT_EQ(service.spec.ports.at(0).port, 1);
}

TEST_F(WorkspaceTest, RollsTheWorkloadWhenTheTemplateChanges) {
  make_node();
  start_operator(NodeProvisioner::Byo);
  create_workspace(R"({"template":{"spec":{"containers":[{"name":"c","image":"i:1",
      "resources":{"requests":{"cpu":0.5}},"env":[{"name":"A","value":"1"}]}]}}})");
  ASSERT_TRUE(eventually([&] { return exists<api::StatefulSet>("w"); }))
      << json::dump(json::write_value(live().status));
  const auto before = writes_once_quiet();
  // However the server spells half a CPU, another event makes no write.
  patch(api::Workspace::kType, "w", R"({"metadata":{"labels":{"touched":"1"}}})");
  EXPECT_EQ(writes_once_quiet(), before);
  patch(api::Workspace::kType, "w",
        R"({"inference":{"template":{"spec":{"containers":[{"name":"c","image":"i:2"}]}}}})");
  EXPECT_TRUE(eventually([&] {
    const auto set = kube::get<api::StatefulSet>(context(), *client, {ns, "w"});
    const auto& container = set->spec.pod_template.spec.containers.at(0);
    return container.image == "i:2" && container.env.empty();
  })) << "what the template no longer says is gone";
}

TEST_F(WorkspaceTest, FollowsTheConfigMapItNames) {
  make_node();
  start_operator(NodeProvisioner::Byo);
  create_workspace(R"({"preset":{"name":"phi-3-mini-4k-instruct"},"config":"c"})");
  ASSERT_TRUE(says("Ready", "False ConfigMapNotFound"));
  EXPECT_FALSE(exists<api::StatefulSet>("w"));
  api::ConfigMap config;
  config.metadata.ns = ns;
  config.metadata.name = "c";
  config.data = {{"inference_config.yaml", "vllm:\n  max-model-len: 2048\n"}};
  ASSERT_TRUE(kube::create(context(), *client, config));
  const auto command = [&]() -> std::string {
    const auto set = kube::get<api::StatefulSet>(context(), *client, {ns, "w"});
    return set ? json::dump(json::write_value(set->spec.pod_template.spec.containers.at(0).command))
               : "no workload";
  };
  EXPECT_TRUE(eventually([&] { return command().find("\"2048\"") != std::string::npos; }))
      << command();
  patch(api::ConfigMap::kType, "c",
        R"({"data":{"inference_config.yaml":"vllm:\n  max-model-len: 1024\n"}})");
  EXPECT_TRUE(eventually([&] { return command().find("\"1024\"") != std::string::npos; }))
      << command();
}

TEST_F(WorkspaceTest, ForgetsNodesThatNoLongerMatch) {
  settle_byo();
  EXPECT_EQ(live().status.worker_nodes.size(), 1U);
  patch(api::Node::kType, ns + "-node", R"({"metadata":{"labels":{"suite":"other"}}})");
  EXPECT_TRUE(eventually([&] { return live().status.worker_nodes.empty(); }));
  ASSERT_TRUE(says("Ready", "False workspaceResourceStatusNotReady"));
  const auto before = writes_once_quiet();
  patch(api::Workspace::kType, "w", R"({"metadata":{"labels":{"touched":"1"}}})");
  EXPECT_EQ(writes_once_quiet(), before);
  patch(api::Node::kType, ns + "-node",
        fmt::format(R"({{"metadata":{{"labels":{{"suite":"{}"}}}}}})", ns));
  EXPECT_TRUE(says("Ready", "True workspaceReady"));
}

TEST_F(WorkspaceTest, GetsANodeServesAndGivesItBack) {
  settle_provisioned();
  EXPECT_EQ(said("NodeClaimReady"), "True NodeClaimsReady");
  const std::string claim = claims().at(0).substr(0, claims().at(0).find(' '));

  ASSERT_TRUE(kube::remove<api::Workspace>(context(), *client, {ns, "w"}));
  ASSERT_TRUE(eventually([&] { return !exists<api::StatefulSet>("w"); }));
  std::this_thread::sleep_for(kQuiet);
  if (exists<api::Pod>("w-0")) {
    EXPECT_EQ(claims().size(), 1U) << "pods end before their node goes";
    EXPECT_TRUE(exists<api::Workspace>("w"));
    EXPECT_EQ(said("WorkspaceDeleting"), "True workspaceDeleted");
    end_pod();
  }
  EXPECT_TRUE(eventually([&] { return !exists<api::Workspace>("w"); }));
  EXPECT_TRUE(claims().empty()) << "the finalizer goes last";
  EXPECT_FALSE(exists<api::Node>(claim));
}

TEST_F(WorkspaceTest, MakesNoClaimTwice) {
  start_operator(NodeProvisioner::NodeClaim);
  create_workspace(R"({"preset":{"name":"phi-3-mini-4k-instruct"}})", "Standard_NC24ads_A100_v4");
  ASSERT_TRUE(eventually([&] { return claims().size() == 1; }));
  running.reset();  // Wherever it was.
  const auto first = claims();
  start_operator(NodeProvisioner::NodeClaim);
  std::this_thread::sleep_for(kQuiet);
  EXPECT_EQ(claims(), first);
  patch(api::Workspace::kType, "w", R"({"metadata":{"labels":{"touched":"1"}}})");
  std::this_thread::sleep_for(kQuiet);
  EXPECT_EQ(claims(), first);
}

TEST_F(WorkspaceTest, ReplacesAClaimThatSomebodyDeleted) {
  start_operator(NodeProvisioner::NodeClaim);
  create_workspace(R"({"preset":{"name":"phi-3-mini-4k-instruct"}})", "Standard_NC24ads_A100_v4");
  ASSERT_TRUE(eventually([&] { return claims().size() == 1; }));
  const auto first = claims();
  const std::string name = first[0].substr(0, first[0].find(' '));
  patch(api::NodeClaim::kType, name, R"({"metadata":{"finalizers":["test.kaito.sh/hold"]}})");
  ASSERT_TRUE(kube::remove<api::NodeClaim>(context(), *client, {"", name}));
  std::this_thread::sleep_for(kQuiet);
  EXPECT_EQ(claims(), first) << "not while its machine may still be there";
  patch(api::NodeClaim::kType, name, R"({"metadata":{"finalizers":null}})");
  EXPECT_TRUE(eventually([&] { return claims().size() == 1 && claims() != first; }));
}

}  // namespace

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "api/core/event.h"
#include "api/core/namespace.h"
#include "api/core/node.h"
#include "api/nodeclaim/machine.h"
#include "api/nodeclaim/nodeclaim.h"
#include "base/file.h"
#include "base/random.h"
#include "counting_client.h"
#include "json/yaml.h"
#include "kube/rest/client.h"
#include "provision/cloud/fake/fake_provider.h"
#include "provision/cloud/local/local_provider.h"
#include "provision/drain.h"
#include "provision/provisioner.h"
#include "server_under_test.h"

namespace {

using base::ErrorCode;
using conformance::context;
using conformance::eventually;
using provision::PodSummary;
using testing::Contains;
using namespace std::chrono_literals;

constexpr api::ResourceType kCrd{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                 "CustomResourceDefinition", false};

class Provision : public testing::Test {
 protected:
  void SetUp() override {
    client = kube::Client::create(conformance::server_under_test()).value();
    counting = std::make_unique<CountingClient>(*client);
    for (const char* file : {"karpenter.sh_nodeclaims.yaml", "karpenter.sh_machines.yaml"}) {
      apply_crd(std::string(KAITO_SOURCE_DIR "/config/crd/") + file);
    }
    ASSERT_TRUE(eventually([&] {
      return provision::has_resource(context(), *client, api::NodeClaim::kType).value_or(false) &&
             provision::has_resource(context(), *client, api::Machine::kType).value_or(false);
    }));
  }

  void TearDown() override {
    if (!client) return;
    // Whatever a failed test left: taken apart by hand.
    provisioner.reset();
    for (const auto& type : {api::NodeClaim::kType, api::Machine::kType, api::Node::kType}) {
      const auto list = client->list(context(), type, {});
      if (!list) continue;
      for (const auto& item : list->items) {
        const api::ObjectKey key{"", std::string(json::find_string(item, "metadata.name"))};
        if (key.name.find(suffix) == std::string::npos) continue;
        strip_finalizers(type, key);
        (void)client->remove(context(), type, key);
      }
    }
    if (!ns.empty()) (void)kube::remove<api::Namespace>(context(), *client, {"", ns});
  }

  void apply_crd(const std::string& file) const {
    const std::string yaml = base::read_file(file).value();
    const auto documents = json::parse_yaml(yaml).value();
    const std::string name(json::find_string(documents.at(0).value, "metadata.name"));
    kube::WriteOptions options;
    options.field_manager = "conformance";
    options.force = true;
    const auto applied = client->patch(context(), kCrd, {"", name}, kube::PatchType::Apply,
                                       documents.at(0).value, options);
    ASSERT_TRUE(applied) << applied.error().message();
  }
  void strip_finalizers(const api::ResourceType& type, const api::ObjectKey& key) const {
    (void)client->patch(context(), type, key, kube::PatchType::Merge,
                        json::parse(R"({"metadata":{"finalizers":null}})").value());
  }

  /// `cloud` outlives the provisioner; null takes this machine.
  void start(provision::CloudProvider* cloud = nullptr) {
    provisioner = std::make_unique<provision::Provisioner>(provision::Provisioner::Deps{
        *counting, clock, {}, [cloud](kube::Client& c, kube::EventRecorder& events) {
          return cloud
                     ? std::unique_ptr<provision::CloudProvider>(std::make_unique<Borrowed>(*cloud))
                     : std::make_unique<provision::LocalProvider>(provision::LocalProvider::Deps{
                           c, events, {.name = "box", .cpus = 2, .memory_bytes = 8LL << 30}});
        }});
    const auto started = provisioner->start(base::Context());
    ASSERT_TRUE(started) << started.error().message();
  }

  /// A cloud that belongs to the test.
  class Borrowed final : public provision::CloudProvider {
   public:
    explicit Borrowed(provision::CloudProvider& cloud) : cloud_(cloud) {}
    base::Result<provision::Instance> create(const base::Context& ctx,
                                             const provision::InstanceRequest& request) override {
      return cloud_.create(ctx, request);
    }
    base::Status remove(const base::Context& ctx, const std::string& id) override {
      return cloud_.remove(ctx, id);
    }
    base::Result<provision::Instance> get(const base::Context& ctx,
                                          const std::string& id) override {
      return cloud_.get(ctx, id);
    }
    base::Result<std::vector<provision::Instance>> list(const base::Context& ctx) override {
      return cloud_.list(ctx);
    }
    std::vector<std::string> instance_types() const override { return cloud_.instance_types(); }

   private:
    provision::CloudProvider& cloud_;
  };

  std::string name(std::string_view prefix) const { return fmt::format("{}{}", prefix, suffix); }

  api::NodeClaim claim(const std::string& claim_name,
                       const std::string& instance_type = "Standard_NC24ads_A100_v4") const {
    api::NodeClaim made;
    made.metadata.name = claim_name;
    made.metadata.labels = {{"kaito.sh/workspace", "w"}, {"kaito.sh/workspacenamespace", "d"}};
    made.spec.requirements = {{"karpenter.sh/nodepool", "In", {"kaito"}, {}},
                              {"node.kubernetes.io/instance-type", "In", {instance_type}, {}}};
    made.spec.taints = {{"sku", "gpu", "NoSchedule", {}}};
    made.spec.resources.requests = {{"storage", "10Gi"}};
    made.spec.node_class_ref = {"kaito.sh", "KaitoNodeClass", "default"};
    return made;
  }
  template <class T>
  void create(const T& object) const {
    const auto made = kube::create(context(), *client, object);
    ASSERT_TRUE(made) << made.error().message();
  }
  template <class T>
  bool exists(const std::string& object_name) const {
    const auto found = kube::get<T>(context(), *client, {"", object_name});
    return found || found.error().code() != ErrorCode::NotFound;
  }
  std::string condition(const std::string& claim_name, std::string_view type) const {
    const auto found = kube::get<api::NodeClaim>(context(), *client, {"", claim_name});
    if (!found) return "no claim";
    const auto* seen = api::find_condition(found->status.conditions, type);
    return seen ? seen->status + " " + seen->reason : "absent";
  }
  bool waits_for(const std::string& claim_name, std::string_view type,
                 std::string_view said) const {
    return eventually([&] { return condition(claim_name, type) == said; });
  }

  /// Plays the node agent, and the controller that takes the not-ready taint away.
  void make_ready(const std::string& node_name) const {
    const api::ObjectKey key{"", node_name};
    const auto status =
        json::parse(R"({"conditions":[{"type":"Ready","status":"True","reason":"Test",
        "message":"m","lastHeartbeatTime":"2026-11-24T18:00:00Z","lastTransitionTime":"2026-11-24T18:00:00Z"}]})");
    ASSERT_TRUE(kube::patch_status<api::Node>(context(), *client, key, *status));
    auto node = kube::get<api::Node>(context(), *client, key).value();
    std::erase_if(node.spec.taints,
                  [](const auto& t) { return t.key == "node.kubernetes.io/not-ready"; });
    const json::Object patch{
        {"spec", json::Object{{"taints", json::write_value(node.spec.taints)}}}};
    ASSERT_TRUE(client->patch(context(), api::Node::kType, key, kube::PatchType::Merge, patch));
  }
  void make_namespace() {
    ns = name("conformance-");
    api::Namespace wanted;
    wanted.metadata.name = ns;
    create(wanted);
  }
  void run_pod(const std::string& pod_name, const std::string& node_name) const {
    const auto pod = json::parse(fmt::format(
        R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"{}","name":"{}"}},
             "spec":{{"nodeName":"{}","containers":[{{"name":"c","image":"i"}}]}}}})",
        ns, pod_name, node_name));
    const auto made = client->create(context(), PodSummary::kType, *pod);
    ASSERT_TRUE(made) << made.error().message();
  }
  /// Plays the node agent: the pod has ended.
  void end_pod(const std::string& pod_name) const {
    kube::DeleteOptions at_once;
    at_once.grace_period_seconds = 0;
    (void)kube::remove<PodSummary>(context(), *client, {ns, pod_name}, at_once);
  }
  void make_running_claim(const std::string& claim_name) {
    create(claim(claim_name));
    ASSERT_TRUE(waits_for(claim_name, "Registered", "True Registered"));
    make_ready(claim_name);
    ASSERT_TRUE(waits_for(claim_name, "Ready", "True Ready"));
  }
  std::vector<std::string> events_of(const std::string& object_name) const {
    kube::ListOptions options;
    options.ns = "default";
    options.field_selector = "involvedObject.name=" + object_name;
    std::vector<std::string> reasons;
    const auto events = kube::list<api::Event>(context(), *client, options).value();
    for (const auto& event : events) {
      reasons.push_back(event.involved_object.kind + " " + event.reason);
    }
    return reasons;
  }

  const std::string suffix = base::random_name_suffix(6);
  std::string ns;
  base::RealClock clock;
  std::unique_ptr<kube::Client> client;
  std::unique_ptr<CountingClient> counting;
  std::unique_ptr<provision::Provisioner> provisioner;
};

TEST_F(Provision, AClaimBecomesANodeOfThisMachine) {
  start();
  const std::string ws = name("ws");
  create(claim(ws));
  ASSERT_TRUE(waits_for(ws, "Registered", "True Registered"));
  EXPECT_EQ(condition(ws, "Launched"), "True Launched");
  EXPECT_EQ(condition(ws, "Initialized"), "Unknown NodeNotReady");
  make_ready(ws);
  ASSERT_TRUE(waits_for(ws, "Ready", "True Ready"));

  const auto made = kube::get<api::NodeClaim>(context(), *client, {"", ws}).value();
  EXPECT_THAT(made.metadata.finalizers, Contains("karpenter.sh/termination"));
  EXPECT_EQ(made.status.provider_id, "local://box/" + ws);
  EXPECT_EQ(made.status.node_name, ws);
  EXPECT_EQ(made.status.image_id, "local");
  EXPECT_EQ(made.status.capacity.at("nvidia.com/gpu").text, "1");
  const auto node = kube::get<api::Node>(context(), *client, {"", ws}).value();
  EXPECT_EQ(node.metadata.labels.at("karpenter.sh/initialized"), "true");
  EXPECT_EQ(node.metadata.labels.at("karpenter.sh/registered"), "true");
  EXPECT_EQ(node.metadata.labels.at("kaito.sh/local-node"), "true");
  EXPECT_EQ(node.status.allocatable.at("nvidia.com/gpu").text, "1");
  EXPECT_EQ(node.metadata.owner_references.at(0).uid, made.metadata.uid);
  EXPECT_TRUE(eventually([&] { return events_of(ws).size() >= 2; }));
  EXPECT_THAT(events_of(ws),
              testing::IsSupersetOf({"Node SimulatedCapacity", "NodeClaim SimulatedCapacity"}));
}

TEST_F(Provision, WritesNothingOnceAllIsAsItShouldBe) {
  start();
  const std::string ws = name("ws");
  make_running_claim(ws);
  ASSERT_TRUE(eventually([&] { return events_of(ws).size() >= 2; }));
  const auto before = counting->writes();
  EXPECT_LE(before, 9U) << "finalizer, node (1 or 2), status (3 or 4), label, events (2)";
  // A new process looks at everything anew.
  provisioner.reset();
  start();
  std::this_thread::sleep_for(500ms);
  EXPECT_EQ(counting->writes(), before);
}

TEST_F(Provision, DeletingAClaimEmptiesItsNodeFirst) {
  start();
  make_namespace();
  const std::string ws = name("ws");
  make_running_claim(ws);
  run_pod("p", ws);
  ASSERT_TRUE(kube::remove<api::NodeClaim>(context(), *client, {"", ws}));
  ASSERT_TRUE(eventually([&] {
    const auto pod = kube::get<PodSummary>(context(), *client, {ns, "p"});
    return !pod || pod->metadata.deleting();
  })) << "the pod is asked to end";
  const auto node = kube::get<api::Node>(context(), *client, {"", ws});
  if (kube::get<PodSummary>(context(), *client, {ns, "p"})) {
    ASSERT_TRUE(node) << "the node stays while a pod ends";
    EXPECT_TRUE(node->spec.unschedulable);
    EXPECT_TRUE(exists<api::NodeClaim>(ws));
    end_pod("p");
  }
  EXPECT_TRUE(eventually([&] { return !exists<api::Node>(ws); }));
  EXPECT_TRUE(eventually([&] { return !exists<api::NodeClaim>(ws); }));
}

TEST_F(Provision, DeletingANodeEndsItsClaim) {
  start();
  const std::string ws = name("ws");
  make_running_claim(ws);
  ASSERT_TRUE(kube::remove<api::Node>(context(), *client, {"", ws}));
  EXPECT_TRUE(eventually([&] { return !exists<api::Node>(ws) && !exists<api::NodeClaim>(ws); }));
}

TEST_F(Provision, AClaimEndsWithAMachineThatVanished) {
  start();
  const std::string ws = name("ws");
  make_running_claim(ws);
  ASSERT_TRUE(kube::remove<api::Node>(context(), *client, {"", ws}));
  strip_finalizers(api::Node::kType, {"", ws});
  EXPECT_TRUE(eventually([&] { return !exists<api::NodeClaim>(ws); }));
}

TEST_F(Provision, FinishesADeletionThatAnEarlierProcessBegan) {
  start();
  const std::string ws = name("ws");
  make_running_claim(ws);
  provisioner.reset();
  ASSERT_TRUE(kube::remove<api::NodeClaim>(context(), *client, {"", ws}));
  EXPECT_TRUE(exists<api::NodeClaim>(ws));
  start();
  EXPECT_TRUE(eventually([&] { return !exists<api::Node>(ws) && !exists<api::NodeClaim>(ws); }));
}

TEST_F(Provision, CollectsNodesWhoseClaimIsGone) {
  start();
  const std::string ws = name("ws");
  make_running_claim(ws);
  provisioner.reset();
  strip_finalizers(api::NodeClaim::kType, {"", ws});
  ASSERT_TRUE(kube::remove<api::NodeClaim>(context(), *client, {"", ws}));
  ASSERT_TRUE(eventually([&] { return !exists<api::NodeClaim>(ws); }));
  start();
  EXPECT_TRUE(eventually([&] { return !exists<api::Node>(ws); }));
}

TEST_F(Provision, AMachineBecomesANodeToo) {
  start();
  api::Machine machine;
  machine.metadata.name = name("ws");
  machine.metadata.labels = {{"kaito.sh/workspace", "w"},
                             {"karpenter.sh/provisioner-name", "default"}};
  machine.spec.requirements = {
      {"node.kubernetes.io/instance-type", "In", {"Standard_NC6s_v3"}, {}}};
  machine.spec.machine_template_ref = {
      .kind = {}, .name = machine.metadata.name, .api_version = {}};
  create(machine);
  const auto says = [&](std::string_view type, std::string_view status) {
    return eventually([&] {
      const auto found = kube::get<api::Machine>(context(), *client, {"", machine.metadata.name});
      const auto* seen = found ? api::find_condition(found->status.conditions, type) : nullptr;
      return seen && seen->status == status;
    });
  };
  ASSERT_TRUE(says("MachineRegistered", "True"));
  make_ready(machine.metadata.name);
  EXPECT_TRUE(says("MachineInitialized", "True"));
  EXPECT_TRUE(says("Ready", "True"));
  std::this_thread::sleep_for(200ms);
  const auto before = counting->writes();
  provisioner.reset();
  start();
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(counting->writes(), before);
  ASSERT_TRUE(kube::remove<api::Machine>(context(), *client, {"", machine.metadata.name}));
  EXPECT_TRUE(eventually([&] {
    return !exists<api::Node>(machine.metadata.name) &&
           !exists<api::Machine>(machine.metadata.name);
  }));
}

TEST_F(Provision, SaysThatAnInstanceTypeIsWrong) {
  start();
  const std::string ws = name("ws");
  create(claim(ws, "no.such.type"));
  EXPECT_TRUE(waits_for(ws, "Launched", "False InstanceTypeResolutionFailed"));
  EXPECT_TRUE(waits_for(ws, "Ready", "False UnhealthyDependents"));
  EXPECT_TRUE(eventually([&] { return !events_of(ws).empty(); }));
  EXPECT_THAT(events_of(ws), Contains("NodeClaim LaunchFailed"));
  ASSERT_TRUE(kube::remove<api::NodeClaim>(context(), *client, {"", ws}));
  EXPECT_TRUE(eventually([&] { return !exists<api::NodeClaim>(ws); }));
}

TEST_F(Provision, LeavesClaimsOfOtherProvisionersAlone) {
  start();
  api::NodeClaim foreign = claim(name("other"));
  foreign.metadata.labels.clear();
  foreign.spec.node_class_ref = {"karpenter.azure.com", "AKSNodeClass", "default"};
  create(foreign);
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(counting->writes(), 0U);
}

TEST_F(Provision, TriesAgainWhenTheCloudHasNoMachine) {
  provision::FakeProvider cloud;
  cloud.fail_creates(base::Error(ErrorCode::Unavailable, "none free in this region"));
  start(&cloud);
  const std::string ws = name("ws");
  create(claim(ws));
  ASSERT_TRUE(waits_for(ws, "Launched", "Unknown InsufficientCapacityError"));
  cloud.fail_creates(std::nullopt);
  ASSERT_TRUE(waits_for(ws, "Launched", "True Launched"));
  EXPECT_EQ(cloud.started(), 1U);
  EXPECT_EQ(condition(ws, "Registered"), "Unknown NodeNotFound");

  // The machine comes up and registers a Node under a name of its own.
  api::Node node;
  node.metadata.name = name("vm");
  node.spec.provider_id = "fake:///" + ws;
  create(node);
  ASSERT_TRUE(waits_for(ws, "Registered", "True Registered"));
  const auto live = kube::get<api::Node>(context(), *client, {"", node.metadata.name}).value();
  EXPECT_EQ(live.metadata.labels.at("kaito.sh/workspace"), "w");
  EXPECT_THAT(live.metadata.finalizers, Contains("karpenter.sh/termination"));
  EXPECT_THAT(live.spec.taints, Contains(testing::Field(&api::Taint::key, "sku")));

  ASSERT_TRUE(kube::remove<api::NodeClaim>(context(), *client, {"", ws}));
  EXPECT_TRUE(eventually([&] { return !exists<api::NodeClaim>(ws); }));
  EXPECT_FALSE(exists<api::Node>(node.metadata.name));
  EXPECT_TRUE(cloud.list(context()).value().empty());
}

}  // namespace

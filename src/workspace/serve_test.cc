#include "workspace/serve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workspace/testing.h"

namespace workspace {
namespace {

using ::testing::HasSubstr;
using namespace workspace::testing;

json::Value parse(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value) << text;
  return *std::move(value);
}

ServePlan plan(const Observed& seen, const Options& chosen = options()) {
  return plan_serving(seen, plan_nodes(seen, chosen), chosen);
}

const json::Value& object(const ServePlan& made, std::size_t index) {
  EXPECT_LT(index, made.objects.size());
  return made.objects.at(index).object;
}
const json::Value& stateful_set(const ServePlan& made) { return object(made, 2); }
const json::Value& pod_spec(const ServePlan& made) {
  return *json::find(stateful_set(made), "spec.template.spec");
}
const json::Value& main_container(const ServePlan& made) {
  return json::find_array(pod_spec(made), "containers")->at(0);
}
std::string dump(const json::Value& root, std::string_view path) {
  const json::Value* found = json::find(root, path);
  return found ? json::dump_canonical(*found) : "absent";
}

TEST(PlanServing, MakesTheServicesOfUpstream) {
  const ServePlan made = plan(observed(preset_workspace()));
  ASSERT_EQ(made.objects.size(), 3U);
  const json::Value& service = object(made, 0);
  EXPECT_EQ(json::find_string(service, "metadata.name"), "w");
  EXPECT_EQ(json::find_string(service, "metadata.namespace"), "d");
  EXPECT_EQ(json::find_string(service, "spec.type"), "ClusterIP");
  EXPECT_EQ(dump(service, "spec.selector"), R"({"kaito.sh/workspace":"w"})");
  EXPECT_EQ(dump(service, "spec.ports"),
            R"([{"name":"http","port":80,"protocol":"TCP","targetPort":5000},)"
            R"({"name":"torch","port":29500,"protocol":"TCP","targetPort":29500}])");
  EXPECT_THAT(dump(service, "metadata.ownerReferences"), HasSubstr("\"uid\":\"uid-1\""));
  const json::Value& headless = object(made, 1);
  EXPECT_EQ(json::find_string(headless, "metadata.name"), "w-headless");
  EXPECT_EQ(json::find_string(headless, "spec.clusterIP"), "None");
  EXPECT_EQ(dump(headless, "spec.publishNotReadyAddresses"), "true");
}

TEST(PlanServing, NamesTheImageOfAModelOfTheHub) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->preset->name = "someone/New-Model";
  const ServePlan made = plan(observed(workspace));
  EXPECT_EQ(made.model_image, "registry.test/models/kaito-new-model:latest");
  EXPECT_THAT(dump(main_container(made), "command"),
              HasSubstr(R"("--served-model-name","new-model")"));
}

TEST(PlanServing, ShowsOnlyThePublicPortToTheWorld) {
  for (const char* yes : {"True", "true"}) {
    api::Workspace workspace = preset_workspace();
    workspace.metadata.annotations["kaito.sh/enablelb"] = yes;
    const ServePlan made = plan(observed(workspace));
    EXPECT_EQ(json::find_string(object(made, 0), "spec.type"), "LoadBalancer");
    EXPECT_EQ(json::find_array(object(made, 0), "spec.ports")->size(), 1U);
  }
  api::Workspace workspace = preset_workspace();
  workspace.metadata.annotations["kaito.sh/enablelb"] = "False";
  EXPECT_EQ(json::find_string(object(plan(observed(workspace)), 0), "spec.type"), "ClusterIP");
}

TEST(PlanServing, MakesAStatefulSetForThePreset) {
  api::Workspace workspace = preset_workspace();
  workspace.resource.count = 2;
  workspace.metadata.labels = {{"inferenceset.kaito.sh/created-by", "set"}, {"unrelated", "x"}};
  const ServePlan made = plan(observed(workspace));
  const json::Value& set = stateful_set(made);
  EXPECT_EQ(json::find_int(set, "spec.replicas"), 2);
  EXPECT_EQ(json::find_string(set, "spec.serviceName"), "w-headless");
  EXPECT_EQ(json::find_string(set, "spec.podManagementPolicy"), "Parallel");
  EXPECT_EQ(dump(set, "spec.selector.matchLabels"),
            R"({"inferenceset.kaito.sh/created-by":"set","kaito.sh/workspace":"w"})");
  EXPECT_EQ(dump(set, "spec.template.metadata.labels"), dump(set, "spec.selector.matchLabels"));
  EXPECT_EQ(made.model_image, "registry.test/models/kaito-phi-3-mini-4k-instruct:" +
                                  std::string(observed(workspace).preset->tag));
  const json::Value& puller = json::find_array(pod_spec(made), "initContainers")->at(0);
  EXPECT_EQ(json::find_string(puller, "name"), "model-weights-downloader");
  EXPECT_THAT(dump(puller, "command"),
              HasSubstr(R"(["kaito","model","pull",")" + made.model_image));
  const json::Value& server = main_container(made);
  EXPECT_EQ(json::find_string(server, "name"), "w");
  EXPECT_EQ(json::find_string(server, "image"), "registry.test/runtime:1");
  EXPECT_THAT(dump(server, "command"),
              HasSubstr(R"(["kaito-server","--model","/workspace/weights")"));
  EXPECT_THAT(dump(server, "command"), HasSubstr(R"("--port","5000","--chat-template","auto")"));
  EXPECT_EQ(dump(server, "resources.limits"), R"({"nvidia.com/gpu":"1"})");
  EXPECT_EQ(json::find_string(server, "startupProbe.httpGet.path"), "/health");
  EXPECT_EQ(json::find_int(server, "startupProbe.periodSeconds"), 1);
  EXPECT_EQ(json::find_int(server, "startupProbe.failureThreshold"), 30 * 60);
  EXPECT_EQ(json::find_int(server, "livenessProbe.httpGet.port"), 5000);
  EXPECT_EQ(json::find_string(server, "readinessProbe.httpGet.path"), "/health");
}

TEST(PlanServing, PlacesPodsOnTheNodesMadeForThem) {
  api::Workspace workspace = preset_workspace();
  workspace.resource.label_selector.match_expressions = {{"zone", "NotIn", {"z1"}},
                                                         {"fast", "Exists", {}}};
  const auto terms = [](const ServePlan& made) {
    return dump(pod_spec(made),
                "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
                ".nodeSelectorTerms");
  };
  const std::string selector =
      R"({"key":"apps","operator":"In","values":["phi"]},)"
      R"({"key":"zone","operator":"NotIn","values":["z1"]},{"key":"fast","operator":"Exists"})";
  EXPECT_EQ(terms(plan(observed(workspace), options(NodeProvisioner::Byo))),
            R"([{"matchExpressions":[)" + selector + "]}]");
  const std::string own =
      R"({"matchExpressions":[)" + selector +
      R"(,{"key":"kaito.sh/workspace","operator":"In","values":["w"]},)"
      R"({"key":"kaito.sh/workspacenamespace","operator":"In","values":["d"]}]})";
  EXPECT_EQ(terms(plan(observed(workspace))), "[" + own + "]");

  workspace.resource.preferred_nodes = {"mine"};
  Observed seen = observed(workspace);
  api::Node mine = free_node("mine");
  mine.metadata.labels["fast"] = "";
  add(seen, mine);
  EXPECT_EQ(terms(plan(seen)),
            "[" + own + R"(,{"matchExpressions":[)" + selector +
                R"(,{"key":"kubernetes.io/hostname","operator":"In","values":["mine"]}]}])");
  EXPECT_THAT(dump(pod_spec(plan(seen)), "tolerations"),
              HasSubstr(R"({"effect":"NoSchedule","key":"sku","operator":"Equal","value":"gpu"})"));
}

TEST(PlanServing, TakesTheContextLengthFromTheConfigMap) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->config = "c";
  Observed seen = observed(workspace);
  EXPECT_EQ(plan(seen).problem->reason, "ConfigMapNotFound");
  EXPECT_EQ(plan(seen).objects.size(), 2U) << "no workload without its configuration";

  api::ConfigMap config;
  config.data = {{"inference_config.yaml", "vllm:\n  max-model-len: 2048\n"}};
  seen.config = std::make_shared<const api::ConfigMap>(config);
  const ServePlan made = plan(seen);
  EXPECT_FALSE(made.problem);
  EXPECT_THAT(dump(main_container(made), "command"), HasSubstr(R"("--ctx-size","2048")"));

  config.data["other.yaml"] = "x";
  seen.config = std::make_shared<const api::ConfigMap>(config);
  EXPECT_NE(plan(seen).template_hash, made.template_hash) << "any change rolls the pods";
  seen.config = std::make_shared<const api::ConfigMap>(config);
  EXPECT_EQ(plan(seen).template_hash, plan(seen).template_hash);
}

TEST(PlanServing, TakesTheImageOfAPrivatePreset) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->preset->access_mode = "private";
  workspace.inference->preset->preset_options.emplace().image = "my.registry/llama:1";
  workspace.inference->preset->preset_options->image_pull_secrets = {"secret"};
  const ServePlan made = plan(observed(workspace));
  EXPECT_EQ(made.model_image, "my.registry/llama:1");
  EXPECT_EQ(dump(pod_spec(made), "imagePullSecrets"), R"([{"name":"secret"}])");
  const std::string pod = json::dump(pod_spec(made));
  EXPECT_THAT(pod, HasSubstr(R"("--authfile","/etc/kaito/model-auth/secret.json")"))
      << "the step that pulls the model has the secret, too";
  EXPECT_THAT(pod, HasSubstr(R"({"name":"model-auth","mountPath":"/etc/kaito/model-auth"})"));
}

TEST(PlanServing, ATemplateWithoutASpecIsNoCrash) {
  api::Workspace workspace = preset_workspace();
  workspace.inference->preset.reset();
  workspace.inference->pod_template = json::Object();
  const ServePlan made = plan(observed(workspace));
  EXPECT_TRUE(json::find_object(made.objects.back().object, "spec.template.spec"));
  EXPECT_TRUE(json::find_object(made.objects.back().object, "spec.template.metadata.annotations"));
}

api::Workspace template_workspace() {
  api::Workspace made = preset_workspace();
  made.inference->preset.reset();
  made.inference->pod_template = parse(R"({"metadata":{"labels":{"team":"a"}},
    "spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":1}}}],
            "tolerations":[{"key":"mine"}],
            "affinity":{"podAntiAffinity":{"x":1}}}})")
                                     .as_object();
  return made;
}

TEST(PlanServing, KeepsWhatATemplateSays) {
  const ServePlan made = plan(observed(template_workspace()));
  EXPECT_FALSE(made.problem);
  EXPECT_EQ(made.model_image, "");
  EXPECT_EQ(dump(stateful_set(made), "spec.template.metadata.labels"),
            R"({"kaito.sh/workspace":"w","team":"a"})");
  EXPECT_EQ(json::find_string(main_container(made), "image"), "i");
  EXPECT_EQ(json::find_array(pod_spec(made), "initContainers"), nullptr);
  EXPECT_THAT(dump(pod_spec(made), "tolerations"), HasSubstr(R"([{"key":"mine"},)"));
  EXPECT_EQ(dump(pod_spec(made), "affinity.podAntiAffinity"), R"({"x":1})");
  EXPECT_NE(dump(pod_spec(made), "affinity.nodeAffinity"), "absent");
}

TEST(PlanServing, NeverChangesTheSelectorOfARunningWorkload) {
  api::Workspace workspace = preset_workspace();
  Observed seen = observed(workspace);
  api::StatefulSet live;
  live.spec.selector.match_labels = {{"kaito.sh/workspace", "w"}};
  seen.stateful_set = std::make_shared<const api::StatefulSet>(live);
  workspace.metadata.labels = {{"kaito.sh/inference-role", "decode"}};
  seen.workspace = std::make_shared<const api::Workspace>(workspace);
  EXPECT_EQ(dump(stateful_set(plan(seen)), "spec.selector.matchLabels"),
            R"({"kaito.sh/workspace":"w"})");
}

TEST(PlanServing, GivesEqualPlansForEqualObservations) {
  const ServePlan a = plan(observed(preset_workspace()));
  const ServePlan b = plan(observed(preset_workspace()));
  ASSERT_EQ(a.objects.size(), b.objects.size());
  for (std::size_t i = 0; i < a.objects.size(); ++i)
    EXPECT_EQ(a.objects[i].hash, b.objects[i].hash);
  EXPECT_EQ(a.template_hash, b.template_hash);
}

struct ContainsCase {
  const char* live;
  const char* wanted;
  bool expected;
};

TEST(Contains, AllowsWhatOthersAdd) {
  for (const ContainsCase& c : {
           ContainsCase{R"({"a":1,"b":2})", R"({"a":1})", true},
           ContainsCase{R"({"a":1})", R"({"a":2})", false},
           ContainsCase{R"({"a":1})", R"({"a":1,"b":{}})", true},
           ContainsCase{R"({"a":1})", R"({"a":1,"b":""})", false},
           ContainsCase{R"([{"a":1,"x":2}])", R"([{"a":1}])", true},
           ContainsCase{R"([{"a":1},{"b":1}])", R"([{"a":1}])", false},
           ContainsCase{R"([])", R"([{"a":1}])", false},
           ContainsCase{R"({"a":{"b":[1,2]}})", R"({"a":{"b":[1,2]}})", true},
           ContainsCase{R"({"a":"1"})", R"({"a":1})", false},
           ContainsCase{R"(1)", R"({"a":1})", false},
       }) {
    EXPECT_EQ(contains(parse(c.live), parse(c.wanted)), c.expected) << c.live << " " << c.wanted;
  }
}

/// The Service as a server would keep it.
json::Value live_service() {
  json::Value live = object(plan(observed(preset_workspace())), 0);
  json::Object& spec = json::find(live, "spec")->as_object();
  spec["clusterIP"] = "10.0.0.1";
  spec["sessionAffinity"] = "None";
  return live;
}

TEST(IsUpToDate, SeesWhatSomebodyChanged) {
  const Desired wanted = plan(observed(preset_workspace())).objects[0];
  json::Value live = live_service();
  EXPECT_TRUE(is_up_to_date(wanted, live));
  EXPECT_TRUE(update_patch(wanted, live).as_array().empty());

  json::find(live, "spec.ports")->as_array()[0].as_object()["targetPort"] = 1;
  EXPECT_FALSE(is_up_to_date(wanted, live));
  EXPECT_EQ(update_patch(wanted, live).as_array().size(), 1U);

  live = live_service();
  json::find(live, "spec.selector")->as_object()["extra"] = "label";
  EXPECT_FALSE(is_up_to_date(wanted, live)) << "a selector that leaves pods out";
  EXPECT_EQ(json::dump_canonical(update_patch(wanted, live)),
            R"([{"op":"add","path":"/spec/selector","value":{"kaito.sh/workspace":"w"}}])");

  live = live_service();
  json::find(live, "spec.ports")->as_array().push_back(parse(R"({"port":9999})"));
  EXPECT_FALSE(is_up_to_date(wanted, live)) << "a port nobody asked for";
}

TEST(IsUpToDate, SeesAChangeOfWhatIsWanted) {
  api::Workspace workspace = preset_workspace();
  workspace.metadata.annotations["kaito.sh/enablelb"] = "True";
  const Desired wanted = plan(observed(workspace)).objects[0];
  const json::Value live = live_service();
  EXPECT_FALSE(is_up_to_date(wanted, live));
  const std::string patch = json::dump_canonical(update_patch(wanted, live));
  EXPECT_THAT(patch, HasSubstr(R"("path":"/metadata/annotations/kaito.sh~1object-hash")"));
  EXPECT_THAT(patch, HasSubstr(R"({"op":"add","path":"/spec/type","value":"LoadBalancer"})"));
  EXPECT_THAT(patch, HasSubstr(R"("path":"/spec/ports")"));
  EXPECT_THAT(patch, ::testing::Not(HasSubstr("clusterIP")));
}

TEST(UpdatePatch, ReplacesAWorkloadsTemplateOnlyWhenItChanged) {
  api::Workspace workspace = template_workspace();
  const json::Value live = stateful_set(plan(observed(workspace)));
  workspace.resource.count = 3;
  const auto paths = [&] {
    std::vector<std::string> found;
    const json::Value patch = update_patch(plan(observed(workspace)).objects[2], live);
    for (const json::Value& step : patch.as_array()) {
      found.emplace_back(json::find_string(step, "path"));
    }
    return found;
  };
  EXPECT_THAT(paths(), ::testing::UnorderedElementsAre(
                           "/metadata/annotations/kaito.sh~1object-hash", "/spec/replicas"));
  workspace.resource.count = 1;
  workspace.inference->pod_template->at("spec").as_object().erase("tolerations");
  EXPECT_THAT(paths(), ::testing::UnorderedElementsAre(
                           "/metadata/annotations/kaito.sh~1object-hash", "/spec/template"));
}

}  // namespace
}  // namespace workspace

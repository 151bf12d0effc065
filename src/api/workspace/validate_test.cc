#include "api/workspace/validate.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "api/workspace/workspace.h"
#include "base/file.h"
#include "json/yaml.h"

namespace api {
namespace {

using testing::HasSubstr;

const std::filesystem::path kRoot = KAITO_SOURCE_DIR;

ValidationDeps deps() {
  return {.byo = false,
          .is_preset =
              [](std::string_view name) {
                return name.starts_with("phi-3-mini-") || name == "llama-2-7b";
              },
          .is_instance_type = [](std::string_view name) { return name.starts_with("Standard_N"); },
          .is_private_preset = [](std::string_view name) { return name == "llama-2-7b"; },
          .suggest_preset = [](std::string_view) { return std::string("phi-3-mini-4k-instruct"); }};
}

ValidationDeps byo_deps() {
  ValidationDeps byo = deps();
  byo.byo = true;
  return byo;
}

Workspace from_yaml(std::string_view text) {
  const auto documents = json::parse_yaml(text);
  EXPECT_TRUE(documents && documents->size() == 1) << text;
  auto decoded = json::decode_strict<Workspace>(documents->front().value);
  EXPECT_TRUE(decoded.errors.empty()) << json::to_string(decoded.errors);
  return std::move(decoded.value);
}

Workspace inference_workspace() {
  return from_yaml(R"(
metadata: {name: w}
resource:
  instanceType: Standard_NC6s_v3
  labelSelector: {matchLabels: {apps: phi-3}}
inference:
  preset: {name: phi-3-mini-4k-instruct}
)");
}

Workspace tuning_workspace() {
  return from_yaml(R"(
metadata: {name: w}
resource:
  instanceType: Standard_NC6s_v3
  labelSelector: {matchLabels: {apps: phi-3}}
tuning:
  preset: {name: phi-3-mini-4k-instruct}
  method: QLoRA
  input: {urls: ["https://example.com/data.parquet?download=true"]}
  output: {image: registry.example/out:1, imagePushSecret: s}
)");
}

using Paths = std::vector<std::string>;
Paths paths(const std::vector<json::FieldError>& errors) {
  Paths result;
  for (const json::FieldError& error : errors) result.push_back(error.path);
  return result;
}

/// A change of a good Workspace and the paths that the errors about it must name.
struct Case {
  const char* what;
  std::function<void(Workspace&)> change;
  Paths wanted;
};

void expect(const Workspace& base, const std::vector<Case>& cases, const ValidationDeps& with) {
  for (const Case& c : cases) {
    Workspace workspace = base;
    c.change(workspace);
    const auto errors = validate_create(workspace, with);
    EXPECT_THAT(paths(errors), testing::UnorderedElementsAreArray(c.wanted))
        << c.what << ": " << json::to_string(errors);
  }
}

TEST(ValidateCreate, AcceptsTheGuidesExamples) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot / "examples/guide")) {
    const auto documents = json::parse_yaml(*base::read_file(entry.path()));
    ASSERT_TRUE(documents) << entry.path();
    for (const json::YamlDocument& document : *documents) {
      auto decoded = json::decode_strict<Workspace>(document.value);
      EXPECT_TRUE(decoded.errors.empty()) << entry.path() << json::to_string(decoded.errors);
      const auto errors = validate_create(decoded.value, deps());
      EXPECT_TRUE(errors.empty()) << entry.path() << ": " << json::to_string(errors);
    }
    ++files;
  }
  EXPECT_EQ(files, 5U);
}

TEST(ValidateCreate, JudgesNameAnnotationsAndPurpose) {
  const auto annotate = [](std::string key, std::string value) {
    return [key, value](Workspace& w) { w.metadata.annotations[key] = value; };
  };
  const auto path = [](const std::string& key) {
    return Paths{"metadata.annotations[" + key + "]"};
  };
  expect(inference_workspace(),
         {{"good", [](Workspace&) {}, {}},
          {"dots", [](Workspace& w) { w.metadata.name = "Not.A.Label"; }, {"metadata.name"}},
          {"none", [](Workspace& w) { w.metadata.name = ""; }, {"metadata.name"}},
          {"longest", [](Workspace& w) { w.metadata.name = std::string(52, 'a'); }, {}},
          {"too long",
           [](Workspace& w) { w.metadata.name = std::string(53, 'a'); },
           {"metadata.name"}},
          {"no purpose", [](Workspace& w) { w.inference.reset(); }, {"inference"}},
          {"two", [](Workspace& w) { w.tuning = tuning_workspace().tuning; }, {"tuning"}},
          {"runtime", annotate("kaito.sh/runtime", "vllm"), {}},
          {"runtime", annotate("kaito.sh/runtime", "tgi"), path("kaito.sh/runtime")},
          {"lb", annotate("kaito.sh/enablelb", "True"), {}},
          {"lb", annotate("kaito.sh/enablelb", "yes"), path("kaito.sh/enablelb")},
          {"family", annotate("kaito.sh/node-image-family", " Ubuntu "), {}},
          {"family", annotate("kaito.sh/node-image-family", "arch"),
           path("kaito.sh/node-image-family")},
          {"mode", annotate("kaito.sh/performance-mode", ""), path("kaito.sh/performance-mode")},
          {"local", annotate("kaito.sh/use-local-weights", "True"),
           path("kaito.sh/use-local-weights")},
          {"other", annotate("kaito.sh/bypass-resource-checks", ""), {}}},
         deps());
}

TEST(ValidateCreate, JudgesResources) {
  const auto expression = [](std::string op, std::vector<std::string> values) {
    return [op, values](Workspace& w) {
      w.resource.label_selector.match_expressions.push_back({"a", op, values});
    };
  };
  const std::string expressions = "resource.labelSelector.matchExpressions";
  expect(
      inference_workspace(),
      {{"count", [](Workspace& w) { w.resource.count = 0; }, {"resource.count"}},
       {"two nodes", [](Workspace& w) { w.resource.count = 2; }, {}},
       {"type", [](Workspace& w) { w.resource.instance_type = "m5"; }, {"resource.instanceType"}},
       {"none", [](Workspace& w) { w.resource.instance_type = ""; }, {"resource.instanceType"}},
       {"partition",
        [](Workspace& w) { w.resource.partition = {"mig", "1g.10gb", {}}; },
        {"resource.partition"}},
       {"empty selector",
        [](Workspace& w) { w.resource.label_selector = {}; },
        {"resource.labelSelector"}},
       {"reserved keys",
        [](Workspace& w) {
          w.resource.label_selector.match_labels = {{"kaito.sh/workspace", "x"}};
        },
        {"resource.labelSelector.matchLabels"}},
       {"some reserved",
        [](Workspace& w) { w.resource.label_selector.match_labels["kaito.sh/workspace"] = "x"; },
        {}},
       {"In", expression("In", {"x", "y"}), {}},
       {"Exists", expression("Exists", {}), {}},
       {"In nothing", expression("In", {}), {expressions}},
       {"Exists with values", expression("Exists", {"x"}), {expressions}},
       {"unknown operator", expression("Like", {"x"}), {expressions}}},
      deps());
}

TEST(ValidateCreate, JudgesNodesThatUsersBring) {
  Workspace workspace = inference_workspace();
  EXPECT_THAT(paths(validate_create(workspace, byo_deps())),
              testing::ElementsAre("resource.instanceType"));
  workspace.resource.instance_type.clear();
  const auto partition = [](std::string mode, std::string profile,
                            std::optional<std::int32_t> count) {
    return [=](Workspace& w) { w.resource.partition = {mode, profile, count}; };
  };
  expect(workspace,
         {{"good", [](Workspace&) {}, {}},
          {"mig", partition("mig", "1g.10gb", {}), {}},
          {"mig count", partition("mig", "1g.10gb", 1), {"resource.partition.count"}},
          {"mig profile", partition("mig", "9g.99gb", {}), {"resource.partition.profile"}},
          {"no profile", partition("mig", "", {}), {"resource.partition.profile"}},
          {"accelerator", partition("accelerator", "", 2), {}},
          {"no count", partition("accelerator", "", {}), {"resource.partition.count"}},
          {"profile", partition("accelerator", "1g.10gb", 1), {"resource.partition.profile"}},
          {"mode", partition("slice", "", {}), {"resource.partition.mode"}}},
         byo_deps());
}

TEST(ValidateCreate, JudgesPresets) {
  const std::string preset = "inference.preset.";
  expect(inference_workspace(),
         {{"unknown", [](Workspace& w) { w.inference->preset->name = "phi"; }, {preset + "name"}},
          {"empty", [](Workspace& w) { w.inference->preset->name = ""; }, {preset + "name"}},
          {"neither", [](Workspace& w) { w.inference->preset.reset(); }, {"inference"}},
          {"private preset",
           [](Workspace& w) { w.inference->preset->name = "llama-2-7b"; },
           {preset + "accessMode"}},
          {"private without image",
           [](Workspace& w) { w.inference->preset->access_mode = "private"; },
           {preset + "presetOptions.image"}},
          {"private with image",
           [](Workspace& w) {
             w.inference->preset =
                 PresetSpec{"llama-2-7b", "private", PresetOptions{"r.io/l:1", {}, {}}};
           },
           {}},
          {"bad image",
           [](Workspace& w) { w.inference->preset->preset_options = PresetOptions{"a b", {}, {}}; },
           {preset + "presetOptions.image"}}},
         deps());
  Workspace workspace = inference_workspace();
  workspace.inference->preset->name = "phi-3";
  EXPECT_THAT(validate_create(workspace, deps()).front().message,
              HasSubstr("did you mean phi-3-mini-4k-instruct"));
}

TEST(ValidateCreate, JudgesTemplatesStrictly) {
  const auto with = [](std::string text) {
    return [text](Workspace& w) {
      w.inference->preset.reset();
      w.inference->pod_template = json::parse_yaml(text)->front().value.as_object();
    };
  };
  const std::string spec = "inference.template.spec";
  expect(
      inference_workspace(),
      {{"good",
        with("spec: {containers: [{name: c, image: i, resources: {limits: {nvidia.com/gpu: 1}}}]}"),
        {}},
       {"newer fields", with("spec: {containers: [{name: c}], topologySpreadConstraints: []}"), {}},
       {"typo", with("spec: {containers: [{name: c, imgae: i}]}"), {spec + ".containers[0].imgae"}},
       {"type", with("spec: {containers: [{name: c, args: x}]}"), {spec + ".containers[0].args"}},
       {"quantity",
        with("spec: {containers: [{name: c, resources: {limits: {cpu: lots}}}]}"),
        {spec + ".containers[0].resources.limits.cpu"}},
       {"no containers", with("metadata: {labels: {a: b}}\nspec: {}"), {spec + ".containers"}},
       {"empty", with("spec: {containers: []}"), {spec + ".containers"}},
       {"both",
        [](Workspace& w) {
          w.inference->pod_template =
              json::parse(R"({"spec":{"containers":[{"name":"c"}]}})")->as_object();
        },
        {"inference.template"}}},
      deps());
}

TEST(ValidateCreate, JudgesAdapters) {
  const auto with = [](std::string text) {
    return [text](Workspace& w) {
      auto adapters = json::decode<std::vector<AdapterSpec>>(json::parse_yaml(text)->front().value);
      ASSERT_TRUE(adapters) << adapters.error().message();
      w.inference->adapters = *std::move(adapters);
    };
  };
  const auto on_vllm = [with](std::string text) {
    return [with, text](Workspace& w) {
      w.metadata.annotations["kaito.sh/runtime"] = "vllm";
      with(text)(w);
    };
  };
  const std::string first = "inference.adapters[0]";
  std::string eleven;
  for (int i = 0; i < 11; ++i) eleven += fmt::format("- source: {{name: a{}, image: i}}\n", i);
  expect(
      inference_workspace(),
      {{"image", with("- {source: {name: a.b-c, image: r.io/a:1}, strength: '0.5'}"), {}},
       {"volume", with("- {source: {name: a, volumeSource: {hostPath: {path: /a}}}}"), {}},
       {"no source", with("- {strength: '1'}"), {first + ".source"}},
       {"no name", with("- source: {image: i}"), {first + ".source.name"}},
       {"bad name", with("- source: {name: A_b, image: i}"), {first + ".source.name"}},
       {"nothing", with("- source: {name: a}"), {first + ".source"}},
       {"both",
        with("- source: {name: a, image: i, volumeSource: {emptyDir: {}}}"),
        {first + ".source"}},
       {"urls",
        with("- source: {name: a, urls: ['https://x.io']}"),
        {first + ".source", first + ".source.urls"}},
       {"strength",
        with("- {source: {name: a, image: i}, strength: '1.5'}"),
        {first + ".strength"}},
       {"strength",
        with("- {source: {name: a, image: i}, strength: 'nan'}"),
        {first + ".strength"}},
       {"strength", with("- {source: {name: a, image: i}, strength: '1x'}"), {first + ".strength"}},
       {"vllm", on_vllm("- {source: {name: a, image: i}, strength: '1'}"), {first + ".strength"}},
       {"vllm", on_vllm("- {source: {name: a, image: i}}"), {}},
       {"twice",
        with("- source: {name: a, image: i}\n- source: {name: a, image: j}"),
        {"inference.adapters[1].source.name"}},
       {"eleven", with(eleven), {"inference.adapters"}},
       {"bad volume",
        with("- source: {name: a, volumeSource: {hostpath: {path: /a}}}"),
        {first + ".source.volumeSource.hostpath"}},
       {"two volumes",
        with("- source: {name: a, volumeSource: {emptyDir: {}, hostPath: {path: /a}}}"),
        {first + ".source.volumeSource"}},
       {"empty volume",
        with("- source: {name: a, volumeSource: {}}"),
        {first + ".source.volumeSource"}}},
      deps());
}

TEST(ValidateCreate, JudgesTuning) {
  const auto input = [](DataSource source) {
    return [source](Workspace& w) { w.tuning->input = source; };
  };
  const auto output = [](DataDestination destination) {
    return [destination](Workspace& w) { w.tuning->output = destination; };
  };
  const json::Object claim{{"persistentVolumeClaim", json::Object{{"claimName", "c"}}}};
  expect(tuning_workspace(),
         {{"good", [](Workspace&) {}, {}},
          {"method", [](Workspace& w) { w.tuning->method = "full"; }, {"tuning.method"}},
          {"preset", [](Workspace& w) { w.tuning->preset.reset(); }, {"tuning.preset"}},
          {"unknown", [](Workspace& w) { w.tuning->preset->name = "x"; }, {"tuning.preset.name"}},
          {"count", [](Workspace& w) { w.resource.count = 2; }, {"resource.count"}},
          {"no input", [](Workspace& w) { w.tuning->input.reset(); }, {"tuning.input"}},
          {"empty input", input({}), {"tuning.input"}},
          {"claim", input({.volume_source = claim}), {}},
          {"two", input({.volume_source = claim, .image = "r.io/d:1"}), {"tuning.input"}},
          {"image", input({.image = "r.io/d:1:2"}), {"tuning.input.image"}},
          {"no output", [](Workspace& w) { w.tuning->output.reset(); }, {"tuning.output"}},
          {"empty output", output({}), {"tuning.output"}},
          {"claim", output({.volume_source = claim}), {}},
          {"secret", output({.image = "r.io/d:1"}), {"tuning.output.imagePushSecret"}},
          {"image",
           output({.image = "https://r.io/d", .image_push_secret = "s"}),
           {"tuning.output.image"}}},
         deps());
}

TEST(ValidateCreate, RefusesDataOfThisMachineAndPrivateNetworks) {
  const auto errors_of = [](const char* url, const ValidationDeps& with) {
    Workspace workspace = tuning_workspace();
    workspace.tuning->input->urls = {url};
    return paths(validate_create(workspace, with));
  };
  for (const char* url : {"http://localhost/x",
                          "http://LOCALHOST:80",
                          "http://a.localhost",
                          "http://localhost.",
                          "http://127.0.0.1/x",
                          "http://127.1",
                          "http://0x7f000001/",
                          "http://2130706433/",
                          "http://10.1.2.3",
                          "http://172.31.0.1",
                          "http://192.168.0.1",
                          "http://169.254.169.254/meta",
                          "http://0.0.0.0",
                          "http://[::1]/x",
                          "http://[::]",
                          "http://[fe80::1%25eth0]/",
                          "http://[fd00::1]",
                          "http://[::ffff:10.0.0.1]",
                          "http://user@127.0.0.1/",
                          "http://metadata.google.internal/",
                          "ftp://example.com/x",
                          "example.com/x",
                          "https://",
                          "https:///x",
                          "https://example.com/a b"}) {
    EXPECT_EQ(errors_of(url, deps()), Paths{"tuning.input.urls[0]"}) << url;
  }
  for (const char* url : {"https://example.com", "HTTPS://example.com:8443/a?b#c",
                          "http://8.8.8.8/x", "http://[2001:db8::1]/x", "http://172.32.0.1"}) {
    EXPECT_EQ(errors_of(url, deps()), Paths{}) << url;
  }
  ValidationDeps local = deps();
  local.allow_private_addresses = true;
  EXPECT_EQ(errors_of("http://127.0.0.1:9000/x", local), Paths{});
}

TEST(ValidateCreate, KnowsImageReferences) {
  const auto ok = [](std::string image) {
    Workspace workspace = tuning_workspace();
    workspace.tuning->output->image = std::move(image);
    return validate_create(workspace, deps()).empty();
  };
  const std::string digest = "@sha256:" + std::string(64, 'a');
  for (const std::string& good :
       {std::string("a"), std::string("a/b"), std::string("r.io:5000/a/b:1"), "r.io/a" + digest,
        "r.io/a:1" + digest, std::string("ACR_REPO_HERE.azurecr.io/IMAGE_NAME_HERE:0.0.1")}) {
    EXPECT_TRUE(ok(good)) << good;
  }
  for (const std::string& bad :
       {std::string("a b"), std::string("a:"), std::string("/a"), std::string("a/"),
        std::string("a//b"), std::string("a:b:c"), std::string("a@sha256:12"), "a:-x" + digest,
        std::string(600, 'a')}) {
    EXPECT_FALSE(ok(bad)) << bad;
  }
}

TEST(ValidateCreate, ReportsAllMistakesAtOnce) {
  Workspace workspace = inference_workspace();
  workspace.metadata.name = "Not.A.Label";
  workspace.resource.count = 0;
  workspace.resource.instance_type = "m5.large";
  workspace.inference->preset->name = "nobody-knows";
  workspace.inference->adapters.resize(1);
  EXPECT_THAT(
      paths(validate_create(workspace, deps())),
      testing::UnorderedElementsAre("metadata.name", "resource.count", "resource.instanceType",
                                    "inference.preset.name", "inference.adapters[0].source"));
}

void expect_update(const Workspace& base, const std::vector<Case>& cases,
                   const ValidationDeps& with) {
  for (const Case& c : cases) {
    Workspace after = base;
    c.change(after);
    const auto errors = validate_update(base, after, with);
    EXPECT_THAT(paths(errors), testing::UnorderedElementsAreArray(c.wanted))
        << c.what << ": " << json::to_string(errors);
    after.metadata.deletion_timestamp = "2026-11-24T00:00:00Z";
    EXPECT_TRUE(validate_update(base, after, with).empty()) << c.what << " while deleting";
  }
}

TEST(ValidateUpdate, KeepsWhatMustNotChange) {
  Workspace inference = inference_workspace();
  inference.resource.count = 1;
  expect_update(
      inference,
      {{"nothing", [](Workspace&) {}, {}},
       {"label", [](Workspace& w) { w.metadata.labels["a"] = "b"; }, {}},
       {"count", [](Workspace& w) { w.resource.count = 2; }, {"resource.count"}},
       {"type",
        [](Workspace& w) { w.resource.instance_type = "Standard_NC12s_v3"; },
        {"resource.instanceType"}},
       {"no type", [](Workspace& w) { w.resource.instance_type = ""; }, {"resource.instanceType"}},
       {"selector",
        [](Workspace& w) { w.resource.label_selector.match_labels["apps"] = "x"; },
        {"resource.labelSelector"}},
       {"the same selector in other words",
        [](Workspace& w) { w.resource.label_selector = {{}, {{"apps", "In", {"phi-3"}}}}; },
        {}},
       {"preset",
        [](Workspace& w) { w.inference->preset->name = "phi-3-mini-128k-instruct"; },
        {"inference.preset"}},
       {"config", [](Workspace& w) { w.inference->config = "other"; }, {}},
       {"template",
        [](Workspace& w) { w.inference->pod_template = json::Object{}; },
        {"inference.template"}},
       {"adapter",
        [](Workspace& w) { w.inference->adapters.resize(1); },
        {"inference.adapters[0].source"}},
       {"purpose", [](Workspace& w) { w.inference.reset(); }, {"inference"}},
       {"annotation",
        [](Workspace& w) { w.metadata.annotations["kaito.sh/runtime"] = "x"; },
        {"metadata.annotations[kaito.sh/runtime]"}}},
      deps());
  expect_update(
      tuning_workspace(),
      {{"method", [](Workspace& w) { w.tuning->method = "lora"; }, {"tuning.method"}},
       {"case", [](Workspace& w) { w.tuning->method = "QLORA"; }, {}},
       {"preset", [](Workspace& w) { w.tuning->preset->name = "phi-3-mini-x"; }, {"tuning.preset"}},
       {"name", [](Workspace& w) { w.tuning->input->name = "x"; }, {"tuning.input.name"}},
       {"output", [](Workspace& w) { w.tuning->output->image = "r.io/o:2"; }, {}},
       {"secret",
        [](Workspace& w) { w.tuning->output->image_push_secret = ""; },
        {"tuning.output.imagePushSecret"}}},
      deps());
}

// An object of an earlier release, with mistakes that nobody noticed then, still gets finalizers.
TEST(ValidateUpdate, DoesNotJudgeWhatStaysTheSame) {
  Workspace old = inference_workspace();
  old.metadata.name = std::string(60, 'a');
  old.metadata.annotations["kaito.sh/performance-mode"] = "wild";
  old.inference->preset->name = "gone";
  old.inference->adapters.resize(1);
  Workspace after = old;
  after.metadata.finalizers = {"workspace.finalizer.kaito.sh"};
  EXPECT_TRUE(validate_update(old, after, deps()).empty());
}

TEST(ValidateUpdate, LetsUsersTakeOverTheirNodes) {
  const Workspace before = inference_workspace();
  Workspace after = before;
  after.resource.instance_type.clear();
  EXPECT_TRUE(validate_update(before, after, byo_deps()).empty());
  EXPECT_THAT(paths(validate_update(after, before, byo_deps())),
              testing::ElementsAre("resource.instanceType"));
  EXPECT_TRUE(validate_update(after, before, deps()).empty());
}

}  // namespace
}  // namespace api

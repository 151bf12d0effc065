#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/meta.h"

/// kaito.sh Workspace. One type serves v1alpha1 and v1beta1 alike, so that nothing is lost between
/// them.
namespace api {

struct PartitionSpec {
  std::string mode{};
  std::string profile{};
  std::optional<std::int32_t> count{};
};
template <class V>
void describe(V& v, PartitionSpec& p) {
  v.field("mode", p.mode, Presence::Required, "How GPUs are shared: mig or accelerator.",
          {.one_of = {"mig", "accelerator"}});
  v.field("profile", p.profile, Presence::Optional, "MIG profile, such as 1g.10gb.");
  v.field("count", p.count, Presence::Optional, "Whole GPUs, for accelerator.", {.minimum = 1});
}

struct ResourceSpec {
  std::optional<std::int32_t> count{};
  std::string instance_type{};
  LabelSelector label_selector{};
  std::vector<std::string> preferred_nodes{};
  std::optional<PartitionSpec> partition{};
};
template <class V>
void describe(V& v, ResourceSpec& r) {
  v.type("The GPU nodes a workspace needs.");
  v.field("count", r.count, Presence::Optional, "Nodes wanted; 1 by default.",
          {.default_json = "1"});
  v.field("instanceType", r.instance_type, Presence::Optional,
          "Cloud machine type of the nodes, such as Standard_NC24ads_A100_v4.");
  v.field("labelSelector", r.label_selector, Presence::Required,
          "Labels that nodes must have, and that new nodes get.", {.atomic_map = true});
  v.field("preferredNodes", r.preferred_nodes, Presence::Optional, "Names of nodes to use first.");
  v.field("partition", r.partition, Presence::Optional,
          "Part of a GPU to use, on nodes you bring.");
}

struct PresetOptions {
  std::string image{};
  std::vector<std::string> image_pull_secrets{};
  std::string model_access_secret{};
};
template <class V>
void describe(V& v, PresetOptions& o) {
  v.field("image", o.image, Presence::Optional, "Image of a private preset.");
  v.field("imagePullSecrets", o.image_pull_secrets, Presence::Optional, "Secrets for that image.");
  v.field("modelAccessSecret", o.model_access_secret, Presence::Optional,
          "Secret with the key HF_TOKEN.");
}

struct PresetSpec {
  std::string name{};
  std::string access_mode{};
  std::optional<PresetOptions> preset_options{};
};
template <class V>
void describe(V& v, PresetSpec& p) {
  v.type("A model of the catalogue.");
  v.field("name", p.name, Presence::Required, "Name in the catalogue, or Hugging Face id.");
  v.field("accessMode", p.access_mode, Presence::Optional,
          "public, or private for an image of your own.",
          {.one_of = {"public", "private"}, .default_json = "\"public\""});
  v.field("presetOptions", p.preset_options, Presence::Optional, "Image and access of the model.");
}

struct DataSource {
  std::string name{};
  std::vector<std::string> urls{};
  std::optional<json::Object> volume_source{};
  std::string image{};
  std::vector<std::string> image_pull_secrets{};
};
template <class V>
void describe(V& v, DataSource& s) {
  v.type("Where data comes from: exactly one of urls, volumeSource and image.");
  v.field("name", s.name, Presence::Optional, "Name of the source.");
  v.field("urls", s.urls, Presence::Optional, "HTTP or HTTPS addresses of files.");
  v.field("volumeSource", s.volume_source, Presence::Optional, "A volume of Kubernetes.",
          {.preserve_unknown = true});
  v.field("image", s.image, Presence::Optional, "A container image with the data under /data.");
  v.field("imagePullSecrets", s.image_pull_secrets, Presence::Optional, "Secrets for that image.");
}

struct DataDestination {
  std::optional<json::Object> volume_source{};
  std::string image{};
  std::string image_push_secret{};
};
template <class V>
void describe(V& v, DataDestination& d) {
  v.type("Where the result goes: exactly one of volumeSource and image.");
  v.field("volumeSource", d.volume_source, Presence::Optional, "A volume of Kubernetes.",
          {.preserve_unknown = true});
  v.field("image", d.image, Presence::Optional, "Image to push.");
  v.field("imagePushSecret", d.image_push_secret, Presence::Optional, "Secret for pushing it.");
}

struct AdapterSpec {
  std::optional<DataSource> source{};
  std::optional<std::string> strength{};
};
template <class V>
void describe(V& v, AdapterSpec& a) {
  v.type("A LoRA adapter.");
  v.field("source", a.source, Presence::Optional, "Where the adapter comes from.");
  v.field("strength", a.strength, Presence::Optional, "Its weight, from 0 to 1.");
}

struct InferenceSpec {
  std::optional<PresetSpec> preset{};
  std::optional<json::Object> pod_template{};  ///< `template` in JSON: a PodTemplateSpec.
  std::string config{};
  std::vector<AdapterSpec> adapters{};
};
template <class V>
void describe(V& v, InferenceSpec& i) {
  v.type("What to serve: exactly one of preset and template.");
  v.field("preset", i.preset, Presence::Optional, "A model of the catalogue.");
  v.field("template", i.pod_template, Presence::Optional, "A pod template of your own.",
          {.preserve_unknown = true});
  v.field("config", i.config, Presence::Optional, "ConfigMap with inference_config.yaml.");
  v.field("adapters", i.adapters, Presence::Optional, "LoRA adapters on top of the model.");
}

struct TuningSpec {
  std::optional<PresetSpec> preset{};
  std::string method{};
  std::string config{};
  std::optional<DataSource> input{};
  std::optional<DataDestination> output{};
};
template <class V>
void describe(V& v, TuningSpec& t) {
  v.type("What to fine-tune.");
  v.field("preset", t.preset, Presence::Optional, "The base model.");
  v.field("method", t.method, Presence::Optional, "lora or qlora.");
  v.field("config", t.config, Presence::Optional, "ConfigMap with training_config.yaml.");
  v.field("input", t.input, Presence::Required, "The training data.");
  v.field("output", t.output, Presence::Required, "Where the adapter goes.");
}

struct PerformanceMetric {
  std::string description{};
  std::string value{};
  std::string unit{};
  std::map<std::string, std::string> config{};
};
template <class V>
void describe(V& v, PerformanceMetric& m) {
  v.field("description", m.description, Presence::Required, "What was measured.");
  v.field("value", m.value, Presence::Required, "The figure.");
  v.field("unit", m.unit, Presence::Optional, "Its unit.");
  v.field("config", m.config, Presence::Optional, "How it was measured.");
}

struct PerformanceStatus {
  std::map<std::string, PerformanceMetric> metrics{};
};
template <class V>
void describe(V& v, PerformanceStatus& s) {
  v.field("metrics", s.metrics, Presence::Optional, "Figures by name.");
}

struct WorkspaceStatus {
  std::vector<std::string> worker_nodes{};
  std::vector<Condition> conditions{};
  std::string state{};
  std::int32_t target_node_count = 0;
  std::optional<PerformanceStatus> performance{};
};
template <class V>
void describe(V& v, WorkspaceStatus& s) {
  v.field("workerNodes", s.worker_nodes, Presence::Optional, "Names of its nodes, sorted.");
  v.field("conditions", s.conditions, Presence::Optional, "Where the workspace stands.");
  v.field("state", s.state, Presence::Optional,
          "Pending, Ready, NotReady; Running, Succeeded, Failed for tuning.");
  v.field("targetNodeCount", s.target_node_count, Presence::Optional, "Nodes it needs.");
  v.field("performance", s.performance, Presence::Optional, "Measured figures.");
}

struct Workspace {
  static constexpr ResourceType kType{"kaito.sh", "v1beta1", "workspaces", "Workspace", true};
  ObjectMeta metadata{};
  ResourceSpec resource{};
  std::optional<InferenceSpec> inference{};
  std::optional<TuningSpec> tuning{};
  WorkspaceStatus status{};
};
template <class V>
void describe(V& v, Workspace& w) {
  v.type(
      "Workspace turns one description into GPU nodes and an inference server or a fine-tuning "
      "job.");
  describe_root(v, w);
  v.field("resource", w.resource, Presence::Optional, "The nodes it needs.");
  v.field("inference", w.inference, Presence::Optional, "What to serve.");
  v.field("tuning", w.tuning, Presence::Optional, "What to fine-tune.");
  v.field("status", w.status, Presence::Optional, "What became of it.");
}

}  // namespace api

// Compiled once, in the .cc file: describing these types is slow work for a compiler.
namespace json {
extern template base::Result<api::Workspace> decode(const Value&);
extern template Value encode(const api::Workspace&);
}  // namespace json

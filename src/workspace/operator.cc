#include "workspace/operator.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/nodeclaim/machine.h"
#include "api/nodeclaim/nodeclaim.h"
#include "api/workspace/names.h"
#include "kube/cache/informer.h"
#include "kube/runtime/events.h"
#include "workspace/adapters.h"
#include "workspace/canary.h"
#include "workspace/config_maps.h"
#include "workspace/controller.h"
#include "workspace/nodes.h"
#include "workspace/tune.h"

namespace workspace {
namespace {

kube::Reflector::Options labelled(std::string_view label) {
  kube::Reflector::Options options;
  options.label_selector = std::string(label);
  return options;
}

/// The workspace that an object's labels name; nothing when they name none.
template <class T>
std::vector<api::ObjectKey> workspace_of_claim(const T& claim) {
  const auto& labels = claim.metadata.labels;
  const auto name = labels.find(std::string(api::kLabelWorkspace));
  const auto ns = labels.find(std::string(api::kLabelWorkspaceNamespace));
  if (name == labels.end() || ns == labels.end()) return {};
  return {{ns->second, name->second}};
}

template <class T>
std::vector<api::ObjectKey> workspace_in_namespace(const T& object) {
  const auto name = object.metadata.labels.find(std::string(api::kLabelWorkspace));
  if (name == object.metadata.labels.end()) return {};
  return {{object.metadata.ns, name->second}};
}

template <class T>
std::vector<std::string> index_key(const T& object) {
  std::vector<std::string> keys;
  if constexpr (!T::kType.namespaced) {
    for (const auto& key : workspace_of_claim(object)) keys.push_back(key.text());
  } else {
    for (const auto& key : workspace_in_namespace(object)) keys.push_back(key.text());
  }
  return keys;
}

// Names of indexes.
constexpr const char* kByWorkspace = "workspace";  ///< Objects by the workspace they belong to.
constexpr const char* kByLabel = "label";          ///< Nodes by `key=value` of their labels.
constexpr const char* kBySelector = "selector";    ///< Workspaces by a label that their nodes need.
constexpr const char* kByConfig = "config";        ///< Workspaces by the ConfigMap they name.
/// How often a running tuner is asked, and its workspace's status may change for it.
constexpr std::chrono::seconds kProgressInterval{5};
/// The place of workspaces whose selector asks for no label that tells nodes apart.
constexpr const char* kAnyNode = "";

std::vector<std::string> labels_of(const api::Node& node) {
  std::vector<std::string> texts;
  for (const auto& [key, value] : node.metadata.labels) {
    if (is_selective_label(key)) texts.push_back(key + "=" + value);
  }
  return texts;
}

/// The ConfigMap that the workspace names, "" for none.
const std::string& config_name(const api::Workspace& workspace) {
  static const std::string none;
  if (workspace.tuning) return workspace.tuning->config;
  return workspace.inference ? workspace.inference->config : none;
}

std::vector<std::string> config_of(const api::Workspace& workspace) {
  const std::string& name = config_name(workspace);
  if (name.empty()) return {};
  return {api::ObjectKey{workspace.metadata.ns, name}.text()};
}

template <class T>
Claim to_claim(const T& object) {
  return {object.metadata.name, object.metadata.deleting(), object.status.node_name,
          object.status.conditions};
}

/// What of a node a workspace can depend on; the heartbeat of a healthy node changes none of it.
std::string node_facts(const api::Node& node) {
  std::string facts = node.metadata.deleting() ? "deleting" : "";
  for (const auto& [key, value] : node.metadata.labels) facts += fmt::format("|{}={}", key, value);
  for (const auto& condition : node.status.conditions)
    facts += fmt::format("|{}:{}", condition.type, condition.status);
  for (const auto& [key, quantity] : node.status.capacity)
    facts += fmt::format("|{}:{}", key, quantity.text);
  return facts;
}

}  // namespace

struct Operator::Parts final : public Observer {
  explicit Parts(Deps given)
      : deps(std::move(given)),
        manager(deps.log),
        workspaces(deps.client),
        nodes(deps.client),
        pods(deps.client, labelled(api::kLabelWorkspace)),
        stateful_sets(deps.client, labelled(api::kLabelWorkspace)),
        services(deps.client, labelled(api::kLabelWorkspace)),
        jobs(deps.client, labelled(api::kLabelWorkspace)),
        own_configs(deps.client, labelled(api::kLabelWorkspace)),
        configs(deps.client, [this](const api::ObjectKey& key) { on_config(key); }),
        canary({.interval = deps.options.canary_interval}, deps.clock,
               deps.canary_probe ? deps.canary_probe : token_probe(deps.options.canary_timeout),
               [this](const api::ObjectKey& key) { controller->enqueue(key); }),
        progress({.interval = kProgressInterval, .threads = 1}, deps.clock, progress_probe(),
                 [this](const api::ObjectKey& key) { controller->enqueue(key); }) {
    if (deps.options.provisioner == NodeProvisioner::NodeClaim)
      node_claims = std::make_unique<kube::Informer<api::NodeClaim>>(
          deps.client, labelled(api::kLabelWorkspace));
    if (deps.options.provisioner == NodeProvisioner::Machine)
      machines = std::make_unique<kube::Informer<api::Machine>>(deps.client,
                                                                labelled(api::kLabelWorkspace));
  }

  void wire(const base::Context& ctx) {
    events = kube::EventRecorder::create(ctx, deps.client, "kaito-workspace");
    reconciler = std::make_unique<WorkspaceController>(WorkspaceController::Deps{
        deps.client, *this, canary, progress, *events, deps.clock, deps.options});
    controller = std::make_unique<kube::Controller>(
        kube::Controller::Options{.name = "workspace", .workers = deps.options.workers},
        *reconciler, deps.clock);
    controller->watch(workspaces);
    controller->watch_mapped<api::Pod>(pods, workspace_in_namespace<api::Pod>);
    controller->watch_mapped<api::StatefulSet>(stateful_sets,
                                               workspace_in_namespace<api::StatefulSet>);
    controller->watch_mapped<api::Service>(services, workspace_in_namespace<api::Service>);
    controller->watch_mapped<api::Job>(jobs, workspace_in_namespace<api::Job>);
    controller->watch_mapped<api::ConfigMap>(own_configs, workspace_in_namespace<api::ConfigMap>);
    pods.add_index(kByWorkspace, index_key<api::Pod>);
    workspaces.add_index(kByConfig, config_of);
    workspaces.add_index(kBySelector, [](const api::Workspace& workspace) {
      return std::vector<std::string>{selective_label(workspace).value_or(kAnyNode)};
    });
    if (is_byo()) {
      nodes.add_index(kByLabel, labels_of);
    } else {
      nodes.add_index(kByWorkspace, index_key<api::Node>);
    }
    if (node_claims) {
      node_claims->add_index(kByWorkspace, index_key<api::NodeClaim>);
      controller->watch_mapped<api::NodeClaim>(*node_claims, workspace_of_claim<api::NodeClaim>);
      manager.add(*node_claims);
    }
    if (machines) {
      machines->add_index(kByWorkspace, index_key<api::Machine>);
      controller->watch_mapped<api::Machine>(*machines, workspace_of_claim<api::Machine>);
      manager.add(*machines);
    }
    nodes.add_handler([this](const kube::Change<api::Node>& change) { on_node(change); });
    manager.add(workspaces);
    manager.add(nodes);
    manager.add(pods);
    manager.add(stateful_sets);
    manager.add(services);
    manager.add(jobs);
    manager.add(own_configs);
    manager.add(*controller);
  }

  /// A node that changed in a way that matters wakes the workspaces that may use it.
  void on_node(const kube::Change<api::Node>& change) {
    // Until the copies are complete nothing has been reconciled, and then everything will be.
    if (!nodes.synced() || !workspaces.synced()) return;
    if (change.before && change.after && node_facts(*change.before) == node_facts(*change.after))
      return;
    std::set<api::ObjectKey> keys;
    for (const auto* node : {change.before.get(), change.after.get()}) {
      if (!node) continue;
      for (const api::ObjectKey& key : workspace_of_claim(*node)) keys.insert(key);
      std::vector<std::string> places = labels_of(*node);
      places.emplace_back(kAnyNode);
      for (const std::string& place : places) {
        for (const auto& workspace : workspaces.by_index(kBySelector, place)) {
          const auto& preferred = workspace->resource.preferred_nodes;
          const bool candidate = is_byo() || std::find(preferred.begin(), preferred.end(),
                                                       node->metadata.name) != preferred.end();
          if (candidate && matches_selector(*workspace, *node))
            keys.insert(workspace->metadata.key());
        }
      }
    }
    for (const api::ObjectKey& key : keys) controller->enqueue(key);
  }

  void on_config(const api::ObjectKey& config_map) {
    for (const auto& workspace : workspaces.by_index(kByConfig, config_map.text()))
      controller->enqueue(workspace->metadata.key());
  }

  bool is_byo() const { return deps.options.provisioner == NodeProvisioner::Byo; }

  std::vector<std::shared_ptr<const api::Node>> nodes_for(const api::Workspace& workspace) const {
    if (is_byo()) {
      const auto label = selective_label(workspace);
      return label ? nodes.by_index(kByLabel, *label) : nodes.list();
    }
    const std::string key = workspace.metadata.key().text();
    auto found = nodes.by_index(kByWorkspace, key);
    for (const std::string& name : workspace.resource.preferred_nodes) {
      auto node = nodes.get({"", name});
      const bool twice = std::any_of(found.begin(), found.end(), [&](const auto& other) {
        return other->metadata.name == name;
      });
      if (node && !twice) found.push_back(std::move(node));
    }
    return found;
  }

  std::optional<Observed> observe(const api::ObjectKey& key) const override {
    Observed observed;
    observed.workspace = workspaces.get(key);
    if (!observed.workspace) return std::nullopt;
    observed.nodes = nodes_for(*observed.workspace);
    observed.pods = pods.by_index(kByWorkspace, key.text());
    observed.stateful_set = stateful_sets.get(key);
    observed.service = services.get(key);
    observed.headless_service = services.get({key.ns, key.name + "-headless"});
    if (node_claims) {
      for (const auto& claim : node_claims->by_index(kByWorkspace, key.text()))
        observed.claims.push_back(to_claim(*claim));
    }
    if (machines) {
      for (const auto& machine : machines->by_index(kByWorkspace, key.text()))
        observed.claims.push_back(to_claim(*machine));
    }
    if (const api::PresetSpec* preset = chosen_preset(*observed.workspace))
      observed.preset = model::resolve_preset(preset->name);
    if (const std::string& name = config_name(*observed.workspace); !name.empty()) {
      const ConfigMaps::Lookup found = configs.find({key.ns, name});
      observed.config_known = found.known;
      observed.config = found.object;
    }
    observed.job = jobs.get(key);
    observed.adapters_config = own_configs.get({key.ns, adapters_config_name(key.name)});
    resolve_phase(observed, deps.clock.now());
    observed.sku = model::find_sku(deps.options.cloud, observed.workspace->resource.instance_type);
    return observed;
  }

  Deps deps;
  kube::Manager manager;
  kube::Informer<api::Workspace> workspaces;
  kube::Informer<api::Node> nodes;
  kube::Informer<api::Pod> pods;
  kube::Informer<api::StatefulSet> stateful_sets;
  kube::Informer<api::Service> services;
  kube::Informer<api::Job> jobs;
  kube::Informer<api::ConfigMap> own_configs;  ///< Those the operator made.
  std::unique_ptr<kube::Informer<api::NodeClaim>> node_claims;
  std::unique_ptr<kube::Informer<api::Machine>> machines;
  std::unique_ptr<kube::EventRecorder> events;
  mutable ConfigMaps configs;  ///< Begins watches when asked.
  CanaryProber canary;
  CanaryProber progress;  ///< Asks tuners how far they are.
  std::unique_ptr<WorkspaceController> reconciler;
  std::unique_ptr<kube::Controller> controller;
};

Operator::Operator(Deps deps) : parts_(std::make_unique<Parts>(std::move(deps))) {}
Operator::~Operator() { stop(); }

base::Status Operator::start(const base::Context& ctx) {
  parts_->wire(ctx);
  parts_->canary.start(ctx);
  parts_->progress.start(ctx);
  parts_->configs.start(ctx);
  return parts_->manager.start(ctx);
}

void Operator::stop() {
  parts_->manager.stop();
  parts_->configs.stop();
  parts_->progress.stop();
  parts_->canary.stop();
}

kube::Controller::Counters Operator::counters() const {
  return parts_->controller ? parts_->controller->counters() : kube::Controller::Counters{};
}

}  // namespace workspace

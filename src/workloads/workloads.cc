#include "workloads/workloads.h"

#include "api/apps.h"
#include "api/batch.h"
#include "api/coordination.h"
#include "api/core/config.h"
#include "api/core/event.h"
#include "api/core/namespace.h"
#include "api/core/node.h"
#include "api/nodeclaim/machine.h"
#include "api/nodeclaim/nodeclaim.h"
#include "api/workspace/workspace.h"
#include "kube/cache/informer.h"
#include "kube/runtime/events.h"
#include "workloads/endpoints.h"
#include "workloads/garbage.h"
#include "workloads/job.h"
#include "workloads/namespaces.h"
#include "workloads/pod_gc.h"
#include "workloads/stateful_set.h"

namespace workloads {
namespace {

/// Types that own, or are owned.
std::vector<api::ResourceType> collected_types() {
  return {api::Pod::kType,        api::Service::kType,   api::Endpoints::kType, api::ConfigMap::kType,          api::Secret::kType,    api::Node::kType,
          api::StatefulSet::kType, api::ControllerRevision::kType, api::Job::kType,       api::Workspace::kType, api::NodeClaim::kType, api::Machine::kType};
}

/// Types whose objects live in namespaces.
std::vector<api::ResourceType> namespaced_types() {
  return {api::Workspace::kType, api::StatefulSet::kType, api::Job::kType, api::ControllerRevision::kType, api::Pod::kType, api::Service::kType,
          api::Endpoints::kType, api::ConfigMap::kType, api::Secret::kType, api::ServiceAccount::kType, api::Lease::kType, api::Event::kType};
}

}  // namespace

struct Workloads::Parts {
  explicit Parts(Deps given)
      : deps(std::move(given)), manager(deps.log), pods(deps.client), sets(deps.client), jobs(deps.client), services(deps.client), endpoints(deps.client), namespaces(deps.client), nodes(deps.client), collector(deps.client, collected_types(), deps.clock) {}

  void wire(const base::Context& ctx) {
    events = kube::EventRecorder::create(ctx, deps.client, "kaito-workloads");
    pods.add_index(kByOwner, controller_uid);
    pods.add_index(kByLabel, label_pairs);
    services.add_index(kBySelector, selector_pair);
    set_reconciler = std::make_unique<StatefulSetController>(StatefulSetController::Deps{deps.client, sets, pods, *events});
    job_reconciler = std::make_unique<JobController>(JobController::Deps{deps.client, jobs, pods, *events, deps.clock});
    endpoints_reconciler = std::make_unique<EndpointsController>(EndpointsController::Deps{deps.client, services, pods, endpoints});
    namespace_reconciler = std::make_unique<NamespaceController>(NamespaceController::Deps{deps.client, namespaces, namespaced_types()});
    const auto make = [&](std::string name, kube::Reconciler& reconciler) {
      controllers.push_back(std::make_unique<kube::Controller>(kube::Controller::Options{.name = std::move(name), .workers = 2}, reconciler, deps.clock));
      return controllers.back().get();
    };
    kube::Controller* set = make("statefulset", *set_reconciler);
    set->watch(sets);
    set->watch_owned(pods, "StatefulSet");
    kube::Controller* job = make("job", *job_reconciler);
    job->watch(jobs);
    job->watch_owned(pods, "Job");
    kube::Controller* endpoint = make("endpoints", *endpoints_reconciler);
    endpoint->watch(services);
    endpoint->watch(endpoints);
    endpoint->watch_mapped<api::Pod>(pods, [this](const api::Pod& pod) { return services_of(pod); });
    make("namespace", *namespace_reconciler)->watch(namespaces);
    pod_gc = std::make_unique<PodGarbage>(PodGarbage::Deps{deps.client, pods, nodes});
    kube::Controller* lost_pods = make("pod-gc", *pod_gc);
    lost_pods->watch(pods);
    nodes.add_handler([this, lost_pods](const kube::Change<api::Node>& change) {
      if (change.kind != kube::ChangeKind::Deleted) return;
      for (const auto& pod : pods.list()) {
        if (pod->spec.node_name == change.before->metadata.name) lost_pods->enqueue(pod->metadata.key());
      }
    });

    for (kube::Reflector* informer : std::initializer_list<kube::Reflector*>{&pods, &sets, &jobs, &services, &endpoints, &namespaces, &nodes}) manager.add(*informer);
    for (kube::Reflector* watch : collector.reflectors()) manager.add(*watch);
    for (auto& controller : controllers) manager.add(*controller);
    manager.add(collector.controller());
  }

  /// The Services that select a pod.
  std::vector<api::ObjectKey> services_of(const api::Pod& pod) const {
    std::vector<api::ObjectKey> keys;
    for (const std::string& pair : label_pairs(pod)) {
      for (const auto& service : services.by_index(kBySelector, pair)) {
        api::LabelSelector wanted;
        wanted.match_labels = service->spec.selector;
        if (api::matches(wanted, pod.metadata.labels).value_or(false)) keys.push_back(service->metadata.key());
      }
    }
    return keys;
  }

  Deps deps;
  kube::Manager manager;
  kube::Informer<api::Pod> pods;
  kube::Informer<api::StatefulSet> sets;
  kube::Informer<api::Job> jobs;
  kube::Informer<api::Service> services;
  kube::Informer<api::Endpoints> endpoints;
  kube::Informer<api::Namespace> namespaces;
  kube::Informer<api::Node> nodes;
  GarbageCollector collector;
  std::unique_ptr<kube::EventRecorder> events;
  std::unique_ptr<StatefulSetController> set_reconciler;
  std::unique_ptr<JobController> job_reconciler;
  std::unique_ptr<EndpointsController> endpoints_reconciler;
  std::unique_ptr<NamespaceController> namespace_reconciler;
  std::unique_ptr<PodGarbage> pod_gc;
  std::vector<std::unique_ptr<kube::Controller>> controllers;
};

Workloads::Workloads(Deps deps) : parts_(std::make_unique<Parts>(std::move(deps))) {}
Workloads::~Workloads() { stop(); }

base::Status Workloads::start(const base::Context& ctx) {
  parts_->wire(ctx);
  return parts_->manager.start(ctx);
}

void Workloads::stop() { parts_->manager.stop(); }

}  // namespace workloads

#include "workloads/endpoints.h"

#include <algorithm>

#include "workloads/stateful_set.h"

namespace workloads {
namespace {

using base::ErrorCode;

/// The number behind a target port: itself, or the container port of that name; 0 when no container has it.
std::int32_t resolve_port(const api::ServicePort& port, const api::Pod& pod) {
  if (port.target_port.is_int()) return port.target_port.number() == 0 ? port.port : static_cast<std::int32_t>(port.target_port.number());
  for (const api::Container& container : pod.spec.containers) {
    for (const api::ContainerPort& declared : container.ports) {
      if (declared.name == port.target_port.text()) return declared.container_port;
    }
  }
  return 0;
}

bool selects(const std::map<std::string, std::string>& selector, const api::Pod& pod) {
  return std::all_of(selector.begin(), selector.end(), [&](const auto& wanted) {
    const auto found = pod.metadata.labels.find(wanted.first);
    return found != pod.metadata.labels.end() && found->second == wanted.second;
  });
}

std::string label_pair(const std::string& ns, const std::string& key, const std::string& value) { return ns + "/" + key + "=" + value; }

api::EndpointAddress address_of(const api::Service& service, const api::Pod& pod) {
  api::EndpointAddress address;
  address.ip = pod.status.pod_ip;
  if (pod.spec.subdomain == service.metadata.name) address.hostname = pod.spec.hostname;
  if (!pod.spec.node_name.empty()) address.node_name = pod.spec.node_name;
  address.target_ref = api::ObjectReference{.kind = "Pod", .ns = pod.metadata.ns, .name = pod.metadata.name, .uid = pod.metadata.uid};
  return address;
}

}  // namespace

std::vector<std::string> label_pairs(const api::Pod& pod) {
  std::vector<std::string> pairs;
  for (const auto& [key, value] : pod.metadata.labels) pairs.push_back(label_pair(pod.metadata.ns, key, value));
  return pairs;
}

std::vector<std::string> selector_pair(const api::Service& service) {
  if (service.spec.selector.empty()) return {};
  const auto& [key, value] = *service.spec.selector.begin();
  return {label_pair(service.metadata.ns, key, value)};
}

std::optional<api::Endpoints> plan_endpoints(const api::Service& service, const std::vector<std::shared_ptr<const api::Pod>>& pods) {
  if (service.spec.selector.empty()) return std::nullopt;
  api::Endpoints endpoints;
  endpoints.metadata.name = service.metadata.name;
  endpoints.metadata.ns = service.metadata.ns;
  endpoints.metadata.labels = service.metadata.labels;
  endpoints.metadata.owner_references.push_back(api::controller_reference(service));
  api::EndpointSubset subset;
  const api::Pod* sample = nullptr;
  for (const auto& pod : pods) {
    if (pod->metadata.ns != service.metadata.ns || pod->status.pod_ip.empty() || has_pod_ended(*pod) || !selects(service.spec.selector, *pod)) continue;
    sample = pod.get();
    const bool ready = service.spec.publish_not_ready_addresses || (is_pod_ready(*pod) && !pod->metadata.deleting());
    (ready ? subset.addresses : subset.not_ready_addresses).push_back(address_of(service, *pod));
  }
  if (sample) {
    const auto by_ip = [](const api::EndpointAddress& a, const api::EndpointAddress& b) { return a.ip < b.ip; };
    std::sort(subset.addresses.begin(), subset.addresses.end(), by_ip);
    std::sort(subset.not_ready_addresses.begin(), subset.not_ready_addresses.end(), by_ip);
    for (const api::ServicePort& port : service.spec.ports) {
      if (const std::int32_t number = resolve_port(port, *sample)) subset.ports.push_back({port.name, number, port.protocol.empty() ? "TCP" : port.protocol});
    }
    endpoints.subsets.push_back(std::move(subset));
  }
  return endpoints;
}

base::Result<kube::Requeue> EndpointsController::reconcile(const base::Context& ctx, const api::ObjectKey& key) {
  const auto service = deps_.services.get(key);
  if (!service || service->metadata.deleting()) return kube::Requeue::none();  // Collected with its owner.
  const std::vector<std::string> pair = selector_pair(*service);
  if (pair.empty()) return kube::Requeue::none();  // Somebody else writes them.
  const auto wanted = plan_endpoints(*service, deps_.pods.by_index(kByLabel, pair.front()));
  const auto live = deps_.endpoints.get(key);
  if (!live) {
    auto created = kube::create(ctx, deps_.client, *wanted);
    if (!created && created.error().code() != ErrorCode::AlreadyExists) return std::move(created).error();
    return kube::Requeue::none();
  }
  if (json::equal(json::write_value(live->subsets), json::write_value(wanted->subsets))) return kube::Requeue::none();
  auto patched = deps_.client.patch(ctx, api::Endpoints::kType, key, kube::PatchType::Merge, json::Object{{"subsets", json::write_value(wanted->subsets)}});
  if (!patched && patched.error().code() != ErrorCode::NotFound) return std::move(patched).error();
  return kube::Requeue::none();
}

}  // namespace workloads

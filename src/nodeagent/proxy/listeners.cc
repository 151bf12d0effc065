#include "nodeagent/proxy/listeners.h"

#include <algorithm>
#include <set>

namespace nodeagent {
namespace {

bool is_tcp(const std::string& protocol) { return protocol.empty() || protocol == "TCP"; }

std::vector<SocketAddress> backends_of(const api::ServicePort& port,
                                       const api::Endpoints& endpoints) {
  std::set<SocketAddress> found;
  for (const api::EndpointSubset& subset : endpoints.subsets) {
    for (const api::EndpointPort& target : subset.ports) {
      if (target.name != port.name || !is_tcp(target.protocol)) continue;
      for (const api::EndpointAddress& address : subset.addresses) {
        found.insert({address.ip, static_cast<std::uint16_t>(target.port)});
      }
    }
  }
  return {found.begin(), found.end()};
}

}  // namespace

std::vector<ServiceListener> service_listeners(const api::Service& service,
                                               const api::Endpoints* endpoints) {
  std::vector<ServiceListener> listeners;
  const std::string& ip = service.spec.cluster_ip;
  if (!ip.starts_with("127.") || !endpoints || service.metadata.deleting()) return listeners;
  for (const api::ServicePort& port : service.spec.ports) {
    if (!is_tcp(port.protocol)) continue;
    ServiceListener listener{
        {ip, static_cast<std::uint16_t>(port.port)}, {}, backends_of(port, *endpoints)};
    if (listener.backends.empty()) continue;
    const std::uint16_t target = listener.backends.front().port;
    const bool target_is_used = std::ranges::any_of(
        service.spec.ports, [&](const auto& other) { return other.port == target; });
    if (target != port.port && !target_is_used) listener.fallback = {ip, target};
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

}  // namespace nodeagent

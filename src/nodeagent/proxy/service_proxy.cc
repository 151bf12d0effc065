#include "nodeagent/proxy/service_proxy.h"

#include <fmt/format.h>

namespace nodeagent {
namespace {

/// An address in use may become free.
constexpr std::chrono::seconds kRetry{10};

}  // namespace

base::Result<kube::Requeue> ServiceProxy::reconcile(const base::Context&,
                                                    const api::ObjectKey& key) {
  const auto service = deps_.services.get(key);
  const auto endpoints = deps_.endpoints.get(key);
  const std::vector<ServiceListener> wanted =
      service ? service_listeners(*service, endpoints.get()) : std::vector<ServiceListener>();
  std::map<SocketAddress, SocketAddress>& active = active_[key];
  std::map<SocketAddress, SocketAddress> now;
  kube::Requeue requeue;
  for (const ServiceListener& listener : wanted) {
    const auto before = active.find(listener.address);
    base::Result<SocketAddress> in_use = base::Error(base::ErrorCode::NotFound, "");
    if (before == active.end()) {
      in_use = serve(listener);
    } else {
      // It listens already; only the backends may be others.
      TRY(deps_.relay.listen(before->second, listener.backends));
      in_use = before->second;
    }
    if (in_use) {
      now[listener.address] = *in_use;
    } else {
      requeue = kube::Requeue::after(kRetry);
    }
    explain(*service, listener, in_use);
  }
  for (const auto& [address, in_use] : active) {
    if (!now.contains(address)) deps_.relay.close(in_use);
  }
  active = std::move(now);
  if (active.empty()) active_.erase(key);
  return requeue;
}

base::Result<SocketAddress> ServiceProxy::serve(const ServiceListener& listener) {
  const base::Result<std::uint16_t> direct =
      deps_.relay.listen(listener.address, listener.backends);
  if (direct) return listener.address;
  if (listener.fallback.port == 0) return direct.error();
  const base::Result<std::uint16_t> fallback =
      deps_.relay.listen(listener.fallback, listener.backends);
  if (fallback) return listener.fallback;
  return direct.error();
}

void ServiceProxy::explain(const api::Service& service, const ServiceListener& listener,
                           const base::Result<SocketAddress>& outcome) {
  if (outcome && *outcome == listener.address) return;
  if (!explained_.insert(service.metadata.uid + listener.address.text()).second) return;
  const std::string message = outcome
                                  ? fmt::format(
                                        "this node may not listen on {} (ports below 1024 need "
                                        "root); use http://{} instead",
                                        listener.address.text(), outcome->text())
                                  : fmt::format("this node cannot serve {}: {}",
                                                listener.address.text(), outcome.error().message());
  deps_.events.record(kube::ObjectReference::of(service), kube::EventType::Warning,
                      outcome ? "PortSubstituted" : "PortUnavailable", message);
}

}  // namespace nodeagent

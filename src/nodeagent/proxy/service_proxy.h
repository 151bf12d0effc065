#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kube/cache/informer.h"
#include "kube/runtime/controller.h"
#include "kube/runtime/events.h"
#include "nodeagent/proxy/relay.h"

namespace nodeagent {

/// Listens on the cluster IPs of Services and relays to their ready endpoints. Run it with one
/// worker. Where a port may not be bound it listens on the target port of the same address and says
/// so once in an event on the Service.
class ServiceProxy final : public kube::Reconciler {
 public:
  struct Deps {
    kube::EventRecorder& events;
    kube::Informer<api::Service>& services;
    kube::Informer<api::Endpoints>& endpoints;
    TcpRelay& relay;
  };
  explicit ServiceProxy(Deps deps) : deps_(std::move(deps)) {}

  base::Result<kube::Requeue> reconcile(const base::Context& ctx,
                                        const api::ObjectKey& key) override;

 private:
  /// Listens for one port; returns the address in use, or the error of both attempts.
  base::Result<SocketAddress> serve(const ServiceListener& listener);
  void explain(const api::Service& service, const ServiceListener& listener,
               const base::Result<SocketAddress>& outcome);

  Deps deps_;
  /// What each Service listens on: wanted address to the one in use.
  std::map<api::ObjectKey, std::map<SocketAddress, SocketAddress>> active_;
  std::set<std::string> explained_;  ///< UID and address of what an event told already.
};

}  // namespace nodeagent

#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/core/service.h"

namespace nodeagent {

/// An IPv4 address and port.
struct SocketAddress {
  std::string ip;
  std::uint16_t port = 0;
  std::string text() const { return ip + ":" + std::to_string(port); }
  friend auto operator<=>(const SocketAddress&, const SocketAddress&) = default;
};

/// One address of a Service to listen on and where its connections go.
struct ServiceListener {
  SocketAddress address;
  /// Where to listen when `address` may not be bound (ports below 1024 without root); port 0:
  /// nowhere.
  SocketAddress fallback;
  std::vector<SocketAddress> backends;  ///< Ready endpoints; never empty.
  friend bool operator==(const ServiceListener&, const ServiceListener&) = default;
};

/// The listeners a Service needs: one for each TCP port that has ready endpoints, so that a Service
/// without any refuses connections. Headless and foreign addresses (outside 127.0.0.0/8) need none.
std::vector<ServiceListener> service_listeners(const api::Service& service,
                                               const api::Endpoints* endpoints);

}  // namespace nodeagent

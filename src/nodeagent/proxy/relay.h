#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "nodeagent/proxy/listeners.h"

namespace nodeagent {

/// Relays TCP connections from listening addresses to backends, round robin, on one thread that
/// waits for all of them. Half-closed connections stay half-closed; a backend that refuses is
/// passed over; when all refuse the client is reset. Connections outlive a change of backends but
/// not the relay. Safe from many threads.
class TcpRelay {
 public:
  explicit TcpRelay(base::Logger log);
  ~TcpRelay();

  /// Listens on `address` from now on and relays to `backends`, or only takes on new backends when
  /// it listens already. Port 0 lets the system choose. Returns the port.
  /// Errors: Forbidden (ports below 1024), AlreadyExists (in use), Invalid.
  base::Result<std::uint16_t> listen(const SocketAddress& address,
                                     std::vector<SocketAddress> backends);
  /// Stops listening; connections go on.
  void close(const SocketAddress& address);

  struct Counters {
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;  ///< Reset for lack of a backend or of room.
    std::size_t open = 0;
  };
  Counters counters() const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace nodeagent

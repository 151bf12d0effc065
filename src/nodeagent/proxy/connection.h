#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "nodeagent/proxy/listeners.h"

namespace nodeagent {

/// One client and one backend, both non-blocking, with what is on its way between them. Memory is
/// held only while a receiver is slower than its sender.
class RelayConnection {
 public:
  RelayConnection(base::UniqueFd client, std::vector<SocketAddress> backends, std::size_t first);

  enum class State { Connecting, Open, Closed };
  State state() const { return state_; }
  int client_fd() const { return client_.get(); }
  int backend_fd() const { return backend_.get(); }
  base::SteadyTime connect_deadline() const { return connect_deadline_; }
  bool failed() const { return failed_; }

  /// Tries the next backend; resets the client when none is left.
  void connect_next();
  /// The backend socket became writable (or failed) while connecting.
  void on_connect_result();
  /// Moves what can be moved in both directions, up to a turn's worth; true when there is more.
  /// `scratch` is shared by all connections.
  bool pump(std::span<char> scratch);
  /// Ends the client's connection with a reset.
  void reset_client();

 private:
  struct Direction {
    std::string waiting;  ///< Read from the source, not yet taken by the sink.
    std::size_t sent = 0;
    bool source_ended = false;
    bool sink_ended = false;
  };
  bool flush(Direction& direction, int sink);
  bool pump_direction(Direction& direction, int source, int sink, std::span<char> scratch);
  void close_all();

  base::UniqueFd client_;
  base::UniqueFd backend_;
  std::vector<SocketAddress> backends_;
  std::size_t next_;
  std::size_t tried_ = 0;
  State state_ = State::Connecting;
  bool failed_ = false;
  base::SteadyTime connect_deadline_;
  Direction up_;
  Direction down_;
};

}  // namespace nodeagent

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "json/codec.h"

/// The protocol between agent and shim: JSON messages over one SOCK_SEQPACKET pair. Its end of file
/// tells the shim that the agent is gone.
namespace nodeagent {

/// Descriptors a shim is started with.
inline constexpr int kControlFd = 3;
inline constexpr int kSpecFd = 4;
/// Exit status that stands for a program that could not be started (as container runtimes use).
inline constexpr int kStartErrorExitCode = 128;

/// Agent to shim: `signal` sends a signal to the container's first process, `exec` runs a command
/// beside it, `kill` ends the container at once.
struct ControlRequest {
  std::string type;
  std::int32_t signal = 0;
  std::int64_t id = 0;
  std::int64_t timeout_ms = 0;
  std::vector<std::string> argv;
};
template <class V>
void describe(V& v, ControlRequest& r) {
  using json::Presence;
  v.field("type", r.type, Presence::Required, "signal, exec or kill.");
  v.field("signal", r.signal, Presence::Optional, "Number of the signal.");
  v.field("id", r.id, Presence::Optional, "Number of the exec.");
  v.field("timeoutMs", r.timeout_ms, Presence::Optional, "Bound of the exec.");
  v.field("argv", r.argv, Presence::Optional, "Command of the exec.");
}

/// Shim to agent: `started`, `failed` (with a message, nothing ran), `exited`, `exec` (its end).
struct ControlEvent {
  std::string type;
  std::int64_t id = 0;
  std::int32_t exit_code = 0;  ///< 128 + signal when a signal ended it.
  std::int32_t signal = 0;
  std::int64_t pid = 0;  ///< Of the program, as the shim sees it.
  bool timed_out = false;
  std::string message;  ///< Why it failed, or the output of an exec.
};
template <class V>
void describe(V& v, ControlEvent& e) {
  using json::Presence;
  v.field("type", e.type, Presence::Required, "started, failed, exited or exec.");
  v.field("id", e.id, Presence::Optional, "Number of the exec.");
  v.field("exitCode", e.exit_code, Presence::Optional, "Exit status.");
  v.field("signal", e.signal, Presence::Optional, "Signal that ended it.");
  v.field("pid", e.pid, Presence::Optional, "Process of the program.");
  v.field("timedOut", e.timed_out, Presence::Optional, "Whether the exec ran out of time.");
  v.field("message", e.message, Presence::Optional, "Reason or output.");
}

/// Sends one message. Errors: Unavailable when the other side is gone.
base::Status send_text(int fd, std::string_view text);
/// Receives one message; "" at the end of the connection. Errors: those of the socket.
base::Result<std::string> receive_text(int fd);

template <class T>
base::Status send_message(int fd, const T& message) {
  return send_text(fd, json::dump(json::encode(message)));
}
template <class T>
base::Result<T> parse_message(std::string_view text) {
  const json::Value value = TRY(json::parse(text));
  return json::decode<T>(value);
}

}  // namespace nodeagent

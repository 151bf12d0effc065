#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every bound of the node agent in one place.
namespace nodeagent {

/// One message between agent and shim, and so the longest exec command.
inline constexpr std::size_t kMaxControlMessageBytes = 128 << 10;
/// What is kept of the output of a probe or hook.
inline constexpr std::size_t kMaxExecOutputBytes = 4 << 10;
/// Longest line of a log entry; a longer one is split as CRI does (tag P).
inline constexpr std::size_t kMaxLogLineBytes = 16 << 10;
/// A log rotates at this size; one older file is kept.
inline constexpr std::int64_t kMaxLogFileBytes = 10 << 20;
/// Directory entries bound one by one when a mount point has to be created among them.
inline constexpr std::size_t kMaxExpandedEntries = 8192;
/// From the start of the shim until the container's program runs.
inline constexpr std::chrono::milliseconds kStartTimeout{20'000};
/// How long a finished shim may take to vanish.
inline constexpr std::chrono::milliseconds kReapTimeout{10'000};
/// What containers get to end by themselves when the agent ends.
inline constexpr std::chrono::milliseconds kShutdownGrace{2'000};
/// A termination message and the log lines that stand in for it (as kubelet).
inline constexpr std::size_t kMaxTerminationMessageBytes = 4096;
inline constexpr std::size_t kMaxTerminationLogBytes = 2048;
inline constexpr std::size_t kMaxTerminationLogLines = 80;
/// Restart logs kept of one container.
inline constexpr int kKeptAttempts = 2;
inline constexpr std::size_t kMaxContainersRunning = 1024;
/// Proxy: connections relayed at once over all services, and bytes buffered per direction.
inline constexpr std::size_t kMaxProxyConnections = 2048;
inline constexpr std::size_t kProxyPipeBytes = 64 << 10;
inline constexpr std::chrono::milliseconds kProxyConnectTimeout{5'000};
inline constexpr std::chrono::seconds kNodeHeartbeat{300};
inline constexpr std::chrono::seconds kDefaultGracePeriod{30};

}  // namespace nodeagent

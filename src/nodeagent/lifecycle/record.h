#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "api/core/pod.h"
#include "base/clock.h"

namespace nodeagent {

enum class ContainerPhase { Waiting, Running, Ended };

/// Init containers run one after the other; a sidecar is an init container that stays.
enum class ContainerRole { Init, Sidecar, Main };

/// How one run of a container ended.
struct Termination {
  int exit_code = 0;
  int signal = 0;
  std::string reason;  ///< Completed, Error, ContainerStatusUnknown, StartError
  std::string message;
  base::SystemTime started_at;
  base::SystemTime finished_at;
  std::string container_id;
};

/// A stop that was asked for: SIGTERM now (after preStop), SIGKILL at `kill_at`.
struct StopRequest {
  base::SteadyTime kill_at;
  bool killed = false;
};

/// What the agent knows of one container of a pod.
struct ContainerRecord {
  ContainerPhase phase = ContainerPhase::Waiting;
  std::string waiting_reason;  ///< "" lets the pod's phase decide.
  std::string waiting_message;
  std::string runtime_id;
  int restart_count = 0;
  base::SystemTime started_at;
  base::SteadyTime started_steady;
  std::optional<Termination> last;      ///< Of the run that ended latest.
  std::optional<Termination> previous;  ///< Of the one before.
  base::SteadyTime not_before;          ///< Earliest next start.
  std::chrono::milliseconds backoff{0};
  bool started = false;  ///< The startup probe passed, or there is none.
  bool ready = false;
  std::optional<StopRequest> stop;
};

/// What the agent knows of one pod. Touched only by the worker that holds the pod's key.
struct PodRecord {
  std::string uid;
  std::string node_name;
  std::string pod_ip;
  std::string host_ip;
  base::SystemTime start_time;
  base::SteadyTime start_steady;
  std::map<std::string, ContainerRecord> containers;  ///< All, by name.
  std::string failed_reason;  ///< Set when the pod as a whole failed, such as DeadlineExceeded.
  std::string failed_message;
  bool removing = false;  ///< The object is gone or goes: nothing may start.
  std::chrono::seconds grace{30};
};

struct BackoffPolicy {
  std::chrono::milliseconds base{1'000};
  std::chrono::milliseconds max{300'000};
  /// A run this long makes the next back-off start anew.
  std::chrono::milliseconds reset_after{600'000};
};

/// The wait after a run of `ran_for` that followed a wait of `before`.
std::chrono::milliseconds next_backoff(const BackoffPolicy& policy,
                                       std::chrono::milliseconds before,
                                       std::chrono::nanoseconds ran_for);

ContainerRole role_of_init(const api::Container& container);

/// Whether a run that ended like this is followed by another.
bool will_restart(ContainerRole role, std::string_view restart_policy, const Termination& last);

}  // namespace nodeagent

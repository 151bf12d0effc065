#include "nodeagent/lifecycle/status.h"

#include <fmt/format.h>

#include <algorithm>

#include "nodeagent/lifecycle/plan.h"

namespace nodeagent {
namespace {

constexpr int kLostExitCode = 137;

std::string join(const std::vector<std::string>& names) {
  return fmt::format("[{}]", fmt::join(names, " "));
}

void set_condition(std::vector<api::PodCondition>& conditions, api::PodCondition wanted,
                   const api::Time& now) {
  const auto found = std::ranges::find(conditions, wanted.type, &api::PodCondition::type);
  if (found == conditions.end()) {
    wanted.last_transition_time = now;
    conditions.push_back(std::move(wanted));
    return;
  }
  wanted.last_transition_time = found->status == wanted.status ? found->last_transition_time : now;
  *found = std::move(wanted);
}

api::ContainerStateTerminated terminated_state(const Termination& end) {
  return {.exit_code = end.exit_code,
          .signal = end.signal,
          .reason = end.reason,
          .message = end.message,
          .started_at = base::format_rfc3339(end.started_at),
          .finished_at = base::format_rfc3339(end.finished_at),
          .container_id = end.container_id};
}

std::string container_id(const std::string& runtime_id) {
  return runtime_id.empty() ? std::string() : "kaito://" + runtime_id;
}

struct StatusInputs {
  const api::Pod& pod;
  const PodRecord& record;
  bool restarts_possible;  ///< The pod is neither going nor failed.
  bool inits_done;
};

api::ContainerState waiting_state(const StatusInputs& in, const ContainerRecord& container,
                                  ContainerRole role) {
  api::ContainerStateWaiting waiting{container.waiting_reason, container.waiting_message};
  if (waiting.reason.empty()) {
    waiting.reason =
        in.inits_done || role != ContainerRole::Main ? "ContainerCreating" : "PodInitializing";
  }
  return {.waiting = std::move(waiting), .running = {}, .terminated = {}};
}

api::ContainerStatus container_status(const StatusInputs& in, const api::Container& container,
                                      ContainerRole role) {
  static const ContainerRecord kNew;
  const auto found = in.record.containers.find(container.name);
  const ContainerRecord& record = found == in.record.containers.end() ? kNew : found->second;
  api::ContainerStatus status{
      .name = container.name, .state = {}, .last_state = {}, .image = container.image};
  status.restart_count = record.restart_count;
  status.image_id = container.image;
  status.container_id = container_id(record.runtime_id);
  status.started = record.phase == ContainerPhase::Running && record.started;
  const bool init_completed = role == ContainerRole::Init &&
                              record.phase == ContainerPhase::Ended && record.last->exit_code == 0;
  status.ready = init_completed || (record.phase == ContainerPhase::Running && record.ready);
  const bool restarts = record.phase == ContainerPhase::Ended && in.restarts_possible &&
                        will_restart(role, in.pod.spec.restart_policy, *record.last);
  if (record.phase == ContainerPhase::Running) {
    status.state.running = api::ContainerStateRunning{base::format_rfc3339(record.started_at)};
  } else if (record.phase == ContainerPhase::Ended && !restarts) {
    status.state.terminated = terminated_state(*record.last);
    if (record.previous) status.last_state.terminated = terminated_state(*record.previous);
    return status;
  } else {
    status.state = waiting_state(in, record, role);
    if (restarts && record.waiting_reason.empty()) {
      status.state.waiting = api::ContainerStateWaiting{
          "CrashLoopBackOff",
          fmt::format("back-off {}ms restarting failed container={} pod={}_{}({})",
                      record.backoff.count(), container.name, in.pod.metadata.name,
                      in.pod.metadata.ns, in.pod.metadata.uid)};
    }
  }
  if (record.last) status.last_state.terminated = terminated_state(*record.last);
  return status;
}

bool is_finished_init(const api::ContainerStatus& status, ContainerRole role) {
  if (role == ContainerRole::Sidecar) return status.started.value_or(false);
  return status.state.terminated && status.state.terminated->exit_code == 0;
}

void set_conditions(const StatusInputs& in, api::PodStatus& status, const api::Time& now) {
  std::vector<std::string> uninitialized;
  for (std::size_t i = 0; i < in.pod.spec.init_containers.size(); ++i) {
    const api::Container& container = in.pod.spec.init_containers[i];
    if (!is_finished_init(status.init_container_statuses[i], role_of_init(container))) {
      uninitialized.push_back(container.name);
    }
  }
  std::vector<std::string> unready;
  for (const api::ContainerStatus& container : status.container_statuses) {
    if (!container.ready) unready.push_back(container.name);
  }
  const bool over = status.phase == "Succeeded" || status.phase == "Failed";
  // A pod that is here was scheduled, by whomever.
  set_condition(status.conditions, {.type = "PodScheduled", .status = "True"}, now);
  api::PodCondition initialized{.type = "Initialized", .status = "True"};
  if (!uninitialized.empty() && status.phase != "Succeeded") {
    initialized.status = "False";
    initialized.reason = "ContainersNotInitialized";
    initialized.message = "containers with incomplete status: " + join(uninitialized);
  } else if (status.phase == "Succeeded") {
    initialized.reason = "PodCompleted";
  }
  set_condition(status.conditions, initialized, now);
  for (const char* type : {"ContainersReady", "Ready"}) {
    api::PodCondition condition{.type = type, .status = "True"};
    if (over || !unready.empty()) {
      condition.status = "False";
      condition.reason = status.phase == "Succeeded" ? "PodCompleted"
                         : status.phase == "Failed"  ? "PodFailed"
                                                     : "ContainersNotReady";
      if (!over) condition.message = "containers with unready status: " + join(unready);
    }
    set_condition(status.conditions, condition, now);
  }
}

std::optional<Termination> termination_from(
    const std::optional<api::ContainerStateTerminated>& state) {
  if (!state) return std::nullopt;
  return Termination{
      .exit_code = state->exit_code,
      .signal = state->signal,
      .reason = state->reason,
      .message = state->message,
      .started_at = base::parse_rfc3339(state->started_at).value_or(base::SystemTime{}),
      .finished_at = base::parse_rfc3339(state->finished_at).value_or(base::SystemTime{}),
      .container_id = state->container_id};
}

ContainerRecord container_from(const api::ContainerStatus& status, base::SystemTime now) {
  ContainerRecord record;
  record.restart_count = status.restart_count;
  if (status.state.running) {
    record.phase = ContainerPhase::Ended;
    record.previous = termination_from(status.last_state.terminated);
    record.last = Termination{
        .exit_code = kLostExitCode,
        .signal = 9,
        .reason = "ContainerStatusUnknown",
        .message = "the container ended with the node agent that ran it",
        .started_at = base::parse_rfc3339(status.state.running->started_at).value_or(now),
        .finished_at = now,
        .container_id = status.container_id};
  } else if (status.state.terminated) {
    record.phase = ContainerPhase::Ended;
    record.previous = termination_from(status.last_state.terminated);
    record.last = termination_from(status.state.terminated);
  } else if (status.last_state.terminated) {
    record.phase = ContainerPhase::Ended;
    record.last = termination_from(status.last_state.terminated);
  }
  return record;
}

}  // namespace

api::PodStatus pod_status(const api::Pod& pod, const PodRecord& record, base::SystemTime now) {
  api::PodStatus status;
  status.phase = pod_phase(pod, record);
  status.conditions = pod.status.conditions;
  status.qos_class = pod.status.qos_class;
  status.nominated_node_name = pod.status.nominated_node_name;
  status.observed_generation = pod.status.observed_generation;
  status.reason = record.failed_reason;
  status.message = record.failed_message;
  status.host_ip = record.host_ip;
  status.pod_ip = record.pod_ip;
  if (!record.pod_ip.empty()) status.pod_ips = {{record.pod_ip}};
  status.start_time = base::format_rfc3339(record.start_time);
  const bool alive = !record.removing && status.phase != "Failed" && status.phase != "Succeeded";
  StatusInputs in{pod, record, alive, true};
  for (const api::Container& container : pod.spec.init_containers) {
    const ContainerRole role = role_of_init(container);
    status.init_container_statuses.push_back(container_status(in, container, role));
    in.inits_done = in.inits_done && is_finished_init(status.init_container_statuses.back(), role);
  }
  for (const api::Container& container : pod.spec.containers) {
    status.container_statuses.push_back(container_status(in, container, ContainerRole::Main));
  }
  set_conditions(in, status, base::format_rfc3339(now));
  return status;
}

bool is_own_condition(const api::PodCondition& condition) {
  return condition.type == "Initialized" || condition.type == "ContainersReady" ||
         condition.type == "Ready" || condition.type == "PodScheduled";
}

std::optional<json::Value> status_patch(const json::Value& before, const json::Value& after) {
  json::Object patch;
  const json::Object empty;
  const json::Object& old = before.is_object() ? before.get_object() : empty;
  for (const auto& member : after.get_object()) {
    const json::Value* value = old.if_contains(member.key());
    if (!value || !json::equal(*value, member.value())) patch[member.key()] = member.value();
  }
  for (const auto& member : old) {
    if (!after.get_object().contains(member.key())) patch[member.key()] = nullptr;
  }
  if (patch.empty()) return std::nullopt;
  return patch;
}

PodRecord record_from_status(const api::Pod& pod, base::SystemTime now, base::SteadyTime steady) {
  PodRecord record;
  record.uid = pod.metadata.uid;
  record.node_name = pod.spec.node_name;
  record.pod_ip = pod.status.pod_ip;
  record.start_time = base::parse_rfc3339(pod.status.start_time).value_or(now);
  record.start_steady = steady - std::max(base::SystemTime::duration{}, now - record.start_time);
  if (pod.status.phase == "Failed") {
    record.failed_reason = pod.status.reason;
    record.failed_message = pod.status.message;
  }
  for (const auto* statuses :
       {&pod.status.init_container_statuses, &pod.status.container_statuses}) {
    for (const api::ContainerStatus& status : *statuses) {
      record.containers.emplace(status.name, container_from(status, now));
    }
  }
  for (const auto* containers : {&pod.spec.init_containers, &pod.spec.containers}) {
    for (const api::Container& container : *containers)
      record.containers.try_emplace(container.name);
  }
  return record;
}

}  // namespace nodeagent

#include "workspace/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "api/workspace/names.h"
#include "workspace/pod_parts.h"
#include "workspace/tune.h"

namespace workspace {
namespace {

constexpr std::size_t kMaxMessageBytes = 1024;

std::string limited(std::string text) {
  if (text.size() > kMaxMessageBytes) {
    text.resize(kMaxMessageBytes);
    text += "...";
  }
  return text;
}

bool is_one_of(std::string_view reason, std::initializer_list<std::string_view> reasons) {
  return std::find(reasons.begin(), reasons.end(), reason) != reasons.end();
}

/// A container's last words: why it ended, best source first.
std::string last_words(const api::ContainerStatus& container) {
  for (const auto& terminated : {container.state.terminated, container.last_state.terminated}) {
    if (!terminated) continue;
    if (!terminated->message.empty())
      return fmt::format("exit code {}: {}", terminated->exit_code, terminated->message);
    return fmt::format("exit code {}", terminated->exit_code);
  }
  return {};
}

/// Exit code 3 of `kaito model pull`: the registry has no such image.
constexpr std::int32_t kExitImageMissing = 3;

bool is_image_missing(const api::ContainerStatus& container) {
  const auto& now = container.state.terminated;
  const auto& before = container.last_state.terminated;
  return container.name == "model-weights-downloader" &&
         ((now && now->exit_code == kExitImageMissing) ||
          (before && before->exit_code == kExitImageMissing));
}

/// What the state of one container says, or nothing. Lower `rank` tells more.
struct Finding {
  int rank = 0;
  Problem problem;
};

std::optional<Finding> inspect(const api::Pod& pod, const api::ContainerStatus& container) {
  const auto oom = [](const auto& terminated) {
    return terminated && terminated->reason == "OOMKilled";
  };
  const std::string where =
      fmt::format("container {} of pod {}", container.name, pod.metadata.name);
  if (is_image_missing(container)) {
    const auto& ended =
        container.state.terminated ? container.state.terminated : container.last_state.terminated;
    return Finding{0, {"ModelImageNotFound", limited(ended->message), true}};
  }
  if (oom(container.state.terminated) || oom(container.last_state.terminated)) {
    return Finding{1, {"ContainerOOMKilled", fmt::format("{} ran out of memory", where), true}};
  }
  if (!container.state.waiting) {
    // Between two crashes a container runs for a moment; its last end still says what is wrong.
    if (!container.ready && container.restart_count > 0 && container.last_state.terminated &&
        container.last_state.terminated->exit_code != 0) {
      return Finding{
          5,
          {"ContainerCrashLoopBackOff",
           limited(fmt::format("{} keeps ending: {}", where, last_words(container))), true}};
    }
    if (container.state.terminated && container.state.terminated->exit_code != 0) {
      return Finding{5,
                     {"ContainerStartError",
                      limited(fmt::format("{} ended: {}", where, last_words(container))), true}};
    }
    return std::nullopt;
  }
  const std::string& reason = container.state.waiting->reason;
  const std::string& message = container.state.waiting->message;
  if (is_one_of(reason, {"ImagePullBackOff", "ErrImagePull", "InvalidImageName",
                         "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"})) {
    return Finding{2, {"ImagePullError", limited(fmt::format("{}: {}", where, message)), true}};
  }
  if (is_one_of(reason, {"CreateContainerConfigError", "PreCreateHookError", "CreateContainerError",
                         "PreStartHookError", "RunContainerError", "PostStartHookError"})) {
    return Finding{
        3,
        {"ContainerStartError", limited(fmt::format("{}: {}: {}", where, reason, message)), true}};
  }
  if (reason == "CrashLoopBackOff") {
    return Finding{
        4,
        {"ContainerCrashLoopBackOff",
         limited(fmt::format("{} keeps ending: {}", where, last_words(container))), true}};
  }
  return std::nullopt;
}

std::optional<Finding> inspect_pod(const api::Pod& pod) {
  if (pod.status.phase == "Failed" && pod.status.reason == "Evicted") {
    const std::string& message = pod.status.message;
    std::string reason = "PodEvicted";
    if (message.find("ephemeral-storage") != std::string::npos ||
        message.find("disk") != std::string::npos)
      reason = "NodeDiskPressure";
    else if (message.find("memory") != std::string::npos)
      reason = "NodeMemoryPressure";
    return Finding{6,
                   {reason, limited(fmt::format("pod {}: {}", pod.metadata.name, message)), false}};
  }
  for (const auto& condition : pod.status.conditions) {
    if (condition.type == "PodScheduled" && condition.status == "False" &&
        condition.reason == "Unschedulable") {
      return Finding{
          7,
          {"Unschedulable",
           limited(fmt::format("pod {}: {}", pod.metadata.name, condition.message)), false}};
    }
  }
  return std::nullopt;
}

bool is_pod_ready(const api::Pod& pod) {
  return !pod.metadata.deleting() &&
         std::any_of(pod.status.conditions.begin(), pod.status.conditions.end(),
                     [](const auto& c) { return c.type == "Ready" && c.status == "True"; });
}

bool is_current(const api::Pod& pod, const std::string& template_hash) {
  const auto found = pod.metadata.annotations.find(std::string(kTemplateHashAnnotation));
  return found != pod.metadata.annotations.end() && found->second == template_hash;
}

/// The most telling fault of the pods that `counts` picks.
std::optional<Problem> find_fault(const Observed& observed,
                                  const std::function<bool(const api::Pod&)>& counts) {
  std::optional<Finding> worst;
  const auto consider = [&](std::optional<Finding> finding) {
    if (finding && (!worst || finding->rank < worst->rank)) worst = std::move(finding);
  };
  for (const auto& pod : observed.pods) {
    if (!counts(*pod)) continue;
    consider(inspect_pod(*pod));
    for (const auto& container : pod->status.init_container_statuses)
      consider(inspect(*pod, container));
    for (const auto& container : pod->status.container_statuses) consider(inspect(*pod, container));
  }
  return worst ? std::optional(std::move(worst->problem)) : std::nullopt;
}

/// Collects conditions with what they all share.
class Conditions {
 public:
  Conditions(const StatusInputs& in, api::WorkspaceStatus& status) : in_(in), status_(status) {}

  void set(std::string type, bool value, std::string reason, std::string message) {
    api::Condition condition;
    condition.type = std::move(type);
    condition.status = value ? "True" : "False";
    condition.reason = std::move(reason);
    condition.message = std::move(message);
    condition.observed_generation = in_.observed.workspace->metadata.generation;
    api::set_condition(status_.conditions, std::move(condition), in_.now);
  }
  void drop(std::string_view type) {
    std::erase_if(status_.conditions, [&](const api::Condition& c) { return c.type == type; });
  }

 private:
  const StatusInputs& in_;
  api::WorkspaceStatus& status_;
};

/// What the one question, does it serve, has for an answer.
struct Verdict {
  bool ready = false;
  std::string reason;
  std::string message;
  bool stalled = false;
};

Verdict from_problem(const Problem& problem) {
  return {false, problem.reason, problem.message, problem.stalled};
}

Verdict judge_inference(const StatusInputs& in) {
  if (in.serving && in.serving->problem) return from_problem(*in.serving->problem);
  if (in.state && in.state->problem && !in.state->rolled_out)
    return from_problem(*in.state->problem);
  if (!in.nodes.ready)
    return {false, "WorkspaceInferenceStatusPending", "waiting for nodes",
            in.nodes.problem && in.nodes.problem->stalled};
  if (in.state && in.state->rolled_out)
    return {true, "WorkspaceInferenceStatusSuccess", "Inference has been deployed successfully",
            false};
  if (in.state && in.state->loading_target && in.canary.state == CanaryState::Failed &&
      in.canary.code == base::ErrorCode::NotFound)
    return {false, "AdapterNotLoaded", limited(in.canary.message), false};
  return {false, "WorkspaceInferenceStatusPending",
          in.state ? fmt::format("{} of {} pods of the current spec are ready",
                                 in.state->ready_replicas, in.state->replicas)
                   : "waiting for the workload",
          false};
}

Verdict answered(const ServingState& state) {
  // The message names what was proved: other adapters have to be proved anew.
  const std::string& adapters = state.canary_target->adapters_revision;
  return {true, "workspaceReady",
          fmt::format("pod {} answered with a token{}", state.canary_pod,
                      adapters.empty() ? "" : ", with adapters of revision " + adapters),
          false};
}

Verdict judge_workspace(const StatusInputs& in, const Verdict& inference) {
  if (in.nodes.problem) return from_problem(*in.nodes.problem);
  if (!inference.ready) {
    if (!in.nodes.ready && !inference.stalled) {
      const api::Condition& resource = in.nodes.conditions.back();
      return {false, resource.reason, resource.message, false};
    }
    return {false, inference.reason, inference.message, inference.stalled};
  }
  if (!in.observed.preset) return {true, "workspaceReady", "workspace is ready", false};
  switch (in.canary.state) {
    case CanaryState::Passed:
      return answered(*in.state);
    case CanaryState::Failed:
      return {false,
              in.canary.code == base::ErrorCode::NotFound ? "AdapterNotLoaded" : "CanaryFailed",
              limited(fmt::format("pod {} is ready but does not serve what is wanted: {}",
                                  in.state->canary_pod, in.canary.message)),
              false};
    case CanaryState::Unknown: {
      // After a restart of the operator nothing is known: what was ready stays so until a pod
      // fails to answer. A pod that restarted meanwhile was not ready for a while.
      Verdict ready = answered(*in.state);
      const auto* before =
          api::find_condition(in.observed.workspace->status.conditions, "WorkspaceReady");
      if (before && before->status == "True" && before->message == ready.message) return ready;
      return {false, "CanaryPending",
              fmt::format("waiting for a first token from pod {}", in.state->canary_pod), false};
    }
  }
  return {};
}

std::string where_the_adapter_is(const api::Workspace& workspace) {
  const auto& output = workspace.tuning->output;
  return output->image.empty() ? "the volume of tuning.output" : output->image;
}

/// The fault of the job's pods that was written down last; null when they had none.
const api::Condition* recorded_fault(const Observed& observed) {
  const auto* before = api::find_condition(observed.workspace->status.conditions, "JobStarted");
  if (!before || before->status != "True") return nullptr;
  return before->reason.starts_with("WorkspaceTuningJobStatus") ? nullptr : before;
}

/// The job's pods go when it fails: what they said last was written down before.
std::string why_it_failed(const StatusInputs& in) {
  if (const auto* fault = recorded_fault(in.observed)) return fault->message;
  const auto* before = api::find_condition(in.observed.workspace->status.conditions, "JobStarted");
  if (before && before->reason == "WorkspaceTuningJobStatusFailed") return before->message;
  for (const auto& condition : in.observed.job->status.conditions) {
    if (condition.type == "Failed" && condition.status == "True") return condition.message;
  }
  return "the job failed";
}

/// Whether the Job began, and how far it is.
Verdict judge_job(const StatusInputs& in) {
  const auto& job = in.observed.job;
  switch (in.observed.tuning) {
    case TuningPhase::Serving:
    case TuningPhase::Done:
      return {true, "WorkspaceTuningJobStatusSucceeded",
              fmt::format("the adapter is at {}", where_the_adapter_is(*in.observed.workspace)),
              false};
    case TuningPhase::Failed:
      return {true, "WorkspaceTuningJobStatusFailed", why_it_failed(in), true};
    case TuningPhase::Training:
    case TuningPhase::None:
      break;
  }
  if (in.nodes.problem) return from_problem(*in.nodes.problem);
  if (!job || job->metadata.deleting() || job->status.active == 0) {
    return {false, "WorkspaceTuningJobStatusPending",
            in.nodes.ready ? "waiting for the job" : "waiting for nodes", false};
  }
  const auto counts = [&](const api::Pod& pod) { return is_pod_of(*job, pod); };
  if (const auto problem = find_fault(in.observed, counts))
    return {true, problem->reason, problem->message, false};
  // The pods of a failing job go before it says so. What they said stays until a step is taken.
  const auto* fault = recorded_fault(in.observed);
  if (fault && !in.progress.starts_with("step"))
    return {true, fault->reason, fault->message, false};
  return {true, "WorkspaceTuningJobStatusStarted",
          in.progress.empty() ? std::string("the job runs") : in.progress, false};
}

/// The answer for a tuning that does not serve (yet).
Verdict judge_tuning(const StatusInputs& in, const Verdict& job) {
  switch (in.observed.tuning) {
    case TuningPhase::Done:
      return {false, "TuningSucceeded", job.message + "; it is not served", false};
    case TuningPhase::Failed:
      return {false, "TuningFailed", job.message, true};
    default:
      break;
  }
  if (in.nodes.problem) return from_problem(*in.nodes.problem);
  if (!in.nodes.ready && !job.ready) {
    const api::Condition& resource = in.nodes.conditions.back();
    return {false, resource.reason, resource.message, false};
  }
  return {false, job.reason, job.message, job.stalled};
}

std::string tuning_state(const Observed& observed) {
  switch (observed.tuning) {
    case TuningPhase::Done:
      return "Succeeded";
    case TuningPhase::Failed:
      return "Failed";
    default:
      return observed.job ? "Running" : "Pending";
  }
}

}  // namespace

ServingState observe_serving(const Observed& observed, const ServePlan& plan) {
  ServingState state;
  if (observed.stateful_set) {
    state.replicas = observed.stateful_set->spec.replicas.value_or(1);
  } else if (!plan.objects.empty()) {
    // Not there yet: as many as there will be, so that its coming alone changes no message.
    const json::Value& workload = plan.objects.back().object;
    state.replicas =
        static_cast<std::int32_t>(json::find_int(workload, "spec.replicas").value_or(0));
  }
  const auto counts = [&](const api::Pod& pod) { return is_current(pod, plan.template_hash); };
  state.problem = find_fault(observed, counts);
  for (const auto& pod : observed.pods) {
    if (!counts(*pod)) continue;
    if (!is_pod_ready(*pod)) {
      const auto& containers = pod->status.container_statuses;
      if (!plan.adapters_revision.empty() && !containers.empty() && containers[0].state.running)
        state.loading_target = CanaryTarget{pod->metadata.uid, containers[0].restart_count,
                                            fmt::format("{}:{}", pod->status.pod_ip, kServerPort),
                                            plan.adapters_revision, false};
      continue;
    }
    ++state.ready_replicas;
    if (state.canary_target && pod->metadata.name > state.canary_pod) continue;
    std::int32_t restarts = 0;
    for (const auto& container : pod->status.container_statuses)
      restarts += container.restart_count;
    state.canary_target =
        CanaryTarget{pod->metadata.uid, restarts,
                     fmt::format("{}:{}", pod->status.pod_ip, kServerPort), plan.adapters_revision};
    state.canary_pod = pod->metadata.name;
  }
  const auto& live = observed.stateful_set;
  state.rolled_out = live && !live->metadata.deleting() && state.replicas > 0 &&
                     state.ready_replicas >= state.replicas &&
                     live->status.observed_generation >= live->metadata.generation;
  return state;
}

api::WorkspaceStatus compute_status(const StatusInputs& in) {
  const api::Workspace& workspace = *in.observed.workspace;
  api::WorkspaceStatus status = workspace.status;
  Conditions conditions(in, status);
  if (workspace.metadata.deleting()) {
    conditions.set("WorkspaceDeleting", true, "workspaceDeleted", "workspace is being deleted");
    conditions.set("WorkspaceReady", false, "workspaceDeleted", "workspace is being deleted");
    conditions.set("Ready", false, "workspaceDeleted", "workspace is being deleted");
    return status;
  }
  status.worker_nodes = in.nodes.worker_nodes;
  status.target_node_count = in.nodes.target;
  for (const std::string_view type : {"NodeClaimReady", "MachineReady"}) {
    if (std::none_of(in.nodes.conditions.begin(), in.nodes.conditions.end(),
                     [&](const auto& c) { return c.type == type; }))
      conditions.drop(type);
  }
  const std::string suffix =
      in.error ? fmt::format(" (last reconcile error: {})", in.error->message()) : "";
  for (const api::Condition& c : in.nodes.conditions)
    conditions.set(c.type, c.status == "True", c.reason,
                   c.status == "True" ? c.message : c.message + suffix);

  Verdict ready;
  if (workspace.tuning) {
    const Verdict job = judge_job(in);
    conditions.set("JobStarted", job.ready, job.reason,
                   job.ready ? job.message : job.message + suffix);
    if (!in.observed.serves) ready = judge_tuning(in, job);
  }
  if (in.observed.serves || !workspace.tuning) {
    const Verdict inference = judge_inference(in);
    conditions.set("InferenceReady", inference.ready, inference.reason,
                   inference.ready ? inference.message : inference.message + suffix);
    ready = judge_workspace(in, inference);
  } else if (api::find_condition(status.conditions, "InferenceReady")) {
    conditions.set("InferenceReady", false, ready.reason, ready.message);
  }
  conditions.set("WorkspaceReady", ready.ready, ready.reason,
                 ready.ready ? ready.message : ready.message + suffix);
  const bool trained =
      in.observed.tuning == TuningPhase::Serving || in.observed.tuning == TuningPhase::Done;
  const bool succeeded = ready.ready || trained;
  const bool failed = in.observed.tuning == TuningPhase::Failed;
  conditions.set("WorkspaceSucceeded", succeeded,
                 succeeded ? "workspaceSucceeded"
                 : failed  ? "workspaceFailed"
                           : "workspacePending",
                 succeeded ? "workspace succeeds" : ready.message);
  // A tuning that was not to be served is as its user wanted it.
  const bool settled = ready.ready || in.observed.tuning == TuningPhase::Done;
  conditions.set("Ready", settled, ready.reason, ready.message);
  const bool rests = settled || ready.stalled;
  conditions.set("Reconciling", !rests, rests ? "Settled" : ready.reason,
                 rests ? "nothing is under way" : ready.message);
  conditions.set("Stalled", ready.stalled, ready.stalled ? ready.reason : "NotStalled",
                 ready.stalled ? ready.message : "nobody has to act");

  const bool established = status.state == "Ready" || status.state == "NotReady";
  status.state = ready.ready ? "Ready" : (established ? "NotReady" : "Pending");
  if (workspace.tuning && !ready.ready && !in.observed.serves)
    status.state = tuning_state(in.observed);
  return status;
}

}  // namespace workspace

#include "nodeagent/pod_worker.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "base/random.h"
#include "nodeagent/lifecycle/environment.h"
#include "nodeagent/lifecycle/status.h"
#include "nodeagent/limits.h"
#include "nodeagent/volumes/volumes.h"

namespace nodeagent {
namespace {

namespace fs = std::filesystem;

/// Between attempts to find a missing ConfigMap or volume.
constexpr std::chrono::milliseconds kConfigRetryFirst{1'000};
constexpr std::chrono::milliseconds kConfigRetryMax{30'000};
constexpr std::chrono::milliseconds kImageRetry{300'000};
constexpr int kMostRounds = 64;
constexpr std::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

base::Status make_empty_directory(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) fs::create_directories(path, error);
  if (error) return base::system_error("creating " + path, error.value());
  return {};
}

std::string message_path(const api::Container& container) {
  return container.termination_message_path.empty() ? "/dev/termination-log"
                                                    : container.termination_message_path;
}

void add_default(Environment& environment, const std::string& name, const std::string& value) {
  const bool there = std::ranges::any_of(
      environment, [&](const auto& variable) { return variable.first == name; });
  if (!there) environment.emplace_back(name, value);
}

/// The program's first lookup is in its image.
void complete_environment(Environment& environment, const LocalImage& image,
                          const std::string& hostname) {
  const auto path =
      std::ranges::find(environment, "PATH", [](const auto& variable) { return variable.first; });
  if (path == environment.end()) {
    environment.emplace_back("PATH", fmt::format("{}:{}", image.bin_dir, kPath));
  } else {
    path->second = image.bin_dir + ":" + path->second;
  }
  add_default(environment, "HOME", "/tmp");
  add_default(environment, "HOSTNAME", hostname);
}

}  // namespace

base::Status PodManager::Worker::begin() {
  record_.host_ip = manager_.options_.host_ip;
  record_.grace = std::chrono::seconds(
      pod_.spec.termination_grace_period_seconds.value_or(kDefaultGracePeriod.count()));
  record_.pod_ip = TRY(manager_.addresses_.acquire(record_.uid, pod_.status.pod_ip));
  return {};
}

const api::Container* PodManager::Worker::find_container(std::string_view name) const {
  for (const auto* containers : {&pod_.spec.init_containers, &pod_.spec.containers}) {
    const auto found = std::ranges::find(*containers, name, &api::Container::name);
    if (found != containers->end()) return &*found;
  }
  return nullptr;
}

ContainerRole PodManager::Worker::role_of(std::string_view name) const {
  const auto found = std::ranges::find(pod_.spec.init_containers, name, &api::Container::name);
  return found == pod_.spec.init_containers.end() ? ContainerRole::Main : role_of_init(*found);
}

std::string PodManager::Worker::container_dir(const std::string& name) const {
  return manager_.options_.files.container_dir(record_.uid, name);
}

api::Pod PodManager::Worker::addressed_pod() const {
  api::Pod pod = pod_;
  pod.status.pod_ip = record_.pod_ip;
  pod.status.host_ip = record_.host_ip;
  return pod;
}

void PodManager::Worker::record_event(kube::EventType type, std::string_view reason,
                                      std::string_view message) {
  manager_.deps_.events.record(kube::ObjectReference::of(pod_), type, reason, message);
}

// --- news ---------------------------------------------------------------------------------------

void PodManager::Worker::apply(const Mail& mail) {
  const auto found = std::ranges::find_if(record_.containers, [&](const auto& entry) {
    return entry.second.runtime_id == mail.runtime_id;
  });
  if (found == record_.containers.end() || found->second.phase != ContainerPhase::Running) return;
  auto& [name, container] = *found;
  if (const auto* exit = std::get_if<ContainerExit>(&mail.news)) on_exit(name, container, *exit);
  if (const auto* report = std::get_if<ProbeReport>(&mail.news)) on_probe(name, container, *report);
  if (const auto* hook = std::get_if<HookDone>(&mail.news)) on_hook(name, container, *hook);
}

void PodManager::Worker::on_exit(const std::string& name, ContainerRecord& container,
                                 const ContainerExit& exit) {
  const std::string directory = container_dir(name);
  const std::string log = directory + "/" + PodFiles::log_name(container.restart_count);
  Termination end{
      .exit_code = exit.exit_code,
      .signal = exit.signal,
      .reason = exit.lost             ? "ContainerStatusUnknown"
                : exit.exit_code == 0 ? "Completed"
                                      : "Error",
      .message = termination_message(directory + "/termination-log", log, exit.exit_code != 0),
      .started_at = container.started_at,
      .finished_at = manager_.deps_.clock.now(),
      .container_id = "kaito://" + container.runtime_id};
  const auto now = manager_.deps_.clock.steady();
  // Whoever killed the supervisor says nothing about the program.
  container.backoff = exit.lost ? manager_.options_.backoff.base
                                : next_backoff(manager_.options_.backoff, container.backoff,
                                               now - container.started_steady);
  container.not_before = now + container.backoff;
  container.previous = std::exchange(container.last, std::move(end));
  container.phase = ContainerPhase::Ended;
  container.ready = container.started = false;
  container.stop.reset();
  manager_.prober_->forget(container.runtime_id);
  manager_.runs_.with([&](auto& runs) { runs.erase(container.runtime_id); });
  manager_.running_.with([&](auto& running) { running.erase(record_.uid + "/" + name); });
  std::error_code ignored;
  fs::remove_all(directory + "/tmp", ignored);
  const bool restarts =
      !record_.removing && will_restart(role_of(name), pod_.spec.restart_policy, *container.last);
  if (restarts && exit.exit_code != 0) {
    record_event(
        kube::EventType::Warning, "BackOff",
        fmt::format("Back-off restarting failed container {} in pod {}", name, pod_.metadata.name));
  }
}

void PodManager::Worker::on_probe(const std::string& name, ContainerRecord& container,
                                  const ProbeReport& report) {
  const bool passed = report.verdict == ProbeVerdict::Success;
  const api::Container* spec = find_container(name);
  if (!spec) return;
  if (report.kind == ProbeKind::Readiness) container.ready = passed && container.started;
  if (report.kind == ProbeKind::Startup && passed) {
    container.started = true;
    container.ready = !spec->readiness_probe;
  }
  if (passed || !report.changed) return;
  const std::string_view kind = report.kind == ProbeKind::Startup    ? "Startup"
                                : report.kind == ProbeKind::Liveness ? "Liveness"
                                                                     : "Readiness";
  record_event(kube::EventType::Warning, "Unhealthy",
               fmt::format("{} probe failed: {}", kind, report.message));
  if (report.kind == ProbeKind::Readiness || container.stop) return;
  const std::optional<api::Probe>& probe =
      report.kind == ProbeKind::Startup ? spec->startup_probe : spec->liveness_probe;
  const auto grace = probe && probe->termination_grace_period_seconds
                         ? std::chrono::seconds(*probe->termination_grace_period_seconds)
                         : record_.grace;
  record_event(kube::EventType::Normal, "Killing",
               fmt::format("Container {} failed {} probe, will be restarted", name,
                           report.kind == ProbeKind::Startup ? "startup" : "liveness"));
  stop(name, container, grace);
}

void PodManager::Worker::on_hook(const std::string& name, ContainerRecord& container,
                                 const HookDone& hook) {
  if (!hook.error.empty()) {
    record_event(kube::EventType::Warning,
                 hook.is_pre_stop ? "FailedPreStopHook" : "FailedPostStartHook", hook.error);
  }
  if (hook.is_pre_stop) {
    send_signal(container, SIGTERM);
  } else if (!hook.error.empty() && !container.stop) {
    stop(name, container, record_.grace);
  }
}

// --- actions ------------------------------------------------------------------------------------

void PodManager::Worker::check_deadline() {
  if (!pod_.spec.active_deadline_seconds || !record_.failed_reason.empty()) return;
  const auto deadline =
      record_.start_steady + std::chrono::seconds(*pod_.spec.active_deadline_seconds);
  const std::string phase = pod_phase(pod_, record_);
  if (manager_.deps_.clock.steady() < deadline || phase == "Succeeded" || phase == "Failed") return;
  record_.failed_reason = "DeadlineExceeded";
  record_.failed_message = "Pod was active on the node longer than the specified deadline";
}

Plan PodManager::Worker::act() {
  check_deadline();
  for (int round = 0;; ++round) {
    Plan plan = next_actions(pod_, record_, manager_.deps_.clock.steady());
    if (plan.actions.empty() || round == kMostRounds || ctx_.done()) return plan;
    for (const Action& action : plan.actions) carry_out(action);
  }
}

void PodManager::Worker::carry_out(const Action& action) {
  ContainerRecord& container = record_.containers[action.container];
  if (action.kind == ActionKind::Start) {
    if (const api::Container* spec = find_container(action.container)) start(*spec, container);
  } else if (action.kind == ActionKind::Stop) {
    record_event(kube::EventType::Normal, "Killing",
                 fmt::format("Stopping container {}", action.container));
    stop(action.container, container, record_.grace);
  } else {
    container.stop->killed = true;
    send_signal(container, SIGKILL);
  }
}

void PodManager::Worker::wait_with(ContainerRecord& record, std::string reason,
                                   std::string message) {
  if (record.waiting_message != message || record.waiting_reason != reason) {
    const std::string_view event = reason == "ContainerCreating" ? "FailedMount" : "Failed";
    record_event(kube::EventType::Warning, event, message);
  }
  const bool is_image = reason == "ErrImagePull";
  record.backoff = std::clamp(record.backoff * 2, kConfigRetryFirst, kConfigRetryMax);
  record.not_before = manager_.deps_.clock.steady() + (is_image ? kImageRetry : record.backoff);
  record.waiting_reason = std::move(reason);
  record.waiting_message = std::move(message);
}

void PodManager::Worker::start(const api::Container& container, ContainerRecord& record) {
  const LocalImage* image = manager_.options_.images.find(container.image);
  if (!image)
    return wait_with(record, "ErrImagePull",
                     manager_.options_.images.explain_unknown(container.image));
  const int restart =
      record.phase == ContainerPhase::Ended ? record.restart_count + 1 : record.restart_count;
  const base::Result<ContainerSpec> spec = make_spec(container, *image, restart);
  if (!spec) {
    const bool is_volume = spec.error().message().starts_with("volume \"");
    return wait_with(record, is_volume ? "ContainerCreating" : "CreateContainerConfigError",
                     spec.error().message());
  }
  run(container, record, *spec, restart);
}

base::Result<ContainerSpec> PodManager::Worker::make_spec(const api::Container& container,
                                                          const LocalImage& image, int restart) {
  const Options& options = manager_.options_;
  const api::Pod pod = addressed_pod();
  const VolumePaths volumes =
      TRY(prepare_volumes(pod, options.files.volumes_dir(record_.uid), manager_.deps_.configs));
  Environment environment = TRY(container_environment(pod, container, manager_.deps_.configs));
  ContainerSpec spec;
  spec.id = base::random_uuid();
  spec.hostname = pod.spec.hostname.empty() ? pod.metadata.name : pod.spec.hostname;
  spec.isolated = options.isolation == Isolation::Namespaces;
  spec.mounts = TRY(container_mounts(container, volumes, environment));
  std::vector<std::string> command;
  std::vector<std::string> args;
  for (const std::string& word : container.command)
    command.push_back(expand_variables(word, environment));
  for (const std::string& word : container.args)
    args.push_back(expand_variables(word, environment));
  spec.argv = TRY(resolve_command(image, std::move(command), args));
  complete_environment(environment, image, spec.hostname);
  const std::string directory = container_dir(container.name);
  spec.root_dir = directory + "/root";
  spec.tmp_dir = directory + "/tmp";
  spec.log_dir = directory;
  spec.log_name = PodFiles::log_name(restart);
  spec.log_max_bytes = options.log_max_bytes;
  spec.hide_dir = options.files.data_dir();
  spec.working_dir = container.working_dir.empty() ? "/" : container.working_dir;
  TRY(make_empty_directory(spec.tmp_dir));
  TRY(make_empty_directory(spec.root_dir));
  TRY(base::write_file_atomic(directory + "/termination-log", "", 0666));
  remove_old_logs(directory, restart);
  if (spec.isolated) {
    spec.mounts.push_back({directory + "/termination-log", message_path(container), false});
    // The programs may lie where the container sees something else (/tmp, the agent's data).
    spec.mounts.push_back({image.bin_dir, image.bin_dir, true});
  } else {
    for (std::string& word : spec.argv) word = rewrite_paths(std::move(word), spec.mounts);
    for (auto& [name, value] : environment) value = rewrite_paths(std::move(value), spec.mounts);
    spec.working_dir = rewrite_paths(std::move(spec.working_dir), spec.mounts);
  }
  for (const auto& [name, value] : environment) spec.env.push_back(name + "=" + value);
  return spec;
}

void PodManager::Worker::run(const api::Container& container, ContainerRecord& record,
                             const ContainerSpec& spec, int restart) {
  record.restart_count = restart;
  record.runtime_id = spec.id;
  record.waiting_reason.clear();
  record.waiting_message.clear();
  record.started_at = manager_.deps_.clock.now();
  record.started_steady = manager_.deps_.clock.steady();
  manager_.runs_.with([&](auto& runs) { runs[spec.id] = key_; });
  manager_.running_.with(
      [&](auto& running) { running[record_.uid + "/" + container.name] = restart; });
  const base::Result<std::string> started = manager_.deps_.runtime.start(
      ctx_, spec, [manager = &manager_, id = spec.id](const ContainerExit& exit) {
        manager->deliver(id, exit);
      });
  if (!started) {
    manager_.runs_.with([&](auto& runs) { runs.erase(spec.id); });
    manager_.running_.with(
        [&](auto& running) { running.erase(record_.uid + "/" + container.name); });
    record_event(kube::EventType::Warning, "Failed",
                 fmt::format("Error: failed to start container {}: {}", container.name,
                             started.error().message()));
    return end_unstarted(record, started.error().message());
  }
  record.phase = ContainerPhase::Running;
  record.stop.reset();
  record.started = !container.startup_probe;
  record.ready = record.started && !container.readiness_probe;
  record_event(kube::EventType::Normal, "Started",
               fmt::format("Started container {}", container.name));
  const CheckTarget target{spec.id, record_.pod_ip, container};
  manager_.prober_->watch(target, record.started_steady);
  if (container.lifecycle && container.lifecycle->post_start) {
    manager_.prober_->run_hook(target, *container.lifecycle->post_start, record_.grace,
                               [manager = &manager_, id = spec.id](const base::Status& outcome) {
                                 manager->deliver(
                                     id, HookDone{false, outcome ? "" : outcome.error().message()});
                               });
  }
}

void PodManager::Worker::end_unstarted(ContainerRecord& record, const std::string& message) {
  constexpr int kStartErrorCode = 128;
  const auto now = manager_.deps_.clock.now();
  record.phase = ContainerPhase::Ended;
  record.previous =
      std::exchange(record.last, Termination{.exit_code = kStartErrorCode,
                                             .signal = 0,
                                             .reason = "StartError",
                                             .message = message,
                                             .started_at = now,
                                             .finished_at = now,
                                             .container_id = "kaito://" + record.runtime_id});
  record.backoff = next_backoff(manager_.options_.backoff, record.backoff, {});
  record.not_before = manager_.deps_.clock.steady() + record.backoff;
}

void PodManager::Worker::stop(const std::string& name, ContainerRecord& record,
                              std::chrono::seconds grace) {
  record.stop = StopRequest{manager_.deps_.clock.steady() + grace, false};
  record.ready = false;
  manager_.prober_->forget(record.runtime_id);
  const api::Container* container = find_container(name);
  if (grace.count() == 0) {
    record.stop->killed = true;
    return send_signal(record, SIGKILL);
  }
  if (container && container->lifecycle && container->lifecycle->pre_stop) {
    manager_.prober_->run_hook(
        {record.runtime_id, record_.pod_ip, *container}, *container->lifecycle->pre_stop, grace,
        [manager = &manager_, id = record.runtime_id](const base::Status& outcome) {
          manager->deliver(id, HookDone{true, outcome ? "" : outcome.error().message()});
        });
    return;
  }
  send_signal(record, SIGTERM);
}

void PodManager::Worker::send_signal(const ContainerRecord& record, int signal) {
  // A container that has ended meanwhile tells so by its own news.
  if (!manager_.deps_.runtime.signal(record.runtime_id, signal)) return;
}

std::optional<std::chrono::milliseconds> PodManager::Worker::refresh_volumes() {
  // A start makes the volumes anyway.
  const bool runs = std::ranges::any_of(record_.containers, [](const auto& container) {
    return container.second.phase == ContainerPhase::Running;
  });
  if (!runs) return std::nullopt;
  const base::Status written = nodeagent::refresh_volumes(
      addressed_pod(), manager_.options_.files.volumes_dir(record_.uid), manager_.deps_.configs);
  const std::string message = written ? std::string() : written.error().message();
  if (!written && message != entry_.volume_error)
    record_event(kube::EventType::Warning, "FailedMount", message);
  entry_.volume_error = message;
  if (written || written.error().code() == base::ErrorCode::NotFound ||
      written.error().code() == base::ErrorCode::Invalid) {
    return std::nullopt;
  }
  return kConfigRetryFirst;
}

// --- results ------------------------------------------------------------------------------------

base::Status PodManager::Worker::write_status() {
  api::Pod known = pod_;
  for (const api::PodCondition& condition : entry_.conditions) {
    if (!is_own_condition(condition)) continue;
    std::erase_if(known.status.conditions,
                  [&](const auto& other) { return other.type == condition.type; });
    known.status.conditions.push_back(condition);
  }
  const api::PodStatus status = pod_status(known, record_, manager_.deps_.clock.now());
  const json::Value after = json::encode(status);
  const json::Value before =
      entry_.written_status.is_null() ? json::encode(pod_.status) : entry_.written_status;
  const std::optional<json::Value> patch = status_patch(before, after);
  if (!patch) return {};
  const json::Object body{{"metadata", json::Object{{"uid", json::String(record_.uid)}}},
                          {"status", *patch}};
  kube::WriteOptions options;
  options.subresource = "status";
  const auto written = manager_.deps_.client.patch(ctx_, api::Pod::kType, key_,
                                                   kube::PatchType::Merge, body, options);
  if (!written) {
    // Gone or replaced by another pod of the name: the watch tells what to do next.
    if (written.error().code() == base::ErrorCode::NotFound ||
        written.error().code() == base::ErrorCode::Conflict) {
      return {};
    }
    return written.error();
  }
  entry_.written_status = after;
  entry_.conditions = status.conditions;
  return {};
}

void PodManager::Worker::clean_up() {
  manager_.addresses_.release(record_.uid);
  std::error_code error;
  fs::remove_all(manager_.options_.files.pod_dir(record_.uid), error);
  if (error) {
    ctx_.log().warn("files of a pod could not be removed",
                    {{"pod", key_.text()}, {"error", error.message()}});
  }
}

}  // namespace nodeagent

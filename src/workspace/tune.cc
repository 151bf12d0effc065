#include "workspace/tune.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "api/workspace/names.h"
#include "workspace/pod_parts.h"

namespace workspace {
namespace {

constexpr std::string_view kTuner = "tuner";
constexpr std::string_view kDataPath = "/mnt/data";
constexpr std::string_view kResultsPath = "/mnt/results";
constexpr std::string_view kConfigPath = "/mnt/config";
constexpr std::string_view kDataAuthPath = "/etc/kaito/data-auth";
constexpr std::string_view kPushAuthPath = "/etc/kaito/push-auth";
/// Restarts of steps before the Job gives up.
constexpr std::int64_t kBackoffLimit = 3;
/// The longest a tuning may hold its node.
constexpr std::int64_t kDeadlineSeconds = 7LL * 24 * 60 * 60;
/// A stopped tuner writes a checkpoint first.
constexpr std::int64_t kGraceSeconds = 60;

std::string annotation(const api::Workspace& workspace, std::string_view key) {
  const auto found = workspace.metadata.annotations.find(std::string(key));
  return found == workspace.metadata.annotations.end() ? "" : found->second;
}

bool has_condition(const api::Job& job, std::string_view type) {
  return std::any_of(job.status.conditions.begin(), job.status.conditions.end(),
                     [&](const auto& c) { return c.type == type && c.status == "True"; });
}

std::string request_hash(const api::Workspace& workspace) {
  return json::hash(json::write_value(*workspace.tuning));
}

/// The preset with the adapter that the tuning made, from where it put it.
api::InferenceSpec tuned_inference(const api::Workspace& workspace) {
  const api::TuningSpec& tuning = *workspace.tuning;
  api::InferenceSpec inference;
  inference.preset = tuning.preset;
  api::AdapterSpec& adapter = inference.adapters.emplace_back();
  adapter.strength = "1.0";
  api::DataSource& source = adapter.source.emplace();
  source.name = workspace.metadata.name;
  source.volume_source = tuning.output->volume_source;
  source.image = tuning.output->image;
  if (!tuning.output->image_push_secret.empty())
    source.image_pull_secrets = {tuning.output->image_push_secret};
  return inference;
}

/// A container of the runtime image that runs one command.
json::Object step(std::string_view name, json::Array command, json::Array mounts,
                  const Options& options) {
  return {{"name", text(name)},
          {"image", text(options.runtime_image)},
          {"command", std::move(command)},
          {"volumeMounts", std::move(mounts)},
          {"terminationMessagePolicy", "FallbackToLogsOnError"}};
}

json::Array push_command(const api::TuningSpec& tuning) {
  json::Array command = strings({"kaito", "image", "push", kResultsPath, tuning.output->image,
                                 "--kind", "adapter", "--model-name", tuning.preset->name});
  if (!tuning.output->image_push_secret.empty())
    add_credentials(command, kPushAuthPath, {tuning.output->image_push_secret});
  return command;
}

json::Array push_mounts(const api::TuningSpec& tuning) {
  json::Array mounts{volume_mount("results-volume", kResultsPath)};
  if (!tuning.output->image_push_secret.empty())
    mounts.push_back(volume_mount("push-auth", kPushAuthPath));
  return mounts;
}

/// The step that lands the data, unless it is on a volume already.
std::optional<json::Object> data_step(const api::DataSource& input, const Options& options) {
  json::Array mounts{volume_mount("data-volume", kDataPath)};
  if (!input.image.empty()) {
    json::Array command =
        strings({"kaito", "image", "pull", input.image, kDataPath, "--kind", "dataset"});
    if (!input.image_pull_secrets.empty()) {
      add_credentials(command, kDataAuthPath, input.image_pull_secrets);
      mounts.push_back(volume_mount("data-auth", kDataAuthPath));
    }
    return step("data-puller", std::move(command), std::move(mounts), options);
  }
  if (input.urls.empty()) return std::nullopt;
  json::Array command = strings({"kaito-tuner", "fetch", "--data-dir", kDataPath});
  for (const std::string& url : input.urls) {
    command.emplace_back("--url");
    command.emplace_back(text(url));
  }
  return step("data-downloader", std::move(command), std::move(mounts), options);
}

json::Object tuner_step(const Observed& observed, const Options& options) {
  const api::TuningSpec& tuning = *observed.workspace->tuning;
  json::Array command =
      strings({"kaito-tuner", "--model", kWeightsPath, "--preset", tuning.preset->name,
               "--data-dir", kDataPath, "--output-dir", kResultsPath, "--port", "5000"});
  if (!tuning.method.empty()) {
    command.emplace_back("--method");
    command.emplace_back(text(tuning.method));
  }
  json::Array mounts{volume_mount("model-weights-volume", kWeightsPath),
                     volume_mount("model-cache", options.model_cache_path),
                     volume_mount("data-volume", kDataPath),
                     volume_mount("results-volume", kResultsPath)};
  if (!tuning.config.empty()) {
    command.emplace_back("--config");
    command.emplace_back(text(fmt::format("{}/training_config.yaml", kConfigPath)));
    mounts.push_back(volume_mount("config-volume", kConfigPath));
  }
  // The tuner's own metrics and progress, on the pod's address and no other.
  command.emplace_back("--host");
  command.emplace_back("$(POD_IP)");
  json::Object container = step(kTuner, std::move(command), std::move(mounts), options);
  listen_at_pod_ip(container);
  if (json::Object gpus = gpu_resources(observed); !gpus.empty())
    container["resources"] = std::move(gpus);
  return container;
}

json::Array job_volumes(const api::TuningSpec& tuning, const Options& options) {
  json::Array volumes = model_volumes(*tuning.preset, options);
  const auto& data = tuning.input->volume_source;
  volumes.push_back(data ? named_volume("data-volume", *data) : empty_volume("data-volume"));
  const auto& results = tuning.output->volume_source;
  volumes.push_back(results ? named_volume("results-volume", *results)
                            : empty_volume("results-volume"));
  if (!tuning.config.empty()) {
    volumes.push_back(json::Object{{"name", "config-volume"},
                                   {"configMap", json::Object{{"name", text(tuning.config)}}}});
  }
  if (!tuning.input->image_pull_secrets.empty())
    volumes.push_back(credentials_volume("data-auth", tuning.input->image_pull_secrets));
  if (!tuning.output->image_push_secret.empty())
    volumes.push_back(credentials_volume("push-auth", {tuning.output->image_push_secret}));
  return volumes;
}

/// Steps run one after the other; the last is the pod's container, the others come before it.
json::Object job_pod(const Observed& observed, const Options& options) {
  const api::TuningSpec& tuning = *observed.workspace->tuning;
  json::Array steps;
  const bool pushes = !tuning.output->image.empty();
  if (pushes) {
    // A secret that may not push is found out before hours of training, not after.
    json::Array command = push_command(tuning);
    command.emplace_back("--check");
    steps.push_back(step("push-check", std::move(command), push_mounts(tuning), options));
  }
  steps.push_back(model_puller(*tuning.preset,
                               model_image(*tuning.preset, *observed.preset, options), options));
  if (auto data = data_step(*tuning.input, options)) steps.push_back(*std::move(data));
  steps.push_back(tuner_step(observed, options));
  if (pushes) {
    steps.push_back(step(observed.workspace->metadata.name, push_command(tuning),
                         push_mounts(tuning), options));
  }
  json::Value last = std::move(steps.back());
  steps.pop_back();
  json::Object spec{{"restartPolicy", "OnFailure"},
                    {"initContainers", std::move(steps)},
                    {"containers", json::Array{std::move(last)}},
                    {"volumes", job_volumes(tuning, options)},
                    {"terminationGracePeriodSeconds", kGraceSeconds}};
  if (const auto secrets = pull_secrets(*tuning.preset); !secrets.empty())
    spec["imagePullSecrets"] = secret_references(secrets);
  return spec;
}

}  // namespace

bool is_outdated_job(const api::Workspace& workspace, const api::Job& job) {
  const auto hash = job.metadata.annotations.find(std::string(kObjectHashAnnotation));
  return hash == job.metadata.annotations.end() || hash->second != request_hash(workspace);
}

void resolve_phase(Observed& observed, base::SystemTime now) {
  const api::Workspace& workspace = *observed.workspace;
  observed.tuning = TuningPhase::None;
  observed.serves = workspace.inference;
  if (!workspace.tuning) return;
  observed.serves.reset();
  observed.tuning = TuningPhase::Training;
  const auto& job = observed.job;
  if (!job || job->metadata.deleting() || is_outdated_job(workspace, *job)) return;
  if (has_condition(*job, "Failed")) observed.tuning = TuningPhase::Failed;
  if (!has_condition(*job, "Complete")) return;
  observed.tuning = TuningPhase::Done;
  if (annotation(workspace, kAnnotationServeAfterTuning) == "false") return;
  if (const auto ttl = parse_duration(annotation(workspace, kAnnotationServeAfterTuningTtl))) {
    const auto ended = base::parse_rfc3339(job->status.completion_time);
    const auto left = ended ? std::chrono::ceil<std::chrono::seconds>(*ended + *ttl - now) : *ttl;
    if (left.count() <= 0) return;
    observed.serving_left = left;
  }
  observed.tuning = TuningPhase::Serving;
  observed.serves = tuned_inference(workspace);
}

Desired tuning_job(const Observed& observed, const NodePlan& nodes, const Options& options) {
  const api::Workspace& workspace = *observed.workspace;
  json::Object pod = job_pod(observed, options);
  place_pod(pod, observed, nodes, options);
  const json::Object labels{{api::kLabelWorkspace, text(workspace.metadata.name)}};
  json::Object metadata = object_metadata(workspace, workspace.metadata.name);
  const std::string hash = request_hash(workspace);
  metadata["annotations"] = json::Object{{kObjectHashAnnotation, text(hash)}};
  return {api::Job::kType,
          json::Object{
              {"apiVersion", "batch/v1"},
              {"kind", "Job"},
              {"metadata", std::move(metadata)},
              {"spec", json::Object{{"backoffLimit", kBackoffLimit},
                                    {"activeDeadlineSeconds", kDeadlineSeconds},
                                    {"template",
                                     json::Object{{"metadata", json::Object{{"labels", labels}}},
                                                  {"spec", std::move(pod)}}}}}},
          hash};
}

bool is_pod_of(const api::Job& job, const api::Pod& pod) {
  const api::OwnerReference* owner = api::find_controller(pod.metadata);
  return owner && owner->uid == job.metadata.uid;
}

std::optional<TunerPod> running_tuner(const Observed& observed) {
  if (!observed.job) return std::nullopt;
  for (const auto& pod : observed.pods) {
    if (!is_pod_of(*observed.job, *pod) || pod->status.pod_ip.empty()) continue;
    for (const auto* list :
         {&pod->status.init_container_statuses, &pod->status.container_statuses}) {
      for (const auto& container : *list) {
        if (container.name == kTuner && container.state.running)
          return TunerPod{pod->metadata.uid, container.restart_count,
                          fmt::format("{}:{}", pod->status.pod_ip, kServerPort)};
      }
    }
  }
  return std::nullopt;
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  constexpr std::chrono::seconds kLongest = std::chrono::years(100);  // In ns it fits 63 bits.
  if (text.empty()) return std::nullopt;
  std::chrono::seconds sum{0};
  while (!text.empty()) {
    std::int64_t count = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (code != std::errc{} || end == text.data() + text.size() || count < 0 ||
        count > kLongest.count())
      return std::nullopt;
    switch (*end) {
      case 'h':
        sum += std::chrono::hours(count);
        break;
      case 'm':
        sum += std::chrono::minutes(count);
        break;
      case 's':
        sum += std::chrono::seconds(count);
        break;
      default:
        return std::nullopt;
    }
    if (sum > kLongest) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  }
  return sum;
}

}  // namespace workspace

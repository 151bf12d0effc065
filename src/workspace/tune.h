#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "workspace/desired.h"
#include "workspace/nodes.h"
#include "workspace/observed.h"

/// Tuning: one Job that fetches model and data, trains, and pushes the adapter; each step a
/// container whose failure fails the Job. After it, the same workspace serves what it made.
namespace workspace {

/// "false": a tuning workspace does not serve its adapter, and its node goes when the Job ends.
inline constexpr std::string_view kAnnotationServeAfterTuning = "kaito.sh/serve-after-tuning";
/// How long it serves, such as `2h30m`; without it, until the workspace is deleted.
inline constexpr std::string_view kAnnotationServeAfterTuningTtl =
    "kaito.sh/serve-after-tuning-ttl";

/// Fills `tuning`, `serves` and `serving_left` from the workspace and its Job.
void resolve_phase(Observed& observed, base::SystemTime now);

/// The Job. Its hash covers what the user asks for, not how the operator spells it: a newer
/// operator never trains anew what is there.
Desired tuning_job(const Observed& observed, const NodePlan& nodes, const Options& options);

/// Whether the Job was made for another tuning than the workspace now asks for.
bool is_outdated_job(const api::Workspace& workspace, const api::Job& job);

bool is_pod_of(const api::Job& job, const api::Pod& pod);

/// Where the running tuner tells its progress, once it runs: `10.0.0.7:5000`.
struct TunerPod {
  std::string uid;
  std::int32_t restarts = 0;
  std::string address;
};
std::optional<TunerPod> running_tuner(const Observed& observed);

/// A duration as Go writes it (`1h30m`, `45s`); nothing when it is none.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);

}  // namespace workspace

#include "nodeagent/probes/probe_state.h"

#include <algorithm>

namespace nodeagent {
namespace {

int or_default(int value, int fallback) { return value > 0 ? value : fallback; }

}  // namespace

ProbeState::ProbeState(ProbeKind kind, const api::Probe& probe, base::SteadyTime started)
    : period_(std::chrono::seconds(or_default(probe.period_seconds, 10))),
      timeout_(std::chrono::seconds(or_default(probe.timeout_seconds, 1))),
      success_threshold_(or_default(probe.success_threshold, 1)),
      failure_threshold_(or_default(probe.failure_threshold, 3)),
      interval_(kind == ProbeKind::Liveness ? period_ : std::min(period_, kEagerFirst)),
      next_due_(started + std::chrono::seconds(probe.initial_delay_seconds)),
      next_count_(next_due_),
      // A container lives until proven otherwise; it is ready or started only once proven.
      verdict_(kind == ProbeKind::Liveness ? ProbeVerdict::Success : ProbeVerdict::Unknown) {}

bool ProbeState::observe(bool success, base::SteadyTime now) {
  const ProbeVerdict before = verdict_;
  seen_success_ = seen_success_ || success;
  if (success) {
    failures_ = 0;
    if (++successes_ >= success_threshold_) verdict_ = ProbeVerdict::Success;
  } else {
    successes_ = 0;
    if (seen_success_ || now >= next_count_) {
      next_count_ = now + period_;
      if (++failures_ >= failure_threshold_) verdict_ = ProbeVerdict::Failure;
    }
  }
  if (seen_success_) interval_ = period_;
  next_due_ = now + interval_;
  interval_ = std::min(interval_ * 2, period_);
  return verdict_ != before;
}

}  // namespace nodeagent

#pragma once

#include <chrono>
#include <optional>

#include "api/core/container.h"
#include "base/clock.h"

namespace nodeagent {

enum class ProbeKind { Startup, Liveness, Readiness };
enum class ProbeVerdict { Unknown, Success, Failure };

/// When to probe next and what the outcomes add up to. Pure; times come in.
///
/// Before its first success a startup or readiness probe runs eagerly (from kEagerFirst, doubling
/// up to the period), so that a fast container is ready at once; failures then count once a period,
/// so that the time until the threshold is what the user asked for.
class ProbeState {
 public:
  ProbeState(ProbeKind kind, const api::Probe& probe, base::SteadyTime started);

  base::SteadyTime next_due() const { return next_due_; }
  std::chrono::milliseconds timeout() const { return timeout_; }
  ProbeVerdict verdict() const { return verdict_; }
  /// Notes one outcome. True when the verdict changed.
  bool observe(bool success, base::SteadyTime now);

 private:
  static constexpr std::chrono::milliseconds kEagerFirst{100};

  std::chrono::milliseconds period_;
  std::chrono::milliseconds timeout_;
  int success_threshold_;
  int failure_threshold_;
  std::chrono::milliseconds interval_;
  base::SteadyTime next_due_;
  base::SteadyTime next_count_;  ///< Eager failures before this do not count.
  bool seen_success_ = false;
  int successes_ = 0;
  int failures_ = 0;
  ProbeVerdict verdict_;
};

}  // namespace nodeagent

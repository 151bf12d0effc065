#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/meta.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"

namespace workspace {

/// One run of one container: another pod, address or restart has to prove itself anew.
struct CanaryTarget {
  std::string pod_uid;
  std::int32_t restarts = 0;
  std::string address;            ///< `10.0.0.7:5000`
  std::string adapters_revision;  ///< The adapters it is to follow; "" for any.
  bool ready = true;              ///< Before it is, only its adapters are asked about.
  friend bool operator==(const CanaryTarget&, const CanaryTarget&) = default;
};

enum class CanaryState { Unknown, Passed, Failed };

struct CanaryResult {
  CanaryState state = CanaryState::Unknown;
  std::string message;                               ///< Why it failed, or what it said.
  base::ErrorCode code = base::ErrorCode::Internal;  ///< Of a failure.
};

/// Asks pods for one token, off the reconcile threads, and remembers the answers. A pod that passed
/// is asked again every `interval`; it fails after `failures_allowed` misses in a row. Thread-safe.
class CanaryProber {
 public:
  struct Options {
    std::chrono::milliseconds interval{60'000};
    std::chrono::milliseconds retry{1'000};  ///< After a miss.
    int failures_allowed = 3;                ///< For a target that passed before.
    std::size_t threads = 4;
  };
  /// What the pod has to say. Throttled means alive but busy.
  using Probe = std::function<base::Result<std::string>(const base::Context&, const CanaryTarget&)>;
  /// Called on a prober thread when a result changed.
  using OnChange = std::function<void(const api::ObjectKey& workspace)>;

  CanaryProber(Options options, const base::Clock& clock, Probe probe, OnChange on_change);
  ~CanaryProber();
  void start(const base::Context& ctx);
  void stop();
  /// Asks one target whose time has come, on this thread; false when there is none. For tests.
  bool step(const base::Context& ctx);

  /// What is known of `target`, and sees to it that more will be.
  CanaryResult result(const api::ObjectKey& workspace, const CanaryTarget& target);
  /// Drops what is known of a workspace and stops asking.
  void forget(const api::ObjectKey& workspace);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The probe of preset pods: one token from `POST http://ADDRESS/v1/completions`, and from
/// `GET /v1/adapters` that the wanted adapters are loaded (NotFound when one of them cannot be).
CanaryProber::Probe token_probe(std::chrono::milliseconds timeout);

/// The probe of tuners: how far they are, for people: `step 120/300, loss 1.31, 40s left`.
CanaryProber::Probe progress_probe();

}  // namespace workspace

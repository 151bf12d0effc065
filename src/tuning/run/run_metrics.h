#pragma once

#include "metrics/registry.h"
#include "tuning/run/progress.h"

namespace tuning {

/// The progress of a run as time series of `registry`, which outlives this object. `update` from
/// one thread; the registry may be read from others meanwhile.
class RunMetrics {
 public:
  explicit RunMetrics(metrics::Registry& registry);
  void update(const Progress& progress);

 private:
  metrics::Registry& registry_;
  metrics::Gauge step_;
  metrics::Gauge total_steps_;
  metrics::Gauge epoch_;
  metrics::Gauge loss_;
  metrics::Gauge evaluation_loss_;
  metrics::Gauge gradient_norm_;
  metrics::Gauge learning_rate_;
  metrics::Gauge tokens_;
  metrics::Gauge speed_;
  metrics::Gauge seconds_left_;
};

}  // namespace tuning

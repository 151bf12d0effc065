#include "tuning/run/run_metrics.h"

#include <array>
#include <string>

namespace tuning {
namespace {

constexpr std::array kPhases = {Phase::Fetching, Phase::Preparing, Phase::Loading, Phase::Training,
                                Phase::Writing,  Phase::Completed, Phase::Failed};

}  // namespace

RunMetrics::RunMetrics(metrics::Registry& registry)
    : registry_(registry),
      step_(registry.gauge("kaito_tuner_step", "Optimizer steps done.")),
      total_steps_(registry.gauge("kaito_tuner_steps", "Optimizer steps of the whole run.")),
      epoch_(registry.gauge("kaito_tuner_epoch", "Passes over the data done.")),
      loss_(registry.gauge("kaito_tuner_loss", "Loss of the last step.")),
      evaluation_loss_(
          registry.gauge("kaito_tuner_evaluation_loss", "Loss on the rows kept apart.")),
      gradient_norm_(registry.gauge("kaito_tuner_gradient_norm", "Of the last step, unclipped.")),
      learning_rate_(registry.gauge("kaito_tuner_learning_rate", "Of the last step.")),
      tokens_(registry.gauge("kaito_tuner_tokens", "Tokens trained on since the start.")),
      speed_(registry.gauge("kaito_tuner_tokens_per_second", "Speed of training.")),
      seconds_left_(registry.gauge("kaito_tuner_remaining_seconds", "Expected until the end.")) {}

void RunMetrics::update(const Progress& progress) {
  for (const Phase phase : kPhases) {
    registry_
        .gauge("kaito_tuner_phase", "1 for what the tuner is doing.",
               {{"phase", std::string(name_of(phase))}})
        .set(phase == progress.phase ? 1 : 0);
  }
  step_.set(static_cast<double>(progress.step));
  total_steps_.set(static_cast<double>(progress.total_steps));
  epoch_.set(progress.epoch);
  loss_.set(progress.loss);
  if (progress.evaluation_loss) evaluation_loss_.set(*progress.evaluation_loss);
  gradient_norm_.set(progress.gradient_norm);
  learning_rate_.set(progress.learning_rate);
  tokens_.set(static_cast<double>(progress.tokens));
  speed_.set(progress.tokens_per_second);
  seconds_left_.set(progress.seconds_left);
}

}  // namespace tuning

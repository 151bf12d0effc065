#include "tuning/run/progress.h"

#include <fmt/format.h>

#include <cmath>

#include "json/value.h"

namespace tuning {
namespace {

/// Numbers that people and charts read; NaN is no JSON.
json::Value number(double value, int digits) {
  if (!std::isfinite(value)) return nullptr;
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  if (whole < 120) return fmt::format("{} s", whole);
  if (whole < 2 * 3600) return fmt::format("{} min", (whole + 30) / 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

}  // namespace

std::string_view name_of(Phase phase) {
  switch (phase) {
    case Phase::Fetching:
      return "fetching";
    case Phase::Preparing:
      return "preparing";
    case Phase::Loading:
      return "loading";
    case Phase::Training:
      return "training";
    case Phase::Writing:
      return "writing";
    case Phase::Completed:
      return "completed";
    case Phase::Failed:
      return "failed";
  }
  return "unknown";
}

std::string to_json_line(const Progress& progress) {
  json::Object line{{"phase", name_of(progress.phase)},
                    {"step", progress.step},
                    {"totalSteps", progress.total_steps}};
  if (progress.step > 0) {
    line["epoch"] = number(progress.epoch, 3);
    line["loss"] = number(progress.loss, 6);
    line["smoothedLoss"] = number(progress.smoothed_loss, 6);
    line["gradientNorm"] = number(progress.gradient_norm, 6);
    line["learningRate"] = progress.learning_rate;
    line["tokens"] = progress.tokens;
    line["tokensPerSecond"] = number(progress.tokens_per_second, 1);
    line["seconds"] = number(progress.seconds, 2);
    line["secondsLeft"] = number(progress.seconds_left, 1);
  }
  if (progress.evaluation_loss) line["evaluationLoss"] = number(*progress.evaluation_loss, 6);
  if (progress.resumed_from > 0) line["resumedFrom"] = progress.resumed_from;
  if (!progress.message.empty()) line["message"] = progress.message;
  return json::dump(line);
}

std::string to_text(const Progress& progress) {
  if (progress.phase != Phase::Training || progress.step == 0)
    return std::string(name_of(progress.phase));
  return fmt::format("step {}/{}, loss {:.2f}, {:.0f} tokens/s, {} left", progress.step,
                     progress.total_steps, progress.smoothed_loss, progress.tokens_per_second,
                     duration(progress.seconds_left));
}

}  // namespace tuning

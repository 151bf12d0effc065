#include "tuning/run/progress.h"

#include <fmt/format.h>

#include <cmath>

#include "json/value.h"

namespace tuning {
namespace {

/// `,"loss":1.25`: short numbers that people and charts read; NaN is no JSON.
void append(std::string& line, std::string_view name, double value) {
  line += std::isfinite(value) ? fmt::format(",\"{}\":{:.6g}", name, value)
                               : fmt::format(",\"{}\":null", name);
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
  std::string line = fmt::format(R"({{"phase":"{}","step":{},"totalSteps":{})",
                                 name_of(progress.phase), progress.step, progress.total_steps);
  if (progress.step > 0) {
    append(line, "epoch", progress.epoch);
    append(line, "loss", progress.loss);
    append(line, "smoothedLoss", progress.smoothed_loss);
    append(line, "gradientNorm", progress.gradient_norm);
    append(line, "learningRate", progress.learning_rate);
    line += fmt::format(R"(,"tokens":{})", progress.tokens);
    append(line, "tokensPerSecond", progress.tokens_per_second);
    append(line, "seconds", progress.seconds);
    append(line, "secondsLeft", progress.seconds_left);
  }
  if (progress.evaluation_loss) append(line, "evaluationLoss", *progress.evaluation_loss);
  if (progress.resumed_from > 0) line += fmt::format(R"(,"resumedFrom":{})", progress.resumed_from);
  if (!progress.message.empty())
    line += fmt::format(R"(,"message":{})", json::dump(json::String(progress.message)));
  return line + "}";
}

std::string to_text(const Progress& progress) {
  if (progress.phase != Phase::Training || progress.step == 0)
    return std::string(name_of(progress.phase));
  return fmt::format("step {}/{}, loss {:.2f}, {:.0f} tokens/s, {} left", progress.step,
                     progress.total_steps, progress.smoothed_loss, progress.tokens_per_second,
                     duration(progress.seconds_left));
}

}  // namespace tuning

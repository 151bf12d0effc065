#include "apps/tuner/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/file.h"
#include "json/value.h"
#include "tuning/run/training_run.h"

namespace tuner {
namespace {

using base::Error;
using base::ErrorCode;

constexpr double kWidth = 800;
constexpr double kHeight = 420;
constexpr double kLeft = 60;
constexpr double kRight = 20;
constexpr double kTop = 40;
constexpr double kBottom = 45;
constexpr std::size_t kMaxLogBytes = 256 << 20;
/// More points than this add nothing that can be seen.
constexpr std::size_t kMaxPoints = 4000;

struct Point {
  double step = 0;
  double loss = 0;
};
struct Curves {
  std::vector<Point> steps;
  std::vector<Point> smoothed;
  std::vector<Point> evaluations;
};

double number(const json::Value& line, std::string_view key) {
  const json::Value* value = json::find(line, key);
  return value != nullptr && value->is_number() ? value->to_number<double>() : std::nan("");
}

Curves read_curves(std::string_view text) {
  Curves curves;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto line = json::parse(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line || !line->is_object()) continue;
    const double step = number(*line, "step");
    const double loss = number(*line, "loss");
    const double evaluation = number(*line, "evaluationLoss");
    if (std::isnan(step) || std::isnan(loss)) continue;
    const bool repeated = !curves.steps.empty() && curves.steps.back().step == step;
    if (!repeated) {
      curves.steps.push_back({step, loss});
      curves.smoothed.push_back({step, number(*line, "smoothedLoss")});
    } else if (!std::isnan(evaluation)) {
      curves.evaluations.push_back({step, evaluation});
    }
  }
  std::erase_if(curves.smoothed, [](const Point& point) { return std::isnan(point.loss); });
  return curves;
}

/// A round distance between about `count` marks up to `most`.
double mark_distance(double most, int count) {
  const double rough = std::max(most, 1e-9) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (rough <= factor * power) return factor * power;
  return 10 * power;
}

class Picture {
 public:
  Picture(double last_step, double top_loss) : last_step_(last_step), top_loss_(top_loss) {
    svg_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        kWidth, kHeight);
  }

  void axes() {
    const double loss_distance = mark_distance(top_loss_, 5);
    for (double loss = 0; loss <= top_loss_ * 1.0001; loss += loss_distance) {
      line({0, loss}, {last_step_, loss});
      text(kLeft - 8, y(loss) + 4, "end", fmt::format("{:g}", loss));
    }
    const double step_distance = std::max(1.0, mark_distance(last_step_, 8));
    for (double step = 0; step <= last_step_ * 1.0001; step += step_distance)
      text(x(step), kHeight - kBottom + 18, "middle", fmt::format("{:g}", step));
    text((kWidth + kLeft) / 2, kHeight - 8, "middle", "step");
  }
  void title(const std::string& what) { text(kLeft, kTop - 16, "start", what); }

  void curve(const std::vector<Point>& points, std::string_view color, double width) {
    const std::size_t stride = points.size() / kMaxPoints + 1;
    svg_ += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" points=\"",
                        color, width);
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (i % stride == 0 || i + 1 == points.size())
        svg_ += fmt::format("{:.1f},{:.1f} ", x(points[i].step), y(points[i].loss));
    }
    svg_ += "\"/>\n";
  }
  void dot(const Point& point, std::string_view color) {
    svg_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>\n",
                        x(point.step), y(point.loss), color);
  }
  std::string finish() && { return std::move(svg_) + "</svg>\n"; }

 private:
  double x(double step) const {
    return kLeft + step / std::max(1.0, last_step_) * (kWidth - kLeft - kRight);
  }
  double y(double loss) const {
    const double share = std::min(loss, top_loss_) / top_loss_;
    return kHeight - kBottom - share * (kHeight - kTop - kBottom);
  }
  void line(const Point& from, const Point& to) {
    svg_ += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n",
        x(from.step), y(from.loss), x(to.step), y(to.loss));
  }
  void text(double at_x, double at_y, std::string_view anchor, const std::string& what) {
    svg_ +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"#333\">{}</text>\n",
                    at_x, at_y, anchor, what);
  }

  double last_step_;
  double top_loss_;
  std::string svg_;
};

}  // namespace

base::Result<std::string> loss_curve_svg(std::string_view log_text) {
  const Curves curves = read_curves(log_text);
  if (curves.steps.empty()) return Error(ErrorCode::Invalid, "the log holds no step yet");
  double top = 0;
  for (const auto* points : {&curves.steps, &curves.evaluations})
    for (const Point& point : *points) top = std::max(top, point.loss);
  top = std::max(top, 1e-6);
  Picture picture(curves.steps.back().step, top);
  picture.axes();
  picture.curve(curves.steps, "#a6c8e8", 1);
  picture.curve(curves.smoothed, "#1f5fa8", 2.5);
  for (const Point& point : curves.evaluations) picture.dot(point, "#c0392b");
  picture.title(fmt::format("loss: {:.3g} at step {:g}, {:.3g} at step {:g}{}",
                            curves.steps.front().loss, curves.steps.front().step,
                            curves.steps.back().loss, curves.steps.back().step,
                            curves.evaluations.empty() ? "" : "; dots: rows kept apart"));
  return std::move(picture).finish();
}

base::Result<std::filesystem::path> draw_loss_curve(const std::filesystem::path& log,
                                                    const std::filesystem::path& output) {
  const std::filesystem::path file =
      std::filesystem::is_directory(log) ? log / tuning::kTrainingLogFile : log;
  const std::string text = TRY(base::read_file(file, kMaxLogBytes));
  const std::string svg = TRY(base::with_context(loss_curve_svg(text), file.string()));
  std::filesystem::path picture = output.empty() ? file.parent_path() / "loss.svg" : output;
  TRY(base::write_file_atomic(picture, svg, 0644));
  return picture;
}

}  // namespace tuner

#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tuner {

/// Draws the losses of a training log as an SVG picture: single steps thin, the smoothed line
/// thick, evaluations as dots. `log` is the file or its folder; returns where the picture is.
/// Errors: NotFound, Invalid without a single loss.
base::Result<std::filesystem::path> draw_loss_curve(const std::filesystem::path& log,
                                                    const std::filesystem::path& output);

/// The picture of the text of a log. Pure. Lines that are no JSON are passed over (a run that was
/// killed may have left half of one).
base::Result<std::string> loss_curve_svg(std::string_view log_text);

}  // namespace tuner

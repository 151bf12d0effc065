#pragma once

#include <optional>

#include "workspace/observed.h"

namespace workspace {

/// Why the workspace cannot run at all, whatever nodes it gets: an unknown preset, a feature this
/// release lacks. Nothing when it can.
std::optional<Problem> find_blocker(const Observed& observed);

}  // namespace workspace

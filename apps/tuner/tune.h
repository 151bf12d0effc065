#pragma once

#include "apps/tuner/options.h"
#include "apps/tuner/status.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/result.h"

namespace tuner {

/// What the process ends with; `--help` explains them.
enum class ExitCode {
  Done = 0,
  Failed = 1,
  Configuration = 2,
  Data = 3,
  Memory = 4,
  Diverged = 5,
  Stopped = 143,
};

struct Outcome {
  ExitCode code = ExitCode::Done;
  std::string message;  ///< Why, unless done.
};

/// Fetches data, trains and writes the adapter, or only the part that the command asks for.
Outcome tune(const base::Context& ctx, const Options& options, const base::Clock& clock,
             Status& status);

}  // namespace tuner

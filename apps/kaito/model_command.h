#pragma once

#include <string>
#include <string_view>

#include "apps/kaito/options.h"
#include "base/error.h"

namespace kaito {

/// `kaito model import|pull|list|inspect|rm`: model files as images in a registry.
void add_model_commands(CLI::App& app, Session& session);

/// Exit codes of `kaito model`; the operator reads those of `pull` to tell the user what to do.
enum class ModelExit {
  Done = 0,
  Failed = 1,
  Usage = 2,
  NotFound = 3,
  Altered = 4,  ///< A digest does not match.
  DiskFull = 5,
  Unreachable = 6,
  Interrupted = 130,
};
ModelExit model_exit_of(const base::Error& error);

}  // namespace kaito

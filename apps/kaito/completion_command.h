#pragma once

#include "apps/kaito/options.h"

namespace kaito {

/// `kaito completion bash|zsh|fish`: prints a script that completes commands and options.
void add_completion_command(CLI::App& app, Session& session);

}  // namespace kaito

#pragma once

#include "apps/kaito/options.h"

namespace kaito {

/// `kaito status`: what runs here and how to reach it. Exit code 3 when nothing runs.
void add_status_command(CLI::App& app, Session& session);

/// `kaito down`: stops the `kaito up` of a data folder and waits until it is gone.
void add_down_command(CLI::App& app, Session& session);

}  // namespace kaito

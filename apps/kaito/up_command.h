#pragma once

#include "apps/kaito/options.h"

namespace kaito {

/// `kaito up`: the whole system on this machine, in the foreground or detached.
void add_up_command(CLI::App& app, Session& session);

}  // namespace kaito

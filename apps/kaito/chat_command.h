#pragma once

#include "apps/kaito/options.h"

namespace kaito {

/// `kaito chat WORKSPACE [PROMPT]`: asks once, or talks turn by turn on a terminal; streams.
void add_chat_command(CLI::App& app, Session& session);

}  // namespace kaito

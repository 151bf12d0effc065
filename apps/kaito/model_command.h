#pragma once

#include "apps/kaito/options.h"

namespace kaito {

/// `kaito model import|pull|list|inspect|rm`: model files as images in a registry.
void add_model_commands(CLI::App& app, Session& session);

}  // namespace kaito

#pragma once

#include "apps/kaito/options.h"

namespace kaito {

/// `kaito image pull|push|inspect|copy|list|rm|login|gc`: adapters, datasets, models and files as
/// images in registries.
void add_image_commands(CLI::App& app, Session& session);

}  // namespace kaito

#pragma once

#include <span>

#include "model/catalog/catalog.h"

namespace model {

/// The rows of the catalogue as they were written down; `presets()` has them by name.
std::span<const Preset> preset_table();

}  // namespace model

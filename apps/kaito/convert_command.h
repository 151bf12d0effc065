#pragma once

#include "apps/kaito/options.h"

namespace kaito {

/// `kaito model convert`: between Hugging Face folders and GGUF files.
void add_convert_command(CLI::App& model, Session& session);

}  // namespace kaito

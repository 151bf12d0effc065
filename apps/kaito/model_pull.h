#pragma once

#include <string>

#include "apps/kaito/registry_access.h"
#include "base/context.h"

namespace kaito {

struct PullOptions {
  std::string reference;
  std::string store;
  std::string output;
  RegistryAccess access;
};

/// The work of `kaito model pull`, also as an init container: progress on standard output, the
/// reason of a failure on standard error and in the container's termination log. Returns the exit
/// code (ModelExit).
int pull_model_image(const base::Context& ctx, const PullOptions& options);

}  // namespace kaito

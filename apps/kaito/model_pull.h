#pragma once

#include <string>

#include "base/context.h"
#include "oci/registry_client.h"

namespace kaito {

struct PullOptions {
  std::string reference;
  std::string store;
  std::string output;
  oci::RegistryScheme scheme = oci::RegistryScheme::Automatic;
};

/// The work of `kaito model pull`, also as an init container: progress on standard output, the
/// reason of a failure on standard error and in the container's termination log. Returns the exit
/// code (ModelExit).
int pull_model_image(const base::Context& ctx, const PullOptions& options);

}  // namespace kaito

#pragma once

#include <memory>
#include <string>

#include "apps/kaito/options.h"
#include "base/result.h"
#include "oci/reference.h"
#include "oci/registry_client.h"

namespace kaito {

/// The registry of the running `kaito up`. Errors: Unavailable, saying how to start or name one.
base::Result<std::string> running_registry(const Session& session);

/// `text` by Docker's rules, except that a name without registry is one of the running `kaito up`.
base::Result<oci::Reference> local_reference(const Session& session, const std::string& text);

/// With the credentials of $DOCKER_CONFIG/config.json or ~/.docker/config.json and the proxies of
/// the environment. Errors: Invalid for a broken config file.
base::Result<std::unique_ptr<oci::RegistryClient>> make_registry_client(oci::RegistryScheme scheme);

/// Adds --plain-http, which sets `scheme`.
void add_scheme_option(CLI::App& command, oci::RegistryScheme& scheme);

}  // namespace kaito

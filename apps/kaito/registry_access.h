#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "apps/kaito/options.h"
#include "base/result.h"
#include "oci/reference.h"
#include "oci/registry_client.h"

namespace kaito {

/// The registry of the running `kaito up`. Errors: Unavailable, saying how to start or name one.
base::Result<std::string> running_registry(const Session& session);

/// `text` by Docker's rules, except that a name without registry is one of the running `kaito up`.
base::Result<oci::Reference> local_reference(const Session& session, const std::string& text);

/// How registries are spoken to, from the command line.
struct RegistryAccess {
  oci::RegistryScheme scheme = oci::RegistryScheme::Automatic;
  std::vector<std::string>
      authfiles;  ///< Empty: $DOCKER_CONFIG/config.json or ~/.docker/config.json.
  std::vector<std::string> mirrors;  ///< `REGISTRY=HOST[:PORT][/PREFIX]`
  std::string ca_file;               ///< Trusted beside no other; empty: the system's.
};

/// Where `docker login` and ours keep credentials; empty without a home folder.
std::filesystem::path docker_config_file();

/// With the credentials and authorities of `access` and the proxies of the environment. An authfile
/// that is a folder holds `.dockerconfigjson` or `config.json`, as a mounted Secret does. Errors:
/// Invalid for a broken config file, NotFound for a missing one that was named.
base::Result<oci::RegistryClient::Options> registry_options(const RegistryAccess& access);
base::Result<std::unique_ptr<oci::RegistryClient>> make_registry_client(
    const RegistryAccess& access);

/// Adds --plain-http, --authfile, --mirror and --ca-file, which set `access`.
void add_access_options(CLI::App& command, RegistryAccess& access);

}  // namespace kaito

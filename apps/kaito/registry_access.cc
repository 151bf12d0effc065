#include "apps/kaito/registry_access.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "apps/kaito/data_dir.h"
#include "base/file.h"

namespace kaito {

using base::Error;
using base::ErrorCode;

namespace {

std::filesystem::path docker_config_file() {
  if (const char* folder = std::getenv("DOCKER_CONFIG"); folder && *folder)
    return std::filesystem::path(folder) / "config.json";
  if (const char* home = std::getenv("HOME"); home && *home)
    return std::filesystem::path(home) / ".docker/config.json";
  return {};
}

}  // namespace

base::Result<std::string> running_registry(const Session& session) {
  const auto info = TRY(read_run_info(session.dir()));
  if (!info || info->registry.empty()) {
    return Error(
        ErrorCode::Unavailable,
        "no registry: start one with `kaito up --detach`, or name one with --registry HOST:PORT");
  }
  return info->registry;
}

base::Result<oci::Reference> local_reference(const Session& session, const std::string& text) {
  const std::string first = text.substr(0, text.find('/'));
  const bool names_registry =
      text.contains('/') &&
      (first == "localhost" || first.find_first_of(".:[") != std::string::npos);
  if (names_registry) return oci::Reference::parse(text);
  return oci::Reference::parse(TRY(running_registry(session)) + "/" + text);
}

base::Result<std::unique_ptr<oci::RegistryClient>> make_registry_client(
    oci::RegistryScheme scheme) {
  oci::RegistryClient::Options options;
  options.scheme = scheme;
  options.use_environment_proxy = true;
  if (const auto file = docker_config_file(); !file.empty()) {
    const auto text = base::read_file(file);
    if (text) {
      options.credentials = TRY(base::with_context(oci::DockerConfig::parse(*text), file.string()));
    } else if (text.error().code() != ErrorCode::NotFound) {
      return text.error();
    }
  }
  return oci::RegistryClient::create(std::move(options));
}

void add_scheme_option(CLI::App& command, oci::RegistryScheme& scheme) {
  command.add_flag_callback(
      "--plain-http", [&scheme] { scheme = oci::RegistryScheme::Http; },
      "Speak HTTP instead of HTTPS with a registry on another machine");
}

}  // namespace kaito

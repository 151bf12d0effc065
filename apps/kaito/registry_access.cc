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

/// The file itself, or what a mounted Secret calls it.
std::filesystem::path config_in(const std::filesystem::path& place) {
  std::error_code error;
  if (!std::filesystem::is_directory(place, error)) return place;
  for (const char* name : {".dockerconfigjson", "config.json"}) {
    if (std::filesystem::exists(place / name, error)) return place / name;
  }
  return place / "config.json";
}

base::Result<oci::DockerConfig> read_config(const std::filesystem::path& file) {
  const std::string text = TRY(base::read_file(file));
  return base::with_context(oci::DockerConfig::parse(text), file.string());
}

}  // namespace

std::filesystem::path docker_config_file() {
  if (const char* folder = std::getenv("DOCKER_CONFIG"); folder && *folder)
    return config_in(folder);
  if (const char* home = std::getenv("HOME"); home && *home)
    return std::filesystem::path(home) / ".docker/config.json";
  return {};
}

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

base::Result<oci::RegistryClient::Options> registry_options(const RegistryAccess& access) {
  oci::RegistryClient::Options options;
  options.scheme = access.scheme;
  options.use_environment_proxy = true;
  for (const std::string& file : access.authfiles)
    options.credentials.merge(TRY(read_config(config_in(file))));
  if (access.authfiles.empty()) {
    if (const auto file = docker_config_file(); !file.empty()) {
      auto config = read_config(file);
      if (config) {
        options.credentials = *std::move(config);
      } else if (config.error().code() != ErrorCode::NotFound) {
        return config.error();
      }
    }
  }
  for (const std::string& mirror : access.mirrors) {
    const auto equals = mirror.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == mirror.size()) {
      return Error(ErrorCode::Invalid,
                   fmt::format("--mirror {}: expected REGISTRY=HOST[:PORT][/PREFIX]", mirror));
    }
    options.mirrors[mirror.substr(0, equals)].push_back(mirror.substr(equals + 1));
  }
  if (!access.ca_file.empty()) options.tls.ca_pem = TRY(base::read_file(access.ca_file));
  return options;
}

base::Result<std::unique_ptr<oci::RegistryClient>> make_registry_client(
    const RegistryAccess& access) {
  return oci::RegistryClient::create(TRY(registry_options(access)));
}

void add_access_options(CLI::App& command, RegistryAccess& access) {
  command.add_flag_callback(
      "--plain-http", [&access] { access.scheme = oci::RegistryScheme::Http; },
      "Speak HTTP instead of HTTPS with a registry on another machine");
  command
      .add_option("--authfile", access.authfiles,
                  "Docker config with credentials, or the folder of a mounted Secret; may be "
                  "given several times (default: $DOCKER_CONFIG, ~/.docker)")
      ->allow_extra_args(false);
  command
      .add_option("--mirror", access.mirrors,
                  "REGISTRY=HOST[:PORT][/PREFIX]: where to look before the registry itself; may be "
                  "given several times")
      ->allow_extra_args(false);
  command.add_option("--ca-file", access.ca_file, "PEM file of authorities to trust");
}

}  // namespace kaito

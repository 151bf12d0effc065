#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"

namespace tuning {

struct FetchOptions {
  std::filesystem::path folder;  ///< Made when it is not there.
  /// Trusted besides the system's roots: companies' proxies have certificates of their own.
  std::string extra_ca_pem;
  std::filesystem::path system_ca_file = "/etc/ssl/certs/ca-certificates.crt";
  bool use_environment_proxy = true;   ///< HTTPS_PROXY, HTTP_PROXY, NO_PROXY.
  bool allow_local_addresses = false;  ///< Link-local ones and the clouds' metadata servers.
  std::uint64_t max_bytes = std::uint64_t{16} << 30;  ///< Of one file.
  std::chrono::seconds time_limit{3600};              ///< For one attempt.
  std::chrono::seconds stall_limit{60};               ///< Without a byte.
  int attempts = 3;
  std::chrono::milliseconds retry_wait{2000};
  /// Called now and then with the bytes so far and the expected ones (0: unknown).
  std::function<void(std::string_view name, std::uint64_t done, std::uint64_t total)> on_progress;
};

struct FetchedFile {
  std::string url;  ///< Without its query, which may hold a secret.
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  std::string sha256;
};

/// Fetches each URL into a file of the folder, and writes what came from where with its SHA-256 to
/// `.sources.json` there. Files appear whole or not at all.
/// Errors: Invalid (not http or https, HTML instead of data, empty, too large), Forbidden (an
/// address that is not allowed, or by the server), NotFound, Unauthorized (TLS), Unavailable,
/// Timeout; each names the URL without its query.
base::Result<std::vector<FetchedFile>> fetch_files(const base::Context& ctx,
                                                   const std::vector<std::string>& urls,
                                                   const FetchOptions& options);

/// Errors: Forbidden for link-local addresses and those where clouds keep credentials. Pure.
base::Status check_fetch_address(std::string_view numeric_address);

/// The name that a file from `url` gets: the last part of its path, made harmless. Pure.
std::string file_name_of(std::string_view url);

}  // namespace tuning

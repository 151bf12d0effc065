#include "inference/adapters/image_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "base/file.h"
#include "base/sha256.h"
#include "oci/image_files.h"
#include "oci/reference.h"
#include "oci/registry_client.h"

namespace inference {

using base::Error;
using base::ErrorCode;
using base::Result;

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxCredentialsBytes = 1 << 20;
constexpr std::size_t kMaxCredentialFiles = 100;

/// In the order of their names.
Result<std::vector<fs::path>> credential_files(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    // A Secret that is optional may be absent.
    if (!fs::exists(path, error)) return std::vector<fs::path>{};
    return std::vector<fs::path>{path};
  }
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path& file = entry->path();
    if (file.extension() == ".json" || file.filename().string().ends_with(".dockerconfigjson"))
      files.push_back(file);
  }
  if (error) return base::system_error(fmt::format("reading {}", path.string()), error.value());
  if (files.size() > kMaxCredentialFiles)
    return Error(ErrorCode::Invalid, fmt::format("{} holds {} files; at most {} are read",
                                                 path.string(), files.size(), kMaxCredentialFiles));
  std::sort(files.begin(), files.end());
  return files;
}

bool is_refusal(const Error& error) {
  return error.code() == ErrorCode::Unauthorized || error.code() == ErrorCode::Forbidden ||
         error.code() == ErrorCode::NotFound;
}

base::Status pull(const base::Context& ctx, const oci::Reference& reference,
                  const std::optional<oci::Credentials>& credentials, const fs::path& folder) {
  oci::RegistryClient::Options options;
  options.use_environment_proxy = true;
  if (credentials) options.credentials.add(reference.domain, *credentials);
  const auto client = TRY(oci::RegistryClient::create(std::move(options)));
  const oci::PullOptions wanted{.content = oci::ImageContent::Data};
  TRY(oci::pull_image(ctx, *client, reference, folder, wanted, {}));
  return {};
}

}  // namespace

Result<std::vector<oci::Credentials>> credentials_for(const fs::path& path,
                                                      const std::string& domain,
                                                      const std::string& repository) {
  std::vector<oci::Credentials> found;
  if (path.empty()) return found;
  for (const fs::path& file : TRY(credential_files(path))) {
    const std::string text = TRY(base::read_file(file, kMaxCredentialsBytes));
    const auto config = TRY(base::with_context(oci::DockerConfig::parse(text), file.string()));
    auto credentials = TRY(base::with_context(config.find(domain, repository), file.string()));
    if (credentials && std::find(found.begin(), found.end(), *credentials) == found.end())
      found.push_back(*std::move(credentials));
  }
  return found;
}

fs::path ImageAdapterSource::folder_of(const AdapterEntry& entry) const {
  return options_.cache /
         fmt::format("{}-{}", entry.name, base::sha256_hex(entry.image).substr(0, 16));
}

Result<fs::path> ImageAdapterSource::fetch(const base::Context& ctx, const AdapterEntry& entry) {
  if (entry.image.empty()) return entry.path;
  const oci::Reference reference = TRY(oci::Reference::parse(entry.image));
  const auto known =
      TRY(credentials_for(options_.credentials, reference.domain, reference.repository));
  const fs::path folder = folder_of(entry);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return base::system_error(fmt::format("creating {}", folder.string()), error.value());
  if (known.empty()) {
    TRY(pull(ctx, reference, std::nullopt, folder));
    return folder;
  }
  base::Status pulled;
  for (const oci::Credentials& credentials : known) {
    pulled = pull(ctx, reference, credentials, folder);
    if (pulled) return folder;
    if (!is_refusal(pulled.error())) break;
  }
  return std::move(pulled).error();
}

void ImageAdapterSource::release(const AdapterEntry& entry) {
  if (entry.image.empty()) return;
  std::error_code ignored;
  fs::remove_all(folder_of(entry), ignored);
}

}  // namespace inference

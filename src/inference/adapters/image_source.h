#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "inference/adapters/adapter_manager.h"
#include "oci/auth.h"

namespace inference {

/// Adapters from images, pulled into a folder of this server's own, and from folders.
class ImageAdapterSource final : public AdapterSource {
 public:
  struct Options {
    std::filesystem::path cache;  ///< Made when it is needed.
    /// A docker config.json, or a folder with such files. Empty: none.
    std::filesystem::path credentials;
  };
  explicit ImageAdapterSource(Options options) : options_(std::move(options)) {}

  base::Result<std::filesystem::path> fetch(const base::Context& ctx,
                                            const AdapterEntry& entry) override;
  void release(const AdapterEntry& entry) override;

 private:
  std::filesystem::path folder_of(const AdapterEntry& entry) const;

  Options options_;
};

/// The credentials for a repository in every `*.json` and `.dockerconfigjson` of the folder `path`,
/// or in the file `path`. Errors: Invalid naming the file, system errors.
base::Result<std::vector<oci::Credentials>> credentials_for(const std::filesystem::path& path,
                                                            const std::string& domain,
                                                            const std::string& repository);

}  // namespace inference

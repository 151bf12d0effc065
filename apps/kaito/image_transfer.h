#pragma once

#include <cstdint>
#include <string>

#include "apps/kaito/image_admin.h"
#include "apps/kaito/options.h"
#include "apps/kaito/registry_access.h"
#include "base/context.h"

/// The parts of `kaito image` that move bytes. Each returns the exit code (ModelExit).
namespace kaito {

struct ImagePull {
  std::string reference;
  std::string folder;
  std::string store;  ///< Empty: none.
  std::string kind;   ///< `auto`, `adapter`, `dataset`, `model`, `files`
  RegistryAccess access;
  Output output = Output::Text;
};
/// As an init container too: the reason of a failure also goes to the container's termination log.
int pull_image_files(const base::Context& ctx, const Session& session, const ImagePull& options);

struct ImagePush {
  std::string folder;
  std::string reference;
  std::string kind;         ///< `adapter`, `dataset`, `model`, `files`
  std::string compression;  ///< `gzip`, `zstd`, `none`
  std::string model_name;
  std::vector<std::string> annotations;  ///< `KEY=VALUE`
  bool check = false;                    ///< Only whether pushing would be allowed.
  RegistryAccess access;
  Output output = Output::Text;
};
int push_image_files(const base::Context& ctx, const Session& session, const ImagePush& options);

struct ImageCopy {
  std::string from;
  std::string to;
  RegistryAccess access;
  Output output = Output::Text;
};
int copy_registry_image(const base::Context& ctx, const Session& session, const ImageCopy& options);

struct StoreCollect {
  std::string store;
  std::uint64_t max_bytes = 0;
  std::uint64_t max_age_seconds = 0;
  bool dry_run = false;
  Output output = Output::Text;
};
int collect_store(const base::Context& ctx, const StoreCollect& options);

}  // namespace kaito

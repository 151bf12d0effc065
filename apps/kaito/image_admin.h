#pragma once

#include <functional>
#include <string>

#include "apps/kaito/options.h"
#include "apps/kaito/registry_access.h"
#include "base/context.h"
#include "base/error.h"
#include "oci/reference.h"

/// What `kaito image` and `kaito model` share: exit codes, signals, and looking at registries.
namespace kaito {

/// Exit codes of both commands; the operator reads those of `pull` to tell the user what to do.
enum class ModelExit {
  Done = 0,
  Failed = 1,
  Usage = 2,
  NotFound = 3,
  Altered = 4,  ///< A digest does not match.
  DiskFull = 5,
  Unreachable = 6,
  Interrupted = 130,
};
ModelExit model_exit_of(const base::Error& error);

/// Says what went wrong, if anything did, and gives the exit code.
int exit_with(const base::Status& status);

/// Runs `work` so that SIGINT and SIGTERM end it in a state that can be resumed.
int run_interruptible(const std::function<int(const base::Context&)>& work);

enum class Output { Text, Json };

/// Names, tags, digests and sizes of a registry's images; "" is the registry of `kaito up`.
base::Status list_images(const base::Context& ctx, const Session& session,
                         const std::string& registry, const RegistryAccess& access, Output output);

/// What an image is and which files it carries.
base::Status show_image(const base::Context& ctx, const oci::Reference& ref,
                        const RegistryAccess& access, Output output);

/// Removes the tag, and the manifest with it when no other tag names it.
base::Status remove_image(const base::Context& ctx, oci::Reference ref,
                          const RegistryAccess& access);

struct LoginOptions {
  std::string registry;
  std::string user;
  std::string password;
  RegistryAccess access;
};
/// Checks user and password with the registry and keeps them in the docker config.
base::Status log_in(const base::Context& ctx, const LoginOptions& options);

}  // namespace kaito

#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "registry/limits.h"

namespace registry {

/// An OCI distribution registry (pull, push, discovery and management of the 1.1 specification)
/// over an image layout folder that other tools read: tags are entries of index.json whose
/// `org.opencontainers.image.ref.name` is `repository:tag`. Blobs are shared by all repositories.
///
/// Everything that was answered with success survives `kill -9`. Without
/// htpasswd there is no access control: serve it on loopback only. Destruction stops the server and
/// its threads.
class Registry {
 public:
  struct Options {
    std::filesystem::path root;
    std::string address = "127.0.0.1";
    std::uint16_t port = 0;
    base::Logger log;
    /// Lines of `htpasswd -B`; every request then needs user and password. Empty lets everybody in.
    std::string htpasswd;
    std::chrono::seconds orphan_life = kOrphanLife;
    std::chrono::seconds upload_life = kUploadLife;
    /// Free bytes below a path; tests make disks small with it. Empty asks the system.
    std::function<base::Result<std::uint64_t>(const std::filesystem::path&)> available_bytes;
  };

  /// Errors: AlreadyExists when the port is in use or another registry has the folder, Invalid for
  /// a folder that is not a layout, Forbidden.
  static base::Result<std::unique_ptr<Registry>> create(Options options);
  virtual ~Registry() = default;

  virtual std::uint16_t port() const = 0;
  /// `127.0.0.1:5001`, the domain of its references.
  virtual std::string domain() const = 0;

  struct Collected {
    std::size_t blobs = 0;
    std::uint64_t bytes = 0;
  };
  /// Deletes blobs that no manifest uses and that are older than `orphan_life`; also runs by
  /// itself.
  virtual Collected collect() = 0;
};

}  // namespace registry

#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "net/http_client.h"
#include "oci/auth.h"
#include "oci/manifest.h"
#include "oci/progress.h"
#include "oci/reference.h"

namespace oci {

enum class RegistryScheme {
  Automatic,  ///< Plain HTTP for this machine's addresses, HTTPS for all others.
  Http,
  Https,
};

/// A client of the OCI distribution API 1.1. Safe to use from many threads; connections and tokens
/// are kept and reused.
///
/// Every request is tried up to `max_attempts` times on 408, 429, 5xx and broken connections, with
/// growing pauses or the server's Retry-After; blob transfers go on where they stopped. Errors:
/// NotFound (repository, tag or blob), Unauthorized, Forbidden, Unavailable (the registry cannot be
/// reached or keeps failing), Throttled, Invalid (it breaks the protocol), `disk_full`,
/// `digest_mismatch`, Timeout and Cancelled by the context.
class RegistryClient {
 public:
  struct Options {
    DockerConfig credentials;
    RegistryScheme scheme = RegistryScheme::Automatic;
    int max_attempts = 5;
    std::chrono::milliseconds backoff_first{200};
    std::chrono::milliseconds backoff_max{5'000};
    /// A connection that moves no byte for this long counts as broken.
    std::chrono::milliseconds stall_timeout{60'000};
    /// Places that are asked for manifests and blobs before a registry itself, in order: domain ->
    /// `HOST[:PORT][/PREFIX]`. One that fails is passed over from then on; digests are checked as
    /// everywhere, but a tag is what the mirror says it is.
    std::map<std::string, std::vector<std::string>> mirrors;
    /// Requests at a time for one large blob.
    int parallel_ranges = 3;
    net::TlsClientOptions tls;
    bool use_environment_proxy = false;
  };

  static base::Result<std::unique_ptr<RegistryClient>> create(Options options);
  ~RegistryClient();

  /// Whether `domain` answers as a registry.
  base::Status ping(const base::Context& ctx, const std::string& domain);

  /// Type, digest and size of what `ref` names.
  base::Result<Descriptor> resolve(const base::Context& ctx, const Reference& ref);
  /// The manifest's own bytes; their digest is checked where the reference or the registry names
  /// one.
  base::Result<RawManifest> get_manifest(const base::Context& ctx, const Reference& ref);
  /// Stores `bytes` under the reference's tag, or under their digest when it has no tag.
  base::Result<Descriptor> put_manifest(const base::Context& ctx, const Reference& ref,
                                        const RawManifest& manifest);
  base::Status delete_manifest(const base::Context& ctx, const Reference& ref);

  base::Result<bool> has_blob(const base::Context& ctx, const Reference& ref, const Digest& digest);
  /// A small blob, its digest checked. Errors: also Invalid when larger than `limit_bytes`.
  base::Result<std::string> get_blob(const base::Context& ctx, const Reference& ref,
                                     const Descriptor& blob, std::size_t limit_bytes);
  /// Hands over the bytes of `blob` from `offset` on, each exactly once and in order, through any
  /// number of broken connections. The caller verifies the digest. An error of `take` ends it.
  using Take = std::function<base::Status(std::string_view bytes)>;
  base::Status fetch_blob(const base::Context& ctx, const Reference& ref, const Descriptor& blob,
                          std::uint64_t offset, const Take& take);

  /// Uploads `file`, whose size and digest `blob` tells, unless the registry has it already.
  base::Status push_blob(const base::Context& ctx, const Reference& ref, const Descriptor& blob,
                         const std::filesystem::path& file, const ProgressCallback& progress);
  base::Status push_blob(const base::Context& ctx, const Reference& ref, const Descriptor& blob,
                         std::string_view bytes);

  /// Whether these credentials may push to `ref`'s repository: begins an upload and cancels it.
  /// Errors: Unauthorized, Forbidden; as above.
  base::Status check_push(const base::Context& ctx, const Reference& ref);

  /// Makes a blob of another repository of the same registry part of `ref`'s, without moving its
  /// bytes; false when the registry would rather have it uploaded.
  base::Result<bool> mount_blob(const base::Context& ctx, const Reference& ref,
                                const Digest& digest, const std::string& from_repository);

  base::Result<std::vector<std::string>> list_tags(const base::Context& ctx,
                                                   const Reference& repository);
  base::Result<std::vector<std::string>> list_repositories(const base::Context& ctx,
                                                           const std::string& domain);

 private:
  class Core;
  explicit RegistryClient(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace oci

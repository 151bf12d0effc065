#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/sha256.h"
#include "oci/digest.h"
#include "oci/layout.h"

namespace registry {

/// Uploads that are not blobs yet: one file each in `ROOT/uploads`, hashed as it grows. They
/// outlive a restart (the file is hashed again when somebody goes on). Safe to use from many
/// threads; one upload is held by one request at a time.
class UploadStore {
 public:
  struct Upload {
    std::string id;
    base::UniqueFd file;
    std::uint64_t size = 0;
    base::Sha256 hash;
  };

  /// Holds an upload and gives it back at its end.
  class Lease {
   public:
    Lease(UploadStore& store, std::unique_ptr<Upload> upload)
        : store_(&store), upload_(std::move(upload)) {}
    ~Lease();
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&&) = delete;

    const std::string& id() const { return upload_->id; }
    std::uint64_t size() const { return upload_->size; }
    /// Errors: `disk_full`; what was written stays part of the upload.
    base::Status append(std::string_view bytes);
    /// Makes the blob of it. Errors: `digest_mismatch`; either way the upload is gone.
    base::Status finish(const oci::Digest& digest);
    void remove();
    /// Gives it back now: whoever reads the answer may come with the next request at once.
    void release();

   private:
    UploadStore* store_;
    std::unique_ptr<Upload> upload_;
  };

  static base::Result<std::unique_ptr<UploadStore>> create(const oci::Layout& layout);

  /// Errors: Throttled when too many are open, `disk_full`.
  base::Result<Lease> begin();
  /// Errors: NotFound; Conflict while another request holds it.
  base::Result<Lease> resume(std::string_view id);
  /// Drops uploads that nobody touched for `life`.
  void expire(std::chrono::seconds life);

 private:
  explicit UploadStore(const oci::Layout& layout) : layout_(layout) {}
  std::filesystem::path path_of(std::string_view id) const;
  void give_back(std::unique_ptr<Upload> upload);
  void forget(const std::string& id);

  const oci::Layout& layout_;
  /// A null pointer stands for an upload that a request holds.
  base::Guarded<std::map<std::string, std::unique_ptr<Upload>, std::less<>>> uploads_;
};

}  // namespace registry

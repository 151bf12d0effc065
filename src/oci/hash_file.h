#pragma once

#include <cstdint>
#include <filesystem>

#include "base/context.h"
#include "base/result.h"
#include "oci/digest.h"
#include "oci/progress.h"

namespace oci {

struct HashedFile {
  Digest digest;
  std::uint64_t size = 0;
};

/// Reads `file` once. Errors: NotFound, Forbidden, Invalid (not a plain file), Cancelled.
base::Result<HashedFile> hash_file(const base::Context& ctx, const std::filesystem::path& file,
                                   const ProgressCallback& progress);

}  // namespace oci

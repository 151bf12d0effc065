#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "base/test_support.h"
#include "oci/manifest.h"

/// Helpers of the tests of this module and of those that serve its documents.
namespace oci {

using base::test::sample_bytes;
using base::test::TempDir;

inline Descriptor descriptor_for(const std::string& bytes,
                                 std::string media_type = "application/octet-stream") {
  Descriptor descriptor;
  descriptor.media_type = std::move(media_type);
  descriptor.digest = Digest::of(bytes);
  descriptor.size = static_cast<std::int64_t>(bytes.size());
  return descriptor;
}

}  // namespace oci

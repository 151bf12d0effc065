#pragma once

#include <filesystem>

#include "base/context.h"
#include "base/result.h"
#include "oci/manifest.h"
#include "oci/progress.h"
#include "oci/reference.h"
#include "oci/registry_client.h"

namespace oci {

/// Copies an image, or an index with all its images, byte for byte, so that the digests stay.
/// Blobs that the destination has are not moved; within one registry they are mounted. What is on
/// the way lies in `scratch`, where a copy that was interrupted goes on. Progress covers the blobs
/// of all images. Errors: as RegistryClient; Invalid for indexes nested too deeply.
base::Result<Descriptor> copy_image(const base::Context& ctx, RegistryClient& client,
                                    const Reference& from, const Reference& to,
                                    const std::filesystem::path& scratch,
                                    const ProgressCallback& progress);

}  // namespace oci

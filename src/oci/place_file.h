#pragma once

#include <filesystem>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "oci/image_files.h"

namespace oci {

enum class SymbolicLinks {
  Allowed,  ///< The source stays where it is for as long as the folder is read.
  Refused,
};

/// Makes `destination/relative` be the content of `source`, by the cheapest way that the file
/// systems allow, replacing what is there in one step. `relative` was checked by the caller; links
/// on the way below `destination` are refused all the same. Errors: Invalid, `disk_full`,
/// Cancelled.
base::Result<Placement> place_file(const base::Context& ctx, const std::filesystem::path& source,
                                   const std::filesystem::path& destination,
                                   std::string_view relative,
                                   SymbolicLinks links = SymbolicLinks::Allowed);

}  // namespace oci

#pragma once

#include <string_view>

#include "base/result.h"

namespace oci {

/// Whether a file of this name may be created below a folder: relative, within it, of plain UTF-8
/// and bounded length. Errors: Invalid, saying why not.
base::Status check_file_path(std::string_view path);

}  // namespace oci

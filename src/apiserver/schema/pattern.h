#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace apiserver {

/// Whether some part of `text` matches `pattern` (Go's syntax), in time linear in the text.
/// Errors: Invalid with the reason when the pattern does not compile.
base::Result<bool> matches_pattern(std::string_view pattern, std::string_view text);
/// Errors: Invalid when the pattern does not compile.
base::Status check_pattern(std::string_view pattern);

}  // namespace apiserver

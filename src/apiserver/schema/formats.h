#pragma once

#include <string_view>

namespace apiserver {

/// False when `text` clearly is not of `format`; formats it does not know accept everything.
bool matches_format(std::string_view format, std::string_view text);

}  // namespace apiserver

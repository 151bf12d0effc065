#pragma once

#include <string_view>

#include "json/value.h"

namespace apiserver {

/// The OpenAPI v3 schema of a built-in type, from the api types; empty when this project has none.
/// It names the fields that are used here: objects may have more, and keep them.
json::Object builtin_schema(std::string_view plural);

}  // namespace apiserver

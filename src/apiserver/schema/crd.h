#pragma once

#include <string_view>
#include <vector>

#include "apiserver/schema/structural.h"
#include "json/value.h"

namespace apiserver {

/// Whether `schema` is structural, so that validation, pruning and apply can work with it: typed at
/// every level, no `$ref`, known keywords with values of the right kind, patterns that compile,
/// list types that fit, defaults that are valid. `path` is where it stands in the CRD, such as
/// `spec.versions[0].schema.openAPIV3Schema`.
std::vector<SchemaViolation> check_structural(const json::Value& schema, std::string_view path);

}  // namespace apiserver

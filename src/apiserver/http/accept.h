#pragma once

#include <optional>
#include <string_view>

#include "apiserver/resources/api_error.h"

namespace apiserver {

enum class View { Object, Table, Partial };
enum class Encoding { Json, Yaml };

/// How the client wants its answer.
struct Answer {
  View view = View::Object;
  Encoding encoding = Encoding::Json;
};

/// The first form of the Accept header that is served: JSON, YAML, Table, PartialObjectMetadata.
/// Errors: 406 when there is none.
ApiResult<Answer> negotiate(std::string_view accept);

/// True when the header asks for `as=<kind>` of `group` and `version`.
bool accepts_kind(std::string_view accept, std::string_view kind, std::string_view group,
                  std::string_view version);

}  // namespace apiserver

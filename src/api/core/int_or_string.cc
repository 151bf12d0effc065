#include "api/core/int_or_string.h"

#include <fmt/format.h>

#include <limits>

namespace api {

base::Result<IntOrString> IntOrString::from_json(const json::Value& in) {
  if (const json::String* text = in.if_string()) return IntOrString(json::to_string(*text));
  const std::int64_t* number = in.if_int64();
  if (!number) {
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("expected integer or string, found {}", json::kind_name(in)));
  }
  if (*number < std::numeric_limits<std::int32_t>::min() ||
      *number > std::numeric_limits<std::int32_t>::max()) {
    return base::Error(base::ErrorCode::Invalid, fmt::format("{} does not fit 32 bits", *number));
  }
  return IntOrString(static_cast<std::int32_t>(*number));
}

json::Value IntOrString::to_json() const {
  if (is_int()) return number();
  return json::String(name());
}

json::Object IntOrString::json_schema() {
  return json::Object{{"x-kubernetes-int-or-string", true}};
}

}  // namespace api

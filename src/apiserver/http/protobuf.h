#pragma once

#include <string_view>

#include "base/result.h"
#include "json/value.h"

namespace apiserver {

inline constexpr std::string_view kProtobufMediaType = "application/vnd.kubernetes.protobuf";

/// Reads a request body in Kubernetes' protobuf form as the JSON document it stands for. Newer
/// kubectl sends it from `create configmap|secret|namespace|service|serviceaccount|job`,
/// `auth can-i` and `drain`; only what these send is known. Answers are always JSON.
/// Errors: Invalid for broken bytes; Forbidden for a kind or field that is not known here.
base::Result<json::Value> decode_protobuf(std::string_view body);

}  // namespace apiserver

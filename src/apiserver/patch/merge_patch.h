#pragma once

#include "json/value.h"

namespace apiserver {

/// Applies an RFC 7386 merge patch: null removes, objects merge, everything else replaces.
json::Value apply_merge_patch(json::Value target, const json::Value& patch);

}  // namespace apiserver

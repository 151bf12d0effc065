#pragma once

#include "base/result.h"
#include "json/value.h"

namespace apiserver {

inline constexpr std::size_t kMaxJsonPatchOperations = 10'000;
/// Bounds what the `copy` operations of a patch may add up to, as Kubernetes does.
inline constexpr std::size_t kMaxJsonPatchCopiedBytes = 3U << 20;

/// Applies an RFC 6902 patch (an array of operations); all of it or nothing. As in Kubernetes,
/// `replace` also sets a member that is not there.
/// Errors: Invalid, naming the operation (`operation 2 (remove /spec/x): no such member`), also for
/// a `test` that fails.
base::Result<json::Value> apply_json_patch(const json::Value& target, const json::Value& patch);

}  // namespace apiserver

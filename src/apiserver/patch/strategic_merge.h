#pragma once

#include "base/result.h"
#include "json/value.h"

namespace apiserver {

/// Applies a Kubernetes strategic merge patch. `schema` says which lists merge and by which key
/// (`x-kubernetes-patch-strategy`, `-patch-merge-key`, else the list type); where it says nothing,
/// objects merge and lists are replaced. Understands `$patch` (merge, replace, delete),
/// `$retainKeys`, `$setElementOrder/LIST` and `$deleteFromPrimitiveList/LIST`; null removes.
/// Errors: Invalid with the path of the offending part.
base::Result<json::Value> apply_strategic_merge(const json::Value& target, const json::Value& patch,
                                                const json::Object& schema);

}  // namespace apiserver

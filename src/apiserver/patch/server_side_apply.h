#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apiserver/patch/managed_fields.h"
#include "base/result.h"
#include "json/value.h"

namespace apiserver {

struct ApplyOptions {
  FieldManager manager;
  bool force = false;          ///< Take fields that others own.
  bool closed_schema = false;  ///< Fields that the schema does not know are errors.
};

/// A field that another manager owns with another value.
struct ApplyConflict {
  std::string manager;  ///< `"kubectl" using v1`, `"helm" with subresource "status"`.
  std::string field;    ///< `.spec.containers[name="a"].image`.
  /// The message of a Status cause (reason `FieldManagerConflict`).
  std::string message() const { return "conflict with " + manager; }
};

/// The applied object, or the conflicts that forbid it (then `object` is null).
struct ApplyOutcome {
  json::Value object;
  std::vector<ApplyConflict> conflicts;
};

/// The message of the 409 Status: `Apply failed with 1 conflict: conflict with "a" using v1: .b`.
std::string conflict_message(const std::vector<ApplyConflict>& conflicts);

/// Server-side apply. `applied` is what the manager wants, all of it; `live` is nothing when the
/// object is new. Fields the manager owned and no longer applies go, unless others own them too.
/// metadata.managedFields of the result is up to date; an apply that changes nothing returns an
/// object equal to `live`, times included. Both documents are in the request's version.
/// Errors: Invalid, naming the path, when `applied` has fields unknown to a closed schema, or does
/// not fit the schema's lists (an element without its key or twice).
base::Result<ApplyOutcome> server_side_apply(const std::optional<json::Value>& live,
                                             const json::Value& applied, const json::Object& schema,
                                             const ApplyOptions& options);

}  // namespace apiserver

#pragma once

#include <string>
#include <vector>

#include "json/value.h"

/// What a structural schema says about one document: validation, defaults, pruning. Pure. Deep
/// documents are the parser's business (json::ParseLimits bounds them).
namespace apiserver {

/// One mistake as a cause of a Status: `FieldValueInvalid`, `spec.count`,
/// `Invalid value: "string": spec.count in body must be of type integer: "string"`.
struct SchemaViolation {
  std::string reason;
  std::string field;  ///< Without a leading dot; `<nil>` for the document itself.
  std::string message;
  friend bool operator==(const SchemaViolation&, const SchemaViolation&) = default;
};

/// All violations, in the order of the document, at most kMaxViolations. CEL rules
/// (`x-kubernetes-validations`) are not evaluated.
std::vector<SchemaViolation> validate(const json::Object& schema, const json::Value& value);

/// Fills defaults. A null where the schema forbids null counts as absent and is dropped.
void apply_defaults(const json::Object& schema, json::Value& value);

/// Drops the fields that the schema does not know and returns their paths (`spec.foo`,
/// `spec.items[0].bar`). `apiVersion`, `kind` and `metadata` stay at the root and in embedded
/// resources.
std::vector<std::string> prune(const json::Object& schema, json::Value& value);
/// The paths alone; `value` stays as it is.
std::vector<std::string> unknown_paths(const json::Object& schema, const json::Value& value);

}  // namespace apiserver

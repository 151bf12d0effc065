#pragma once

#include <string>

#include "apiserver/patch/field_set.h"
#include "apiserver/schema/schema_node.h"
#include "base/result.h"
#include "json/value.h"

/// The two halves of an apply: bring in what is wanted, take out what nobody wants any more.
namespace apiserver {

/// `applied` over `live` (null for none): objects and list elements merge, everything else is
/// replaced, null removes where the schema forbids it. Live elements stay in order; new ones
/// follow. Errors: Invalid when a list of `applied` misses keys or repeats an element.
base::Result<json::Value> merge_applied(const json::Value* live, const json::Value& applied,
                                        SchemaNode schema, const std::string& path = {});

/// Removes the fields of `last` that are not in `owned`, and containers that thereby become empty.
void remove_unowned(json::Value& value, const FieldSet& last, const FieldSet& owned,
                    SchemaNode schema);

}  // namespace apiserver

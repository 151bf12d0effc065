#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "inference/engine/model.h"
#include "inference/sampling/constraint.h"

namespace inference {

/// The GBNF grammar of the JSON texts that a JSON Schema allows. Errors: Invalid naming what the
/// converter does not support.
base::Result<std::string> grammar_from_json_schema(const std::string& schema);
/// The grammar of any JSON object.
base::Result<std::string> grammar_of_json_object();
/// Holds a generation to a GBNF grammar whose start is `root`. Errors: Invalid.
base::Result<std::unique_ptr<Constraint>> make_grammar_constraint(const Model& model,
                                                                  const std::string& grammar);

}  // namespace inference

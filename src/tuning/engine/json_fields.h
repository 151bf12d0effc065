#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "json/value.h"

namespace tuning {

/// Members of a model's or an adapter's JSON. Null counts as absent.
const json::Value* present(const json::Object& object, std::string_view name);

/// Errors: Invalid naming the member when it is not of the kind asked for.
base::Result<std::optional<double>> number_field(const json::Object& object, std::string_view name);
base::Result<std::optional<std::size_t>> size_field(const json::Object& object,
                                                    std::string_view name);
base::Result<std::optional<std::string>> text_field(const json::Object& object,
                                                    std::string_view name);
base::Result<std::optional<bool>> flag_field(const json::Object& object, std::string_view name);

}  // namespace tuning

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/value.h"

/// The order of lists that strategic merge joins.
namespace apiserver {

/// What tells the elements of a list apart: the merge key's value, or the value itself when
/// `merge_key` is "". Errors: Invalid when an element has no merge key.
base::Result<std::string> element_identity(const json::Value& element, std::string_view merge_key,
                                           std::string_view path);
base::Result<std::vector<std::string>> element_identities(const json::Array& list,
                                                          std::string_view merge_key,
                                                          std::string_view path);

/// Sorts the elements of `merged`: those of `wanted` stand as `wanted` says, the others stay where
/// `original` had them relative to these.
base::Result<json::Array> order_elements(json::Array merged, std::string_view merge_key,
                                         const std::vector<std::string>& wanted,
                                         const std::vector<std::string>& original,
                                         std::string_view path);

}  // namespace apiserver

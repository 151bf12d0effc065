#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "json/value.h"

namespace json {

/// One document of a YAML stream as JSON, and the line (from 1) where each value stands.
struct YamlDocument {
  Value value;
  std::map<std::string, std::size_t> lines;  ///< Key: path as FieldError has it, `.spec.count`.

  /// The line of `path` or of its nearest parent that has one; 0 when unknown.
  std::size_t line_of(std::string_view path) const;
};

/// Parses all documents; empty ones are left out. Plain scalars follow the YAML 1.2 core schema
/// (true/false, null/~, integers, floats); quoted ones are strings.
/// Errors: Invalid with line and column; also for duplicate keys, aliases that expand beyond
/// `max_nodes`, and nesting deeper than 64.
base::Result<std::vector<YamlDocument>> parse_yaml(std::string_view text);

/// Block-style YAML that parses back to the same value.
std::string dump_yaml(const Value& value);

}  // namespace json

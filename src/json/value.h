#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

/// JSON documents. The DOM is Boost.JSON's; the names here are the only ones the project uses.
namespace json {

using Value = boost::json::value;
using Object = boost::json::object;
using Array = boost::json::array;
using String = boost::json::string;

struct ParseLimits {
  std::size_t max_depth = 64;
  std::size_t max_bytes = 16 << 20;
};

/// Parses one document. Errors: Invalid with line and column; also for text that is not UTF-8, is
/// deeper or longer than the limits, or has bytes after the document.
base::Result<Value> parse(std::string_view text, const ParseLimits& limits = {});

/// Compact text, members in the order of the DOM.
std::string dump(const Value& value);
/// Compact text with object members sorted by key at every level: equal documents give equal text.
std::string dump_canonical(const Value& value);
/// Indented text for people.
std::string dump_pretty(const Value& value);

/// SHA-256 hex of the canonical text.
std::string hash(const Value& value);

/// Equality that ignores member order and treats 1 and 1.0 alike (Boost's own does the first only).
bool equal(const Value& a, const Value& b);

/// The value at a dotted path of object keys (`metadata.labels`), or null when a step is missing.
/// Keys that contain dots cannot be reached this way.
const Value* find(const Value& root, std::string_view dotted_path);
Value* find(Value& root, std::string_view dotted_path);
/// `find` for one kind; "" / nothing when absent or of another kind. The view lives as `root`.
std::string_view find_string(const Value& root, std::string_view dotted_path);
std::optional<std::int64_t> find_int(const Value& root, std::string_view dotted_path);
const Object* find_object(const Value& root, std::string_view dotted_path);
const Array* find_array(const Value& root, std::string_view dotted_path);

inline std::string_view view(const String& s) { return {s.data(), s.size()}; }
inline std::string to_string(const String& s) { return std::string(s.data(), s.size()); }

/// `object`, `array`, `string`, `number`, `boolean` or `null`, for error messages.
std::string_view kind_name(const Value& value);

}  // namespace json

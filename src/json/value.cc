#include "json/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>
#include <vector>

#include "base/encoding.h"
#include "base/sha256.h"

namespace json {
namespace {

struct Position {
  std::size_t line = 1;
  std::size_t column = 1;
};

Position position_of(std::string_view text, std::size_t offset) {
  Position at;
  for (const char c : text.substr(0, offset)) {
    if (c == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      ++at.column;
    }
  }
  return at;
}

void write_canonical(std::string& out, const Value& value) {
  if (const auto* object = value.if_object()) {
    std::vector<const Object::value_type*> members;
    members.reserve(object->size());
    for (const auto& member : *object) members.push_back(&member);
    std::sort(members.begin(), members.end(), [](auto* a, auto* b) { return a->key() < b->key(); });
    out.push_back('{');
    for (const auto* member : members) {
      if (out.back() != '{') out.push_back(',');
      out += boost::json::serialize(boost::json::string_view(member->key()));
      out.push_back(':');
      write_canonical(out, member->value());
    }
    out.push_back('}');
  } else if (const auto* array = value.if_array()) {
    out.push_back('[');
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out.push_back(',');
      write_canonical(out, (*array)[i]);
    }
    out.push_back(']');
  } else {
    out += boost::json::serialize(value);
  }
}

void write_pretty(std::string& out, const Value& value, std::size_t depth) {
  const auto indent = [&](std::size_t levels) { out.append("\n").append(levels * 2, ' '); };
  if (const auto* object = value.if_object(); object && !object->empty()) {
    out.push_back('{');
    bool first = true;
    for (const auto& member : *object) {
      if (!first) out.push_back(',');
      first = false;
      indent(depth + 1);
      out += boost::json::serialize(boost::json::string_view(member.key()));
      out += ": ";
      write_pretty(out, member.value(), depth + 1);
    }
    indent(depth);
    out.push_back('}');
  } else if (const auto* array = value.if_array(); array && !array->empty()) {
    out.push_back('[');
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out.push_back(',');
      indent(depth + 1);
      write_pretty(out, (*array)[i], depth + 1);
    }
    indent(depth);
    out.push_back(']');
  } else {
    out += boost::json::serialize(value);
  }
}

}  // namespace

base::Result<Value> parse(std::string_view text, const ParseLimits& limits) {
  using base::ErrorCode;
  if (text.size() > limits.max_bytes) {
    return base::Error(ErrorCode::Invalid,
                       fmt::format("JSON is larger than {} bytes", limits.max_bytes));
  }
  boost::json::parse_options options;
  options.max_depth = limits.max_depth;
  boost::json::stream_parser parser({}, options);
  boost::json::error_code error;
  const std::size_t consumed = parser.write_some(text.data(), text.size(), error);
  std::string_view rest = text.substr(consumed);
  if (!error) parser.finish(error);
  if (error) {
    const Position at = position_of(text, consumed);
    return base::Error(ErrorCode::Invalid, fmt::format("invalid JSON at line {}, column {}: {}",
                                                       at.line, at.column, error.message()));
  }
  if (rest.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    const Position at = position_of(text, consumed);
    return base::Error(ErrorCode::Invalid,
                       fmt::format("invalid JSON at line {}, column {}: text after the document",
                                   at.line, at.column));
  }
  return parser.release();
}

std::string dump(const Value& value) { return boost::json::serialize(value); }

std::string dump_canonical(const Value& value) {
  std::string out;
  write_canonical(out, value);
  return out;
}

std::string dump_pretty(const Value& value) {
  std::string out;
  write_pretty(out, value, 0);
  out.push_back('\n');
  return out;
}

std::string hash(const Value& value) { return base::sha256_hex(dump_canonical(value)); }

bool equal(const Value& a, const Value& b) {
  if (const auto* left = a.if_object()) {
    const auto* right = b.if_object();
    if (!right || left->size() != right->size()) return false;
    return std::all_of(left->begin(), left->end(), [&](const auto& member) {
      const Value* other = right->if_contains(member.key());
      return other && equal(member.value(), *other);
    });
  }
  if (const auto* left = a.if_array()) {
    const auto* right = b.if_array();
    return right && std::equal(left->begin(), left->end(), right->begin(), right->end(), equal);
  }
  if (a.is_number() && b.is_number()) {
    if (a.is_double() || b.is_double()) {
      return a.to_number<double>() == b.to_number<double>();
    }
    return a == b;
  }
  return a == b;
}

const Value* find(const Value& root, std::string_view dotted_path) {
  const Value* at = &root;
  while (at && !dotted_path.empty()) {
    const auto dot = dotted_path.find('.');
    const auto* object = at->if_object();
    at = object ? object->if_contains(dotted_path.substr(0, dot)) : nullptr;
    dotted_path = dot == std::string_view::npos ? std::string_view() : dotted_path.substr(dot + 1);
  }
  return at;
}

Value* find(Value& root, std::string_view dotted_path) {
  return const_cast<Value*>(find(std::as_const(root), dotted_path));
}

std::string_view find_string(const Value& root, std::string_view dotted_path) {
  const Value* value = find(root, dotted_path);
  const String* text = value ? value->if_string() : nullptr;
  return text ? view(*text) : std::string_view();
}

std::optional<std::int64_t> find_int(const Value& root, std::string_view dotted_path) {
  const Value* value = find(root, dotted_path);
  if (!value || !value->is_number()) return std::nullopt;
  boost::json::error_code error;
  const auto number = value->to_number<std::int64_t>(error);
  return error ? std::nullopt : std::optional<std::int64_t>(number);
}

const Object* find_object(const Value& root, std::string_view dotted_path) {
  const Value* value = find(root, dotted_path);
  return value ? value->if_object() : nullptr;
}

const Array* find_array(const Value& root, std::string_view dotted_path) {
  const Value* value = find(root, dotted_path);
  return value ? value->if_array() : nullptr;
}

std::string_view kind_name(const Value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "boolean";
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
    case boost::json::kind::double_:
      return "number";
    case boost::json::kind::string:
      return "string";
    case boost::json::kind::array:
      return "array";
    case boost::json::kind::object:
      return "object";
  }
  return "unknown";
}

}  // namespace json

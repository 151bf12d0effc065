#include "json/codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace json {

std::string to_string(const std::vector<FieldError>& errors) {
  std::string text;
  for (const FieldError& error : errors) {
    if (!text.empty()) text += "; ";
    text += error.path.empty() ? error.message : fmt::format("{}: {}", error.path, error.message);
  }
  return text;
}

std::string PathNode::text() const {
  std::string prefix = parent ? parent->text() : std::string();
  if (is_index) return prefix + fmt::format("[{}]", index);
  if (key.empty()) return prefix;
  return prefix + (key.find_first_of("./") == std::string_view::npos ? fmt::format(".{}", key)
                                                                     : fmt::format("[{}]", key));
}

void fail_kind(const Value& in, std::string_view wanted, const PathNode& at, DecodeState& state) {
  state.fail(at, fmt::format("expected {}, found {}", wanted, kind_name(in)));
}

void read_value(const Value& in, bool& out, const PathNode& at, DecodeState& state) {
  if (const bool* b = in.if_bool()) {
    out = *b;
  } else {
    fail_kind(in, "boolean", at, state);
  }
}

void read_value(const Value& in, std::string& out, const PathNode& at, DecodeState& state) {
  if (const String* s = in.if_string()) {
    out.assign(s->data(), s->size());
  } else {
    fail_kind(in, "string", at, state);
  }
}

void read_value(const Value& in, std::int64_t& out, const PathNode& at, DecodeState& state) {
  if (!in.is_number()) return fail_kind(in, "integer", at, state);
  boost::json::error_code error;
  out = in.to_number<std::int64_t>(error);
  if (error) state.fail(at, "expected integer, found a number that is not one or is too large");
}

void read_value(const Value& in, std::int32_t& out, const PathNode& at, DecodeState& state) {
  std::int64_t wide = 0;
  const std::size_t before = state.errors.size();
  read_value(in, wide, at, state);
  if (state.errors.size() != before) return;
  if (wide < std::numeric_limits<std::int32_t>::min() ||
      wide > std::numeric_limits<std::int32_t>::max()) {
    return state.fail(at, fmt::format("{} does not fit 32 bits", wide));
  }
  out = static_cast<std::int32_t>(wide);
}

void read_value(const Value& in, double& out, const PathNode& at, DecodeState& state) {
  if (!in.is_number()) return fail_kind(in, "number", at, state);
  out = in.to_number<double>();
}

void read_value(const Value& in, Value& out, const PathNode&, DecodeState&) { out = in; }

void read_value(const Value& in, Object& out, const PathNode& at, DecodeState& state) {
  if (const Object* object = in.if_object()) {
    out = *object;
  } else {
    fail_kind(in, "object", at, state);
  }
}

void Decoder::finish() {
  if (!state_.strict) return;
  for (const auto& member : object_) {
    const std::string_view key(member.key().data(), member.key().size());
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      state_.fail(PathNode{&at_, key}, "unknown field");
    }
  }
}

void Decoder::check_one_of(const Value& value, const PathNode& here, const FieldRules& rules) {
  const String* text = value.if_string();
  if (!text) return;
  if (std::find(rules.one_of.begin(), rules.one_of.end(), view(*text)) != rules.one_of.end())
    return;
  state_.fail(here,
              fmt::format("'{}' is not one of {}", view(*text), fmt::join(rules.one_of, ", ")));
}

}  // namespace json

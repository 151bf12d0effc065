#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "json/value.h"

/// One `describe(visitor, object)` per type drives decoding, encoding and the OpenAPI schema:
///
///     template <class Visitor>
///     void describe(Visitor& v, ResourceSpec& spec) {
///       v.type("Nodes a workspace needs.");
///       v.field("count", spec.count, Presence::Optional, "Nodes wanted.", {.minimum = 1});
///     }
namespace json {

/// Required members must be there when decoding from users and are always written;
/// Optional ones are left out when empty ("", 0, false, no elements, nullopt).
enum class Presence { Required, Optional };

/// What the schema says beyond the type. Only `one_of` is checked while decoding.
struct FieldRules {
  std::initializer_list<std::string_view> one_of{};  ///< Allowed strings.
  const char* default_json = nullptr;                ///< `"public"` (with quotes), `1`, ...
  const char* pattern = nullptr;
  const char* format = nullptr;  ///< `date-time`, `int32`, ...
  std::optional<std::int64_t> minimum{};
  std::optional<std::int64_t> max_length{};
  const char* merge_key =
      nullptr;  ///< Strategic-merge and server-side-apply key of a list of objects.
  const char* merge_key_2 = nullptr;  ///< Second list-map key (`protocol` of Service ports).
  const char* list_type = nullptr;    ///< `atomic`, `set` or `map`; `map` is implied by merge_key.
  bool atomic_map = false;            ///< The whole object is replaced by apply.
  bool preserve_unknown = false;      ///< Fields without a description are kept.
};

/// A mistake in a document and where it is: `.spec.count`, `expected integer, found string`.
struct FieldError {
  std::string path;
  std::string message;
  friend bool operator==(const FieldError&, const FieldError&) = default;
};
/// `path: message; path: message`.
std::string to_string(const std::vector<FieldError>& errors);

/// Types with a JSON form of their own (IntOrString).
template <class T>
concept CustomCoded = requires(const T& t, const Value& v) {
  { T::from_json(v) } -> std::same_as<base::Result<T>>;
  { t.to_json() } -> std::same_as<Value>;
  { T::json_schema() } -> std::same_as<Object>;
};

class Decoder;
template <class T>
concept Described = requires(Decoder& visitor, T& t) { describe(visitor, t); };

/// Where the decoder is, as a chain on the stack; text is made only for an error.
struct PathNode {
  const PathNode* parent = nullptr;
  std::string_view key;
  std::size_t index = 0;
  bool is_index = false;
  std::string text() const;
};

struct DecodeState {
  bool strict = false;  ///< Report unknown and missing members.
  std::vector<FieldError> errors;
  void fail(const PathNode& at, std::string message) {
    errors.push_back({at.text(), std::move(message)});
  }
};

void read_value(const Value& in, bool& out, const PathNode& at, DecodeState& state);
void read_value(const Value& in, std::string& out, const PathNode& at, DecodeState& state);
void read_value(const Value& in, std::int64_t& out, const PathNode& at, DecodeState& state);
void read_value(const Value& in, std::int32_t& out, const PathNode& at, DecodeState& state);
void read_value(const Value& in, double& out, const PathNode& at, DecodeState& state);
void read_value(const Value& in, Value& out, const PathNode& at, DecodeState& state);
void read_value(const Value& in, Object& out, const PathNode& at, DecodeState& state);

template <CustomCoded T>
void read_value(const Value& in, T& out, const PathNode& at, DecodeState& state) {
  auto value = T::from_json(in);
  if (value) {
    out = *std::move(value);
  } else {
    state.fail(at, value.error().message());
  }
}
template <class T>
void read_value(const Value& in, std::optional<T>& out, const PathNode& at, DecodeState& state);
template <class T>
void read_value(const Value& in, std::vector<T>& out, const PathNode& at, DecodeState& state);
template <class T>
void read_value(const Value& in, std::map<std::string, T>& out, const PathNode& at,
                DecodeState& state);
template <Described T>
void read_value(const Value& in, T& out, const PathNode& at, DecodeState& state);

/// Fills a described object from a JSON object.
class Decoder {
 public:
  Decoder(const Object& object, const PathNode& at, DecodeState& state)
      : object_(object), at_(at), state_(state) {}

  void type(std::string_view) {}

  template <class T>
  void field(std::string_view key, T& out, Presence presence, std::string_view /*doc*/,
             const FieldRules& rules = {}) {
    if (state_.strict) known_.push_back(key);
    const Value* value = object_.if_contains(key);
    const PathNode here{&at_, key};
    // null means absent, as in Kubernetes.
    if (!value || value->is_null()) {
      if (presence == Presence::Required && state_.strict)
        state_.fail(here, "required field is missing");
      return;
    }
    read_value(*value, out, here, state_);
    if (rules.one_of.size() > 0) check_one_of(*value, here, rules);
  }
  /// Reports unknown members; called once after `describe`.
  void finish();

 private:
  void check_one_of(const Value& value, const PathNode& here, const FieldRules& rules);

  const Object& object_;
  const PathNode& at_;
  DecodeState& state_;
  std::vector<std::string_view> known_;
};

template <class T>
void read_value(const Value& in, std::optional<T>& out, const PathNode& at, DecodeState& state) {
  read_value(in, out.emplace(), at, state);
}

void fail_kind(const Value& in, std::string_view wanted, const PathNode& at, DecodeState& state);

template <class T>
void read_value(const Value& in, std::vector<T>& out, const PathNode& at, DecodeState& state) {
  const Array* array = in.if_array();
  if (!array) return fail_kind(in, "array", at, state);
  out.clear();
  out.reserve(array->size());
  for (std::size_t i = 0; i < array->size(); ++i) {
    read_value((*array)[i], out.emplace_back(), PathNode{&at, {}, i, true}, state);
  }
}

template <class T>
void read_value(const Value& in, std::map<std::string, T>& out, const PathNode& at,
                DecodeState& state) {
  const Object* object = in.if_object();
  if (!object) return fail_kind(in, "object", at, state);
  out.clear();
  for (const auto& member : *object) {
    const std::string_view key(member.key().data(), member.key().size());
    read_value(member.value(), out[std::string(key)], PathNode{&at, key}, state);
  }
}

template <Described T>
void read_value(const Value& in, T& out, const PathNode& at, DecodeState& state) {
  const Object* object = in.if_object();
  if (!object) return fail_kind(in, "object", at, state);
  Decoder decoder(*object, at, state);
  describe(decoder, out);
  decoder.finish();
}

// --- encoding -----------------------------------------------------------------------------------

inline bool is_empty(bool b) { return !b; }
inline bool is_empty(const std::string& s) { return s.empty(); }
inline bool is_empty(std::int64_t i) { return i == 0; }
inline bool is_empty(std::int32_t i) { return i == 0; }
inline bool is_empty(double d) { return d == 0; }
inline bool is_empty(const Value& v) { return v.is_null(); }
inline bool is_empty(const Object& o) { return o.empty(); }
template <class T>
bool is_empty(const std::optional<T>& o) {
  return !o.has_value();
}
template <class T>
bool is_empty(const std::vector<T>& v) {
  return v.empty();
}
template <class T>
bool is_empty(const std::map<std::string, T>& m) {
  return m.empty();
}

inline Value write_value(bool b) { return b; }
inline Value write_value(const std::string& s) { return String(s); }
inline Value write_value(std::int64_t i) { return i; }
inline Value write_value(std::int32_t i) { return i; }
inline Value write_value(double d) { return d; }
inline Value write_value(const Value& v) { return v; }
inline Value write_value(const Object& o) { return o; }
template <CustomCoded T>
Value write_value(const T& t) {
  return t.to_json();
}
template <class T>
Value write_value(const std::optional<T>& o);
template <class T>
Value write_value(const std::vector<T>& v);
template <class T>
Value write_value(const std::map<std::string, T>& m);
template <Described T>
  requires(!CustomCoded<T>)
Value write_value(const T& t);

/// Writes a described object as a JSON object.
class Encoder {
 public:
  explicit Encoder(Object& object) : object_(object) {}
  void type(std::string_view) {}

  template <class T>
  void field(std::string_view key, const T& in, Presence presence, std::string_view /*doc*/,
             const FieldRules& = {}) {
    if constexpr (Described<T> && !CustomCoded<T>) {
      Value value = write_value(in);
      if (presence == Presence::Optional && value.get_object().empty()) return;
      object_.emplace(key, std::move(value));
    } else {
      if (presence == Presence::Optional && is_empty(in)) return;
      object_.emplace(key, write_value(in));
    }
  }

 private:
  Object& object_;
};

template <class T>
Value write_value(const std::optional<T>& o) {
  return o ? write_value(*o) : Value(nullptr);
}

template <class T>
Value write_value(const std::vector<T>& v) {
  Array array;
  array.reserve(v.size());
  for (const T& element : v) array.push_back(write_value(element));
  return array;
}

template <class T>
Value write_value(const std::map<std::string, T>& m) {
  Object object;
  for (const auto& [key, element] : m) object.emplace(key, write_value(element));
  return object;
}

template <Described T>
  requires(!CustomCoded<T>)
Value write_value(const T& t) {
  Object object;
  Encoder encoder(object);
  describe(encoder,
           const_cast<T&>(t));  // One describe serves readers and writers; an encoder only reads.
  return object;
}

// --- the front ----------------------------------------------------------------------------------

/// Tolerant: unknown members are ignored, missing ones keep their default. For what a server sent.
/// Errors: Invalid, naming every member of the wrong type.
template <class T>
base::Result<T> decode(const Value& value) {
  T out{};
  DecodeState state;
  read_value(value, out, PathNode{}, state);
  if (!state.errors.empty()) return base::Error(base::ErrorCode::Invalid, to_string(state.errors));
  return out;
}

template <class T>
struct StrictDecode {
  T value{};
  std::vector<FieldError> errors;
};

/// Strict: also reports unknown and missing members, all at once. For what a user wrote.
template <class T>
StrictDecode<T> decode_strict(const Value& value) {
  StrictDecode<T> result;
  DecodeState state;
  state.strict = true;
  read_value(value, result.value, PathNode{}, state);
  result.errors = std::move(state.errors);
  return result;
}

template <class T>
Value encode(const T& value) {
  return write_value(value);
}

}  // namespace json

#include "apiserver/patch/json_patch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace apiserver {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

Error invalid(std::string message) { return Error(ErrorCode::Invalid, std::move(message)); }

/// The unescaped tokens of an RFC 6901 pointer. The whole document has none.
Result<std::vector<std::string>> parse_pointer(std::string_view text) {
  std::vector<std::string> tokens;
  if (text.empty()) return tokens;
  if (text.front() != '/') return invalid("a pointer must begin with /");
  std::string token;
  for (std::size_t i = 1; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '/') {
      tokens.push_back(std::exchange(token, {}));
    } else if (text[i] != '~') {
      token.push_back(text[i]);
    } else if (++i < text.size() && (text[i] == '0' || text[i] == '1')) {
      token.push_back(text[i] == '0' ? '~' : '/');
    } else {
      return invalid("~ must be followed by 0 or 1");
    }
  }
  return tokens;
}

/// A decimal index without leading zeros.
std::optional<std::size_t> parse_index(std::string_view token) {
  if (token.empty() || (token.size() > 1 && token.front() == '0')) return std::nullopt;
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), index);
  if (error != std::errc() || end != token.data() + token.size()) return std::nullopt;
  return index;
}

Result<std::size_t> existing_index(const json::Array& array, std::string_view token) {
  const auto index = parse_index(token);
  if (!index) return invalid(fmt::format("'{}' is not an index", token));
  if (*index >= array.size()) {
    return invalid(fmt::format("index {} is beyond the {} elements", *index, array.size()));
  }
  return *index;
}

/// The member TOKEN of a container.
Result<json::Value*> step_into(json::Value& at, std::string_view token) {
  if (json::Object* object = at.if_object()) {
    json::Value* member = object->if_contains(token);
    if (!member) return invalid(fmt::format("there is no member '{}'", token));
    return member;
  }
  if (json::Array* array = at.if_array()) return &(*array)[TRY(existing_index(*array, token))];
  return invalid(fmt::format("'{}' leads into a {}", token, json::kind_name(at)));
}

Result<json::Value*> resolve(json::Value& root, const std::vector<std::string>& tokens,
                             std::size_t count) {
  json::Value* at = &root;
  for (std::size_t i = 0; i < count; ++i) at = TRY(step_into(*at, tokens[i]));
  return at;
}

base::Status add(json::Value& root, const std::vector<std::string>& tokens, json::Value value) {
  if (tokens.empty()) {
    root = std::move(value);
    return {};
  }
  json::Value* parent = TRY(resolve(root, tokens, tokens.size() - 1));
  const std::string& last = tokens.back();
  if (json::Object* object = parent->if_object()) {
    object->insert_or_assign(last, std::move(value));
    return {};
  }
  json::Array* array = parent->if_array();
  if (!array) return invalid(fmt::format("'{}' leads into a {}", last, json::kind_name(*parent)));
  if (last == "-") {
    array->push_back(std::move(value));
    return {};
  }
  const auto index = parse_index(last);
  if (!index) return invalid(fmt::format("'{}' is not an index", last));
  if (*index > array->size()) {
    return invalid(fmt::format("index {} is beyond the {} elements", *index, array->size()));
  }
  array->insert(array->begin() + static_cast<std::ptrdiff_t>(*index), std::move(value));
  return {};
}

/// Replaces an element, or sets a member: Kubernetes does not ask whether it was there.
base::Status replace(json::Value& root, const std::vector<std::string>& tokens, json::Value value) {
  if (!tokens.empty()) {
    json::Value* parent = TRY(resolve(root, tokens, tokens.size() - 1));
    if (json::Object* object = parent->if_object()) {
      object->insert_or_assign(tokens.back(), std::move(value));
      return {};
    }
  }
  *TRY(resolve(root, tokens, tokens.size())) = std::move(value);
  return {};
}

/// Takes the value out of the document.
Result<json::Value> remove(json::Value& root, const std::vector<std::string>& tokens) {
  if (tokens.empty()) return std::exchange(root, json::Value());
  json::Value* parent = TRY(resolve(root, tokens, tokens.size() - 1));
  json::Value taken = std::move(*TRY(step_into(*parent, tokens.back())));
  if (json::Object* object = parent->if_object()) {
    object->stable_erase(tokens.back());
  } else {
    json::Array& array = parent->get_array();
    array.erase(array.begin() + static_cast<std::ptrdiff_t>(*parse_index(tokens.back())));
  }
  return taken;
}

/// Whether `value` nests at most `levels` deep.
bool is_within_depth(const json::Value& value, std::size_t levels) {
  const auto within = [levels](const json::Value& child) {
    return levels > 0 && is_within_depth(child, levels - 1);
  };
  if (const json::Array* array = value.if_array()) {
    return std::all_of(array->begin(), array->end(), within);
  }
  if (const json::Object* object = value.if_object()) {
    return std::all_of(object->begin(), object->end(),
                       [&](const auto& member) { return within(member.value()); });
  }
  return true;
}

/// About the bytes that a copy of `value` adds.
std::size_t weight(const json::Value& value) { return json::dump(value).size(); }

class Patcher {
 public:
  explicit Patcher(json::Value document) : document_(std::move(document)) {}

  base::Status run(const json::Value& operation) {
    const json::Object* object = operation.if_object();
    if (!object) return invalid("an operation must be an object");
    const std::string_view op = json::find_string(operation, "op");
    const auto path = TRY(pointer(*object, "path"));
    if (op == "add") return add(document_, path, TRY(value(*object)));
    if (op == "remove") {
      TRY(remove(document_, path));
      return {};
    }
    if (op == "replace") {
      return replace(document_, path, TRY(value(*object)));
    }
    if (op == "move") return move(TRY(pointer(*object, "from")), path);
    if (op == "copy") return copy(TRY(pointer(*object, "from")), path);
    if (op == "test") {
      const json::Value wanted = TRY(value(*object));
      if (json::equal(*TRY(resolve(document_, path, path.size())), wanted)) return {};
      return invalid("the test failed: the value differs");
    }
    return invalid(
        fmt::format("unknown op '{}': use add, remove, replace, move, copy or test", op));
  }

  json::Value take() { return std::move(document_); }

 private:
  static Result<std::vector<std::string>> pointer(const json::Object& operation,
                                                  std::string_view key) {
    const json::Value* value = operation.if_contains(key);
    const json::String* text = value ? value->if_string() : nullptr;
    if (!text) return invalid(fmt::format("the operation needs a '{}'", key));
    return base::with_context(parse_pointer(json::view(*text)), key);
  }
  static Result<json::Value> value(const json::Object& operation) {
    const json::Value* found = operation.if_contains("value");
    if (!found) return invalid("the operation needs a 'value'");
    return *found;
  }

  base::Status move(const std::vector<std::string>& from, const std::vector<std::string>& to) {
    const bool into_itself =
        from.size() < to.size() && std::equal(from.begin(), from.end(), to.begin());
    if (into_itself) return invalid("a value cannot move into itself");
    if (from == to) {
      TRY(resolve(document_, from, from.size()));
      return {};
    }
    json::Value taken = TRY(remove(document_, from));
    return add(document_, to, std::move(taken));
  }

  base::Status copy(const std::vector<std::string>& from, const std::vector<std::string>& to) {
    json::Value copied = *TRY(resolve(document_, from, from.size()));
    copied_bytes_ += weight(copied);
    if (copied_bytes_ > kMaxJsonPatchCopiedBytes) {
      return invalid(
          fmt::format("the copies add up to more than {} bytes", kMaxJsonPatchCopiedBytes));
    }
    return add(document_, to, std::move(copied));
  }

  json::Value document_;
  std::size_t copied_bytes_ = 0;
};

}  // namespace

Result<json::Value> apply_json_patch(const json::Value& target, const json::Value& patch) {
  const json::Array* operations = patch.if_array();
  if (!operations) return invalid("a JSON patch must be an array of operations");
  if (operations->size() > kMaxJsonPatchOperations) {
    return invalid(fmt::format("the patch has {} operations, {} are allowed", operations->size(),
                               kMaxJsonPatchOperations));
  }
  Patcher patcher(target);
  for (std::size_t i = 0; i < operations->size(); ++i) {
    const json::Value& operation = (*operations)[i];
    if (auto status = patcher.run(operation); !status) {
      return std::move(status).error().context(fmt::format("operation {} ({} {})", i,
                                                           json::find_string(operation, "op"),
                                                           json::find_string(operation, "path")));
    }
  }
  json::Value result = patcher.take();
  const std::size_t max_depth = json::ParseLimits{}.max_depth;
  if (!is_within_depth(result, max_depth)) {
    return invalid(fmt::format("the patched document is nested deeper than {} levels", max_depth));
  }
  return result;
}

}  // namespace apiserver

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json/value.h"

namespace inference {

/// One mistake in a request's body.
struct FieldError {
  std::string path;     ///< `generate_kwargs.top_k`; "" for the body itself.
  std::string type;     ///< FastAPI's name of the kind of mistake: `int_type`.
  std::string message;  ///< `Input should be a valid integer`.
};

struct Bounds {
  double min;
  double max;
};

/// Reads typed members of a JSON object and collects every mistake. Null counts as absent; members
/// that nobody asks for are ignored.
class FieldReader {
 public:
  FieldReader(const json::Object& object, std::vector<FieldError>& errors, std::string path = "")
      : object_(object), errors_(errors), path_(std::move(path)) {}

  bool has(std::string_view key) const { return find(key) != nullptr; }
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::string> text(std::string_view key);
  /// Whole numbers, also written as 5.0.
  std::optional<std::int64_t> integer(std::string_view key, Bounds bounds);
  std::optional<double> number(std::string_view key, Bounds bounds);
  const json::Object* object(std::string_view key);
  const json::Array* array(std::string_view key);
  const json::Value* any(std::string_view key) const { return find(key); }

  void fail(std::string_view key, std::string type, std::string message);
  std::string path_of(std::string_view key) const;
  std::vector<FieldError>& errors() { return errors_; }

 private:
  const json::Value* find(std::string_view key) const;

  const json::Object& object_;
  std::vector<FieldError>& errors_;
  std::string path_;
};

}  // namespace inference

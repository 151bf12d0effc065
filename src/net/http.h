#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace net {

/// Header fields in order; names compare without case.
class HttpHeaders {
 public:
  using Field = std::pair<std::string, std::string>;

  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<Field> fields) : fields_(fields) {}

  /// The first value of `name`, or nothing.
  std::optional<std::string_view> get(std::string_view name) const;
  /// The first value of `name`, or `fallback`.
  std::string_view get_or(std::string_view name, std::string_view fallback) const;
  void add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  /// Replaces every value of `name`.
  void set(std::string_view name, std::string value);
  void remove(std::string_view name);
  bool empty() const { return fields_.empty(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

/// A request target taken apart: `/a/b?x=1&y` -> path `/a/b` (percent-decoded), query in order.
struct HttpTarget {
  std::string path;
  std::vector<std::pair<std::string, std::string>> query;

  /// The first value of `key`, or nothing.
  std::optional<std::string_view> param(std::string_view key) const;
  /// False when `target` is not origin-form or has a broken percent escape.
  static std::optional<HttpTarget> parse(std::string_view target);
};

/// `application/json; charset=utf-8` -> `application/json`, in lower case.
std::string media_type(std::string_view content_type);

/// The reason phrase of a status code, "" when unknown.
std::string_view reason_phrase(int status);

}  // namespace net

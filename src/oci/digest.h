#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/result.h"
#include "json/value.h"

namespace oci {

/// The content address of a blob: `sha256:<64 lower-case hex digits>`. Other algorithms are
/// refused. A default-constructed one is empty and names nothing.
class Digest {
 public:
  Digest() = default;
  /// Errors: Invalid.
  static base::Result<Digest> parse(std::string_view text);
  /// Of 64 lower-case hex digits, as `base::Sha256` gives them. Errors: Invalid.
  static base::Result<Digest> from_hex(std::string_view hex);
  /// Of `bytes` themselves.
  static Digest of(std::string_view bytes);

  const std::string& hex() const { return hex_; }
  std::string text() const { return hex_.empty() ? std::string() : "sha256:" + hex_; }
  /// The first 12 digits, for tables.
  std::string short_hex() const { return hex_.substr(0, 12); }
  bool empty() const { return hex_.empty(); }
  friend auto operator<=>(const Digest&, const Digest&) = default;

  static base::Result<Digest> from_json(const json::Value& value);
  json::Value to_json() const { return json::String(text()); }
  static json::Object json_schema();

 private:
  std::string hex_;
};

/// For the codec: an empty digest is left out.
inline bool is_empty(const Digest& digest) { return digest.empty(); }

}  // namespace oci

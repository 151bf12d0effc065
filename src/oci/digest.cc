#include "oci/digest.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/sha256.h"

namespace oci {

using base::Error;
using base::ErrorCode;

namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::size_t kHexDigits = 64;

bool is_hex_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

base::Result<Digest> Digest::parse(std::string_view text) {
  if (!text.starts_with(kPrefix)) {
    return Error(
        ErrorCode::Invalid,
        fmt::format(
            "digest \"{}\" does not start with sha256:, the only algorithm that is supported",
            text.substr(0, 80)));
  }
  return from_hex(text.substr(kPrefix.size()));
}

base::Result<Digest> Digest::from_hex(std::string_view hex) {
  if (hex.size() != kHexDigits || !std::ranges::all_of(hex, is_hex_digit)) {
    return Error(ErrorCode::Invalid,
                 fmt::format("digest \"{}\" is not 64 lower-case hex digits", hex.substr(0, 80)));
  }
  Digest digest;
  digest.hex_ = hex;
  return digest;
}

Digest Digest::of(std::string_view bytes) {
  Digest digest;
  digest.hex_ = base::sha256_hex(bytes);
  return digest;
}

base::Result<Digest> Digest::from_json(const json::Value& value) {
  const json::String* text = value.if_string();
  if (!text)
    return Error(ErrorCode::Invalid,
                 "expected string, found " + std::string(json::kind_name(value)));
  return parse(json::view(*text));
}

json::Object Digest::json_schema() {
  return {{"type", "string"}, {"pattern", "^sha256:[0-9a-f]{64}$"}};
}

}  // namespace oci

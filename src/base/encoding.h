#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

std::string to_hex(std::span<const unsigned char> bytes);
std::string to_base64(std::string_view bytes);
/// Accepts the standard alphabet with padding and ignores line breaks. Errors: Invalid.
Result<std::string> from_base64(std::string_view text);
/// Percent-encodes everything but the unreserved characters of RFC 3986.
std::string url_encode(std::string_view text);
/// Decodes %XX (and '+' as a space when `plus_is_space`). Errors: Invalid on a broken escape.
enum class PlusSign { Literal, Space };
Result<std::string> url_decode(std::string_view text, PlusSign plus = PlusSign::Literal);
/// True when `text` is well-formed UTF-8 (RFC 3629: no overlongs, no surrogates).
bool is_utf8(std::string_view text);

}  // namespace base

#include "net/http.h"

#include <algorithm>

#include "base/encoding.h"
#include "net/http_syntax.h"

namespace net {
namespace {

bool is_control_or_space(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte <= 0x20 || byte == 0x7F;
}

/// Appends `key=value` taken apart; false on a broken escape.
bool add_parameter(std::string_view piece, HttpTarget& out) {
  const std::size_t equals = piece.find('=');
  auto key = base::url_decode(piece.substr(0, equals), base::PlusSign::Space);
  auto value = base::url_decode(
      equals == std::string_view::npos ? std::string_view() : piece.substr(equals + 1),
      base::PlusSign::Space);
  if (!key || !value) return false;
  out.query.emplace_back(*std::move(key), *std::move(value));
  return true;
}

}  // namespace

std::optional<std::string_view> HttpHeaders::get(std::string_view name) const {
  for (const auto& [key, value] : fields_) {
    if (equal_ignoring_case(key, name)) return value;
  }
  return std::nullopt;
}

std::string_view HttpHeaders::get_or(std::string_view name, std::string_view fallback) const {
  return get(name).value_or(fallback);
}

void HttpHeaders::set(std::string_view name, std::string value) {
  remove(name);
  add(std::string(name), std::move(value));
}

void HttpHeaders::remove(std::string_view name) {
  std::erase_if(fields_,
                [&](const Field& field) { return equal_ignoring_case(field.first, name); });
}

std::optional<std::string_view> HttpTarget::param(std::string_view key) const {
  for (const auto& [name, value] : query) {
    if (name == key) return value;
  }
  return std::nullopt;
}

std::optional<HttpTarget> HttpTarget::parse(std::string_view target) {
  if (!target.starts_with('/')) return std::nullopt;
  if (std::any_of(target.begin(), target.end(), is_control_or_space)) return std::nullopt;
  HttpTarget out;
  const std::size_t mark = target.find('?');
  auto path = base::url_decode(target.substr(0, mark));
  // A NUL would cut the path short wherever it meets a system call.
  if (!path || path->find('\0') != std::string::npos) return std::nullopt;
  out.path = *std::move(path);
  if (mark == std::string_view::npos) return out;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::size_t end = rest.find('&');
    const std::string_view piece = rest.substr(0, end);
    if (!piece.empty() && !add_parameter(piece, out)) return std::nullopt;
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return out;
}

std::string media_type(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && is_control_or_space(content_type.front()))
    content_type.remove_prefix(1);
  while (!content_type.empty() && is_control_or_space(content_type.back()))
    content_type.remove_suffix(1);
  return to_lower(content_type);
}

std::string_view reason_phrase(int status) {
  struct Phrase {
    int status;
    std::string_view text;
  };
  // RFC 9110 section 15, RFC 6585.
  static constexpr Phrase kPhrases[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {203, "Non-Authoritative Information"},
      {204, "No Content"},
      {205, "Reset Content"},
      {206, "Partial Content"},
      {300, "Multiple Choices"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {402, "Payment Required"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {406, "Not Acceptable"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {412, "Precondition Failed"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {416, "Range Not Satisfiable"},
      {417, "Expectation Failed"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {426, "Upgrade Required"},
      {428, "Precondition Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {499, "Client Closed Request"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
      {507, "Insufficient Storage"},
  };
  for (const Phrase& phrase : kPhrases) {
    if (phrase.status == status) return phrase.text;
  }
  return "";
}

}  // namespace net

#include "kube/rest/status_error.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <optional>
#include <string>

#include "base/encoding.h"
#include "kube/limits.h"

namespace kube {
namespace {

using base::ErrorCode;

constexpr std::size_t kMaxQuotedBytes = 200;

ErrorCode code_of(int http_status, std::string_view reason) {
  switch (http_status) {
    case 401:
      return ErrorCode::Unauthorized;
    case 403:
      return ErrorCode::Forbidden;
    case 404:
      return ErrorCode::NotFound;
    case 408:
    case 504:
      return ErrorCode::Timeout;
    case 409:
      return reason == "AlreadyExists" ? ErrorCode::AlreadyExists : ErrorCode::Conflict;
    case 410:
      return ErrorCode::Gone;
    case 429:
      return ErrorCode::Throttled;
    default:
      // Redirects are not followed, so a 3xx is a wrong address.
      return http_status >= 500 ? ErrorCode::Unavailable : ErrorCode::Invalid;
  }
}

/// Only the form in seconds; API servers send no dates.
std::optional<std::chrono::milliseconds> parse_retry_after(std::optional<std::string_view> header) {
  if (!header) return std::nullopt;
  long long count = 0;
  const auto [end, failure] =
      std::from_chars(header->data(), header->data() + header->size(), count);
  if (failure != std::errc() || end != header->data() + header->size() || count < 0 ||
      count > 1'000'000) {
    return std::nullopt;
  }
  return std::chrono::seconds(count);
}

std::string quote(int http_status, std::string_view body) {
  const std::string reason(net::reason_phrase(http_status));
  while (!body.empty() && (body.back() == '\n' || body.back() == '\r')) body.remove_suffix(1);
  if (body.empty() || !base::is_utf8(body)) return fmt::format("HTTP {} {}", http_status, reason);
  const bool cut = body.size() > kMaxQuotedBytes;
  return fmt::format("HTTP {} {}: {}{}", http_status, reason, body.substr(0, kMaxQuotedBytes),
                     cut ? "..." : "");
}

base::Error from_status(int http_status, const json::Value& status) {
  const std::string_view reason = json::find_string(status, "reason");
  std::string message(json::find_string(status, "message"));
  if (message.empty()) message = fmt::format("HTTP {} {}", http_status, reason);
  ErrorCode code = code_of(http_status, reason);
  if (reason == "Expired" || reason == "Gone") code = ErrorCode::Gone;
  base::Error error = base::Error(code, std::move(message)).with_http_status(http_status);
  if (const auto wait = json::find_int(status, "details.retryAfterSeconds"); wait && *wait > 0) {
    error = std::move(error).with_retry_after(std::chrono::seconds(*wait));
  }
  return error;
}

}  // namespace

base::Error status_error(int http_status, const net::HttpHeaders& headers, std::string_view body) {
  const auto document = json::parse(body);
  const bool is_status = document && json::find_string(*document, "kind") == "Status";
  base::Error error = is_status ? from_status(http_status, *document)
                                : base::Error(code_of(http_status, {}), quote(http_status, body))
                                      .with_http_status(http_status);
  if (const auto wait = parse_retry_after(headers.get("Retry-After"))) {
    error = std::move(error).with_retry_after(*wait);
  }
  return error;
}

base::Error status_error(const json::Value& status) {
  const auto code = json::find_int(status, "code");
  const bool expired = json::find_string(status, "reason") == "Expired";
  return from_status(code ? static_cast<int>(*code) : expired ? 410 : 500, status);
}

}  // namespace kube

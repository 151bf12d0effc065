#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace base {

/// What the caller does next; retry policy reads the code, never the text.
enum class ErrorCode {
  Invalid,        ///< The request is wrong and stays wrong.
  NotFound,       ///< The object does not exist.
  AlreadyExists,  ///< A create met an object of that name.
  Conflict,       ///< The object changed since it was read: read again.
  Gone,           ///< The resource version is too old: list again.
  Unauthorized,   ///< No or wrong credentials.
  Forbidden,      ///< Known caller, not allowed.
  Throttled,      ///< Too many requests: wait `retry_after`.
  Unavailable,    ///< Nobody answers for now: retry with back-off.
  Timeout,        ///< The deadline passed.
  Cancelled,      ///< The caller asked to stop.
  Internal,       ///< A fault of the program or its environment.
};

std::string_view to_string(ErrorCode code);

/// True for the codes that a later attempt can cure by itself.
bool is_retryable(ErrorCode code);

/// One failure as data: a code, a lower-case message without a full stop, and optional details.
class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  /// HTTP status the failure came with; 0 when there was none.
  int http_status() const { return http_status_; }
  std::optional<std::chrono::milliseconds> retry_after() const { return retry_after_; }

  /// Prepends what was being done: `loading workspace: not found`.
  Error context(std::string_view outer) && {
    message_.insert(0, ": ").insert(0, outer);
    return std::move(*this);
  }
  Error with_http_status(int status) && {
    http_status_ = status;
    return std::move(*this);
  }
  Error with_retry_after(std::chrono::milliseconds wait) && {
    retry_after_ = wait;
    return std::move(*this);
  }

 private:
  ErrorCode code_;
  std::string message_;
  int http_status_ = 0;
  std::optional<std::chrono::milliseconds> retry_after_;
};

/// The failure of a system call: maps `error_number` (errno) to a code and names what was tried.
Error system_error(std::string_view what, int error_number);

}  // namespace base

#include "base/error.h"

#include <cerrno>
#include <system_error>

namespace base {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::Invalid:
      return "Invalid";
    case ErrorCode::NotFound:
      return "NotFound";
    case ErrorCode::AlreadyExists:
      return "AlreadyExists";
    case ErrorCode::Conflict:
      return "Conflict";
    case ErrorCode::Gone:
      return "Gone";
    case ErrorCode::Unauthorized:
      return "Unauthorized";
    case ErrorCode::Forbidden:
      return "Forbidden";
    case ErrorCode::Throttled:
      return "Throttled";
    case ErrorCode::Unavailable:
      return "Unavailable";
    case ErrorCode::Timeout:
      return "Timeout";
    case ErrorCode::Cancelled:
      return "Cancelled";
    case ErrorCode::Internal:
      return "Internal";
  }
  return "Unknown";
}

bool is_retryable(ErrorCode code) {
  return code == ErrorCode::Conflict || code == ErrorCode::Throttled ||
         code == ErrorCode::Unavailable || code == ErrorCode::Timeout;
}

Error system_error(std::string_view what, int error_number) {
  ErrorCode code = ErrorCode::Internal;
  switch (error_number) {
    case ENOENT:
      code = ErrorCode::NotFound;
      break;
    case EEXIST:
      code = ErrorCode::AlreadyExists;
      break;
    case EACCES:
    case EPERM:
      code = ErrorCode::Forbidden;
      break;
    case EINVAL:
    case ENAMETOOLONG:
      code = ErrorCode::Invalid;
      break;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EAGAIN:
      code = ErrorCode::Unavailable;
      break;
    case ETIMEDOUT:
      code = ErrorCode::Timeout;
      break;
    default:
      break;
  }
  std::string message(what);
  message.append(": ").append(std::system_category().message(error_number));
  return Error(code, std::move(message));
}

}  // namespace base

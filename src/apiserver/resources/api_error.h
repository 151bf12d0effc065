#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "json/value.h"

namespace apiserver {

struct ResourceDefinition;

/// One mistake in a request: `FieldValueInvalid`, `Invalid value: "x": must be ...`, `spec.count`.
struct Cause {
  std::string reason{};
  std::string message{};
  std::string field{};
};
inline Cause invalid_field(std::string field, std::string message) {
  return {"FieldValueInvalid", "Invalid value: " + std::move(message), std::move(field)};
}
inline Cause required_field(std::string field, std::string message = {}) {
  return {"FieldValueRequired",
          message.empty() ? std::string("Required value") : "Required value: " + message,
          std::move(field)};
}
inline Cause forbidden_field(std::string field, std::string message) {
  return {"FieldValueForbidden", "Forbidden: " + std::move(message), std::move(field)};
}

/// A failed request as it travels: metav1.Status. Values only.
struct [[nodiscard]] ApiError {
  int code = 500;
  std::string reason = "InternalError";
  std::string message{};
  std::string group{};  ///< details.group
  std::string kind{};   ///< details.kind: a plural, or a Kind for Invalid.
  std::string name{};
  std::string uid{};
  std::vector<Cause> causes{};
  int retry_after_seconds = 0;

  /// The metav1.Status document.
  json::Value to_status() const;
};

/// TRY works on it as on base::Result.
template <class T>
using ApiResult = std::expected<T, ApiError>;
using ApiStatus = ApiResult<void>;

std::unexpected<ApiError> not_found(const ResourceDefinition& resource, std::string_view name);
std::unexpected<ApiError> already_exists(const ResourceDefinition& resource, std::string_view name);
std::unexpected<ApiError> conflict(const ResourceDefinition& resource, std::string_view name,
                                   std::string_view why);
/// The usual conflict: the object changed since it was read.
std::unexpected<ApiError> modified(const ResourceDefinition& resource, std::string_view name);
std::unexpected<ApiError> invalid(const ResourceDefinition& resource, std::string_view name,
                                  std::vector<Cause> causes);
std::unexpected<ApiError> forbidden(const ResourceDefinition& resource, std::string_view name,
                                    std::string_view why);
std::unexpected<ApiError> bad_request(std::string message);
std::unexpected<ApiError> gone(std::string message);
std::unexpected<ApiError> method_not_allowed(std::string message = {});
/// Any other: `status_error(415, "UnsupportedMediaType", "...")`.
std::unexpected<ApiError> status_error(int code, std::string reason, std::string message);
/// A failure of the store.
std::unexpected<ApiError> from_error(const base::Error& error, const ResourceDefinition& resource,
                                     std::string_view name);

}  // namespace apiserver

#include "apiserver/resources/api_error.h"

#include <fmt/format.h>

#include "apiserver/resources/definition.h"

namespace apiserver {
namespace {

ApiError about(const ResourceDefinition& resource, std::string_view name, int code,
               std::string_view reason, std::string message) {
  ApiError error;
  error.code = code;
  error.reason = reason;
  error.message = std::move(message);
  error.group = resource.group;
  error.kind = resource.plural;
  error.name = name;
  return error;
}

}  // namespace

json::Value ApiError::to_status() const {
  json::Object status{{"kind", "Status"},
                      {"apiVersion", "v1"},
                      {"metadata", json::Object{}},
                      {"status", "Failure"},
                      {"message", json::String(message)},
                      {"reason", json::String(reason)}};
  json::Object details;
  if (!name.empty()) details["name"] = json::String(name);
  if (!group.empty()) details["group"] = json::String(group);
  if (!kind.empty()) details["kind"] = json::String(kind);
  if (!uid.empty()) details["uid"] = json::String(uid);
  if (!causes.empty()) {
    json::Array list;
    for (const Cause& cause : causes) {
      json::Object entry{{"reason", json::String(cause.reason)},
                         {"message", json::String(cause.message)}};
      if (!cause.field.empty()) entry["field"] = json::String(cause.field);
      list.emplace_back(std::move(entry));
    }
    details["causes"] = std::move(list);
  }
  if (retry_after_seconds > 0) details["retryAfterSeconds"] = retry_after_seconds;
  if (!details.empty()) status["details"] = std::move(details);
  status["code"] = code;
  return status;
}

std::unexpected<ApiError> not_found(const ResourceDefinition& resource, std::string_view name) {
  return std::unexpected(about(resource, name, 404, "NotFound",
                               fmt::format("{} \"{}\" not found", resource.qualified(), name)));
}

std::unexpected<ApiError> already_exists(const ResourceDefinition& resource,
                                         std::string_view name) {
  return std::unexpected(
      about(resource, name, 409, "AlreadyExists",
            fmt::format("{} \"{}\" already exists", resource.qualified(), name)));
}

std::unexpected<ApiError> conflict(const ResourceDefinition& resource, std::string_view name,
                                   std::string_view why) {
  return std::unexpected(about(resource, name, 409, "Conflict",
                               fmt::format("Operation cannot be fulfilled on {} \"{}\": {}",
                                           resource.qualified(), name, why)));
}

std::unexpected<ApiError> modified(const ResourceDefinition& resource, std::string_view name) {
  return conflict(resource, name,
                  "the object has been modified; please apply your changes to the latest version "
                  "and try again");
}

std::unexpected<ApiError> invalid(const ResourceDefinition& resource, std::string_view name,
                                  std::vector<Cause> causes) {
  std::vector<std::string> texts;
  for (const Cause& cause : causes)
    texts.push_back(cause.field.empty() ? cause.message : cause.field + ": " + cause.message);
  std::string detail = fmt::format("{}", fmt::join(texts, ", "));
  if (texts.size() > 1) detail = "[" + detail + "]";
  const std::string kind =
      resource.group.empty() ? resource.kind : fmt::format("{}.{}", resource.kind, resource.group);
  ApiError error = about(resource, name, 422, "Invalid",
                         fmt::format("{} \"{}\" is invalid: {}", kind, name, detail));
  error.kind = resource.kind;
  error.causes = std::move(causes);
  return std::unexpected(std::move(error));
}

std::unexpected<ApiError> forbidden(const ResourceDefinition& resource, std::string_view name,
                                    std::string_view why) {
  return std::unexpected(
      about(resource, name, 403, "Forbidden",
            fmt::format("{} \"{}\" is forbidden: {}", resource.qualified(), name, why)));
}

std::unexpected<ApiError> status_error(int code, std::string reason, std::string message) {
  ApiError error;
  error.code = code;
  error.reason = std::move(reason);
  error.message = std::move(message);
  return std::unexpected(std::move(error));
}

std::unexpected<ApiError> bad_request(std::string message) {
  return status_error(400, "BadRequest", std::move(message));
}

std::unexpected<ApiError> gone(std::string message) {
  return status_error(410, "Expired", std::move(message));
}

std::unexpected<ApiError> method_not_allowed(std::string message) {
  if (message.empty()) message = "the server does not allow this method on the requested resource";
  return status_error(405, "MethodNotAllowed", std::move(message));
}

std::unexpected<ApiError> from_error(const base::Error& error, const ResourceDefinition& resource,
                                     std::string_view name) {
  switch (error.code()) {
    case base::ErrorCode::NotFound:
      return not_found(resource, name);
    case base::ErrorCode::AlreadyExists:
      return already_exists(resource, name);
    case base::ErrorCode::Conflict:
      return modified(resource, name);
    case base::ErrorCode::Gone:
      return gone(error.message());
    case base::ErrorCode::Unavailable:
      return status_error(507, "InsufficientStorage", error.message());
    default:
      return status_error(500, "InternalError", error.message());
  }
}

}  // namespace apiserver

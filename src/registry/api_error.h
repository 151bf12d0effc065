#pragma once

#include <string_view>

#include "base/error.h"
#include "net/http_server.h"

/// Errors of the distribution specification: `{"errors":[{"code","message","detail"}]}`.
namespace registry {

namespace code {
inline constexpr std::string_view kBlobUnknown = "BLOB_UNKNOWN";
inline constexpr std::string_view kUploadInvalid = "BLOB_UPLOAD_INVALID";
inline constexpr std::string_view kUploadUnknown = "BLOB_UPLOAD_UNKNOWN";
inline constexpr std::string_view kDigestInvalid = "DIGEST_INVALID";
inline constexpr std::string_view kManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN";
inline constexpr std::string_view kManifestInvalid = "MANIFEST_INVALID";
inline constexpr std::string_view kManifestUnknown = "MANIFEST_UNKNOWN";
inline constexpr std::string_view kNameInvalid = "NAME_INVALID";
inline constexpr std::string_view kNameUnknown = "NAME_UNKNOWN";
inline constexpr std::string_view kSizeInvalid = "SIZE_INVALID";
inline constexpr std::string_view kTooMany = "TOOMANYREQUESTS";
inline constexpr std::string_view kUnsupported = "UNSUPPORTED";
inline constexpr std::string_view kUnknown = "UNKNOWN";
}  // namespace code

struct ApiError {
  int status = 400;
  std::string_view code;
  std::string message;
  std::string detail;
};

net::HttpResponse to_response(const ApiError& error);
base::Status respond_error(net::HttpExchange& exchange, const ApiError& error);
/// For failures of the registry or of the connection; `code` names the operation's own failure.
base::Status respond_failure(net::HttpExchange& exchange, const base::Error& error,
                             std::string_view code);

}  // namespace registry

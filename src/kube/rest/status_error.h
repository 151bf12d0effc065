#pragma once

#include <string_view>

#include "base/error.h"
#include "json/value.h"
#include "net/http.h"

namespace kube {

/// The error of an answer that is not 2xx: code from the HTTP status and the `reason` of the
/// metav1.Status in `body`, its message, and how long to wait (Retry-After or retryAfterSeconds).
/// A body that is no Status is quoted in part.
base::Error status_error(int http_status, const net::HttpHeaders& headers, std::string_view body);

/// The error of a metav1.Status that arrived inside a watch.
base::Error status_error(const json::Value& status);

}  // namespace kube

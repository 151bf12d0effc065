#pragma once

#include <string>
#include <string_view>

namespace net {

/// `what` and the newest reasons in OpenSSL's queue of this thread, which is emptied. Internal to
/// `net`.
std::string take_tls_error(std::string_view what);

}  // namespace net

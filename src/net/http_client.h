#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "net/http.h"
#include "net/http_server.h"
#include "net/tls.h"

namespace net {

struct HttpClientRequest {
  std::string method = "GET";
  std::string url;
  HttpHeaders headers;
  std::string body;
  /// Streams a body of unknown or large size instead of `body`: fills the buffer, 0 ends it.
  std::function<base::Result<std::size_t>(std::span<char>)> body_source;
  std::optional<std::uint64_t> body_source_bytes;  ///< Sent as Content-Length; absent: chunked.
};

/// Receives a streamed answer on the calling thread.
struct HttpResponseSink {
  /// The final head (after redirects). An error ends the request with that error.
  std::function<base::Status(const HttpResponse& head)> on_head;
  std::function<base::Status(std::string_view bytes)> on_body;
};

/// A synchronous HTTP/1.1 client over libcurl. Safe to use from many threads; connections are kept
/// and reused. Every call ends by its context: stop cancels at once, the deadline bounds the whole.
class HttpClient {
 public:
  struct Options {
    TlsClientOptions tls;
    std::chrono::milliseconds connect_timeout{10'000};
    /// A transfer that moves no byte for this long fails with Timeout; 0 waits as long as the
    /// context.
    std::chrono::milliseconds stall_timeout{0};
    std::size_t max_response_bytes = 64 << 20;  ///< For `send`; more is Invalid.
    int max_redirects = 0;                      ///< Credentials are never sent to another host.
    bool use_environment_proxy = false;         ///< HTTP_PROXY, HTTPS_PROXY, NO_PROXY.
    std::string user_agent = "kaito-cpp";
    std::string unix_socket;  ///< Connect here instead of to the URL's host.
    /// Asked before each connection with the numeric address it goes to, and before each request
    /// whose URL names a numeric address (which a proxy would resolve otherwise); an error ends the
    /// request with that error.
    std::function<base::Status(std::string_view address)> check_address;
  };

  static base::Result<std::unique_ptr<HttpClient>> create(Options options);
  virtual ~HttpClient() = default;

  /// Any HTTP status is a value; only transport failures are errors. Errors: Unavailable (refused,
  /// reset, name not found), Unauthorized (TLS verification), Timeout, Cancelled, Invalid.
  virtual base::Result<HttpResponse> send(const base::Context& ctx,
                                          const HttpClientRequest& request) = 0;
  /// As `send`, handing the body over as it arrives; returns the head.
  virtual base::Result<HttpResponse> stream(const base::Context& ctx,
                                            const HttpClientRequest& request,
                                            const HttpResponseSink& sink) = 0;
};

}  // namespace net

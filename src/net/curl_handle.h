#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/result.h"
#include "net/http_client.h"

namespace net {

/// Where a request goes. Two requests of one origin may share a connection and credentials.
struct HttpOrigin {
  std::string scheme;
  std::string host;  ///< With brackets when it is an IPv6 address.
  std::string port;
  bool operator==(const HttpOrigin&) const = default;
  /// Errors: Invalid when `url` is not an absolute http or https URL.
  static base::Result<HttpOrigin> of(const std::string& url);
};

/// One request on the wire: a hop of what the caller asked for.
struct HttpHop {
  const HttpClient::Options& options;
  std::string method;
  std::string url;
  HttpOrigin origin;
  HttpHeaders headers;
  std::string_view body;
  const std::function<base::Result<std::size_t>(std::span<char>)>* body_source = nullptr;
  std::optional<std::uint64_t> body_source_bytes;
  /// True for the origin that the caller named: only it gets the client certificate.
  bool trusted = true;
  /// True when the head's body is of no interest because another hop follows.
  std::function<bool(const HttpResponse&)> is_intermediate;
  const HttpResponseSink& sink;
};

/// A libcurl transfer and the connections it keeps. Used by one thread at a time. Internal to
/// `net`.
class CurlHandle {
 public:
  static base::Result<std::unique_ptr<CurlHandle>> create();
  ~CurlHandle();
  CurlHandle(const CurlHandle&) = delete;
  CurlHandle& operator=(const CurlHandle&) = delete;

  /// Runs one hop to its end, stop or deadline; the result's body is empty.
  base::Result<HttpResponse> perform(const base::Context& ctx, const HttpHop& hop);
  /// Where the last hop went: likely a connection is open.
  const HttpOrigin& last_origin() const { return last_origin_; }

 private:
  struct Transfer;
  CurlHandle(CURL* easy, CURLM* multi) : easy_(easy), multi_(multi) {}
  template <class T>
  void set(CURLoption option, T value);
  void set_up(const HttpHop& hop, Transfer& transfer);
  void set_up_body(const HttpHop& hop, Transfer& transfer);
  void set_up_tls(const HttpHop& hop);
  void set_up_server_name(const HttpHop& hop, Transfer& transfer);
  base::Result<CURLcode> run(const base::Context& ctx, const HttpHop& hop, Transfer& transfer);

  CURL* easy_;
  CURLM* multi_;
  HttpOrigin last_origin_;
};

}  // namespace net

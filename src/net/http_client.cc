#include "net/http_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/guarded.h"
#include "net/curl_handle.h"
#include "net/http_syntax.h"
#include "net/tls_pem.h"

namespace net {
namespace {

using base::Context;
using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

/// Idle transfers kept with their connections; more calls at once are served, but not kept.
constexpr std::size_t kMaxIdleHandles = 64;

Status check_request(const HttpClientRequest& request) {
  if (!is_token(request.method))
    return Error(ErrorCode::Invalid, fmt::format("'{}' is not an HTTP method", request.method));
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name) || !is_field_value(value)) {
      return Error(ErrorCode::Invalid,
                   fmt::format("the request field '{}' holds a forbidden character", name));
    }
  }
  return {};
}

bool is_redirect(const HttpResponse& head) {
  const int status = head.status;
  const bool redirects =
      status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  return redirects && head.headers.get("Location").has_value();
}

/// `location` seen from `base`.
Result<std::string> resolve(const std::string& base, std::string_view location) {
  struct Deleter {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
    void operator()(char* text) const { curl_free(text); }
  };
  const std::unique_ptr<CURLU, Deleter> url(curl_url());
  char* text = nullptr;
  if (!url || curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
      curl_url_set(url.get(), CURLUPART_URL, std::string(location).c_str(), CURLU_URLENCODE) !=
          CURLUE_OK ||
      curl_url_get(url.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) {
    return Error(ErrorCode::Invalid, "the redirect's Location is not a URL");
  }
  const std::unique_ptr<char, Deleter> owned(text);
  return std::string(text);
}

/// Turns `hop` into the one that `head` redirects to.
Status redirect(HttpHop& hop, const HttpResponse& head) {
  hop.url = TRY(resolve(hop.url, head.headers.get_or("Location", "")));
  HttpOrigin next = TRY(HttpOrigin::of(hop.url));
  if (hop.origin.scheme == "https" && next.scheme == "http")
    return Error(ErrorCode::Invalid, "a redirect from https to http is not followed");
  if (next != hop.origin) {
    // Credentials are for the origin the caller named, and do not come back with it either.
    hop.trusted = false;
    for (const std::string_view secret : {"Authorization", "Proxy-Authorization", "Cookie", "Host"})
      hop.headers.remove(secret);
  }
  hop.origin = std::move(next);
  const bool to_get = (head.status == 303 && hop.method != "HEAD" && hop.method != "GET") ||
                      ((head.status == 301 || head.status == 302) && hop.method == "POST");
  if (to_get) {
    hop.method = "GET";
    hop.body = {};
    hop.body_source = nullptr;
    hop.body_source_bytes.reset();
    hop.headers.remove("Content-Type");
  }
  if (hop.body_source != nullptr)
    return Error(ErrorCode::Invalid, "a redirect asks for the streamed body again");
  return {};
}

class CurlClient final : public HttpClient {
 public:
  explicit CurlClient(Options options) : options_(std::move(options)) {}

  Result<HttpResponse> send(const Context& ctx, const HttpClientRequest& request) override;
  Result<HttpResponse> stream(const Context& ctx, const HttpClientRequest& request,
                              const HttpResponseSink& sink) override;

 private:
  using Handles = std::vector<std::unique_ptr<CurlHandle>>;

  Result<HttpResponse> perform(const Context& ctx, const HttpHop& hop);
  /// The most recent handle that was at `origin`; the least recent one when no more may be kept;
  /// else none.
  std::unique_ptr<CurlHandle> take(const HttpOrigin& origin);
  void give_back(std::unique_ptr<CurlHandle> handle);

  const Options options_;
  base::Guarded<Handles> idle_;
};

std::unique_ptr<CurlHandle> CurlClient::take(const HttpOrigin& origin) {
  return idle_.with([&](Handles& idle) -> std::unique_ptr<CurlHandle> {
    auto chosen = std::find_if(idle.rbegin(), idle.rend(),
                               [&](const auto& handle) { return handle->last_origin() == origin; });
    if (chosen == idle.rend() && idle.size() < kMaxIdleHandles) return nullptr;
    const auto position = chosen == idle.rend() ? idle.begin() : std::prev(chosen.base());
    auto handle = std::move(*position);
    idle.erase(position);
    return handle;
  });
}

void CurlClient::give_back(std::unique_ptr<CurlHandle> handle) {
  idle_.with([&](Handles& idle) {
    if (idle.size() < kMaxIdleHandles) idle.push_back(std::move(handle));
  });
}

Result<HttpResponse> CurlClient::perform(const Context& ctx, const HttpHop& hop) {
  auto handle = take(hop.origin);
  if (!handle) handle = TRY(CurlHandle::create());
  auto response = handle->perform(ctx, hop);
  give_back(std::move(handle));
  return response;
}

Result<HttpResponse> CurlClient::stream(const Context& ctx, const HttpClientRequest& request,
                                        const HttpResponseSink& sink) {
  TRY(check_request(request));
  HttpOrigin origin = TRY(HttpOrigin::of(request.url));
  HttpHop hop{.options = options_,
              .method = request.method,
              .url = request.url,
              .origin = std::move(origin),
              .headers = request.headers,
              .body = request.body,
              .body_source = request.body_source ? &request.body_source : nullptr,
              .body_source_bytes = request.body_source_bytes,
              .is_intermediate = {},
              .sink = sink};
  hop.headers.remove("Content-Length");
  hop.headers.remove("Transfer-Encoding");
  const bool follow = options_.max_redirects > 0;
  hop.is_intermediate = [&](const HttpResponse& head) { return follow && is_redirect(head); };
  for (int followed = 0;; ++followed) {
    HttpResponse head = TRY(perform(ctx, hop));
    if (!hop.is_intermediate(head)) return head;
    if (followed == options_.max_redirects) {
      return Error(ErrorCode::Invalid,
                   fmt::format("more than {} redirects", options_.max_redirects));
    }
    TRY(redirect(hop, head));
  }
}

Result<HttpResponse> CurlClient::send(const Context& ctx, const HttpClientRequest& request) {
  std::string body;
  const std::size_t limit = options_.max_response_bytes;
  const auto check = [limit](std::uint64_t bytes) -> Status {
    if (bytes <= limit) return {};
    return Error(ErrorCode::Invalid, fmt::format("the response is larger than {} bytes", limit));
  };
  HttpResponseSink sink;
  sink.on_head = [&](const HttpResponse& head) -> Status {
    const std::string_view text = head.headers.get_or("Content-Length", "");
    std::uint64_t length = 0;
    std::from_chars(text.data(), text.data() + text.size(), length);
    if (request.method == "HEAD") return {};
    TRY(check(length));
    body.reserve(length);
    return {};
  };
  sink.on_body = [&](std::string_view bytes) -> Status {
    TRY(check(body.size() + bytes.size()));
    body.append(bytes);
    return {};
  };
  HttpResponse response = TRY(stream(ctx, request, sink));
  response.body = std::move(body);
  return response;
}

}  // namespace

Result<std::unique_ptr<HttpClient>> HttpClient::create(Options options) {
  static std::once_flag once;
  static CURLcode started = CURLE_FAILED_INIT;
  std::call_once(once, [] { started = curl_global_init(CURL_GLOBAL_DEFAULT); });
  if (started != CURLE_OK) return Error(ErrorCode::Internal, "libcurl cannot start");
  TRY(check_client_options(options.tls));
  return std::make_unique<CurlClient>(std::move(options));
}

}  // namespace net

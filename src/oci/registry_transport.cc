#include "oci/registry_transport.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <charconv>

#include "base/encoding.h"
#include "base/random.h"
#include "json/value.h"
#include "oci/failure.h"
#include "oci/limits.h"
#include "oci/reference.h"

namespace oci {

using base::Error;
using base::ErrorCode;
using base::Status;

namespace {

constexpr int kMaxRedirects = 5;
constexpr std::size_t kMaxCachedTokens = 256;
constexpr std::chrono::seconds kDefaultTokenLife{60};  // By the token specification.
constexpr std::chrono::seconds kTokenMargin{10};
constexpr std::chrono::hours kBasicLife{24};

std::string key_of(const AccessScope& scope) {
  return scope.domain + "\n" + scope.repository + "\n" + scope.actions;
}

std::optional<std::chrono::milliseconds> retry_after_of(const net::HttpResponse& response) {
  const auto header = response.headers.get("retry-after");
  if (!header) return std::nullopt;
  std::int64_t seconds = 0;
  const auto parsed = std::from_chars(header->data(), header->data() + header->size(), seconds);
  if (parsed.ec != std::errc() || seconds < 0) return std::nullopt;
  return std::min<std::chrono::milliseconds>(
      kMaxRetryAfter, std::chrono::seconds(std::min<std::int64_t>(seconds, 3600)));
}

std::string basic_header(const Credentials& credentials) {
  return "Basic " + base::to_base64(credentials.user + ":" + credentials.password);
}

/// `CODE: message` of the registry's error document, or the start of its text.
std::string words_of(std::string_view body) {
  if (const auto document = json::parse(body)) {
    const json::Array* errors = json::find_array(*document, "errors");
    if (errors && !errors->empty()) {
      const auto code = json::find_string(errors->front(), "code");
      const auto message = json::find_string(errors->front(), "message");
      if (!code.empty() || !message.empty()) return fmt::format("{}: {}", code, message);
    }
  }
  constexpr std::size_t kExcerpt = 200;
  std::string text(body.substr(0, kExcerpt));
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; });
  return base::is_utf8(text) ? text : std::string();
}

}  // namespace

Error error_of(std::string_view domain, const net::HttpResponse& response, std::string_view body) {
  const int status = response.status;
  std::string words = words_of(body);
  if (words.empty()) words = net::reason_phrase(status);
  std::string message = fmt::format("registry {}: {} {}", domain, status, words);
  if (status == 507) return disk_full(message);
  ErrorCode code = ErrorCode::Invalid;
  if (status == 401) code = ErrorCode::Unauthorized;
  if (status == 403) code = ErrorCode::Forbidden;
  if (status == 404) code = ErrorCode::NotFound;
  if (status == 429) code = ErrorCode::Throttled;
  if (status == 408 || status >= 500) code = ErrorCode::Unavailable;
  Error error = Error(code, std::move(message)).with_http_status(status);
  if (const auto wait = retry_after_of(response)) return std::move(error).with_retry_after(*wait);
  return error;
}

Status RetryState::next(const base::Context& ctx, Error failure) {
  const bool curable = failure.code() == ErrorCode::Unavailable ||
                       failure.code() == ErrorCode::Throttled ||
                       failure.code() == ErrorCode::Timeout;
  if (!curable || ctx.done() || ++failures_ >= options_.max_attempts) return failure;
  auto wait =
      std::min(options_.backoff_max, options_.backoff_first * (1 << std::min(failures_ - 1, 10)));
  const auto jitter = base::random_below(static_cast<std::uint64_t>(wait.count()) / 4 + 1);
  wait += std::chrono::milliseconds(jitter);
  if (failure.retry_after()) wait = std::max(wait, *failure.retry_after());
  ctx.log().info("registry request will be tried again",
                 {{"failure", failure.message()}, {"waitMs", wait.count()}});
  return ctx.sleep(wait);
}

base::Result<std::unique_ptr<RegistryTransport>> RegistryTransport::create(
    RegistryClient::Options options) {
  net::HttpClient::Options http;
  http.tls = options.tls;
  http.stall_timeout = options.stall_timeout;
  http.max_response_bytes = kMaxManifestBytes;
  http.max_redirects = kMaxRedirects;
  http.use_environment_proxy = options.use_environment_proxy;
  auto proxied = TRY(net::HttpClient::create(http));
  http.use_environment_proxy = false;
  auto direct = TRY(net::HttpClient::create(std::move(http)));
  return std::unique_ptr<RegistryTransport>(
      new RegistryTransport(std::move(options), std::move(proxied), std::move(direct)));
}

net::HttpClient& RegistryTransport::client_for(std::string_view url) const {
  const auto host = url.find("://");
  const bool here = host != std::string_view::npos &&
                    is_loopback_host(url.substr(host + 3, url.find('/', host + 3) - host - 3));
  return here ? *direct_ : *proxied_;
}

std::string RegistryTransport::base_url(const std::string& domain) const {
  Reference reference;
  reference.domain = domain;
  const std::string host = reference.api_host();
  const bool plain = options_.scheme == RegistryScheme::Http ||
                     (options_.scheme == RegistryScheme::Automatic && is_loopback_host(host));
  return (plain ? "http://" : "https://") + host;
}

base::Result<net::HttpResponse> RegistryTransport::perform(const base::Context& ctx,
                                                           const net::HttpClientRequest& request,
                                                           const net::HttpResponseSink* sink) {
  if (!sink) return client_for(request.url).send(ctx, request);
  // The body of a challenge is not the caller's.
  bool challenged = false;
  net::HttpResponseSink guarded;
  guarded.on_head = [&](const net::HttpResponse& head) -> Status {
    challenged = head.status == 401;
    return challenged ? Status() : sink->on_head(head);
  };
  guarded.on_body = [&](std::string_view bytes) -> Status {
    return challenged ? Status() : sink->on_body(bytes);
  };
  return client_for(request.url).stream(ctx, request, guarded);
}

base::Result<net::HttpResponse> RegistryTransport::once(const base::Context& ctx,
                                                        const AccessScope& scope,
                                                        net::HttpClientRequest request,
                                                        const net::HttpResponseSink* sink) {
  const bool own_host = request.url.starts_with(base_url(scope.domain) + "/");
  const std::string key = key_of(scope);
  if (own_host) {
    const auto known = authorizations_.with([&](auto& map) -> std::string {
      const auto found = map.find(key);
      if (found == map.end() || found->second.expires <= std::chrono::steady_clock::now())
        return {};
      return found->second.header;
    });
    if (!known.empty()) request.headers.set("Authorization", known);
  }
  auto response = perform(ctx, request, sink);
  if (!response) {
    return std::move(response).error().context(
        fmt::format("registry {} cannot be reached", scope.domain));
  }
  if (response->status != 401 || !own_host) return response;

  authorizations_.with([&](auto& map) { map.erase(key); });
  auto authorization = TRY(answer(ctx, scope, *response));
  if (!authorization) return response;
  authorizations_.with([&](auto& map) {
    if (map.size() >= kMaxCachedTokens) map.clear();
    map[key] = *authorization;
  });
  if (request.body_source)
    return Error(ErrorCode::Unavailable,
                 fmt::format("registry {}: 401 in the middle of an upload", scope.domain));
  request.headers.set("Authorization", authorization->header);
  return perform(ctx, request, sink);
}

base::Result<net::HttpResponse> RegistryTransport::send(const base::Context& ctx,
                                                        const AccessScope& scope,
                                                        const net::HttpClientRequest& request) {
  RetryState retry(options_);
  for (;;) {
    auto response = once(ctx, scope, request);
    if (response && response->status < 400) return response;
    TRY(retry.next(ctx, response ? error_of(scope.domain, *response, response->body)
                                 : std::move(response).error()));
  }
}

base::Result<std::optional<RegistryTransport::Authorization>> RegistryTransport::answer(
    const base::Context& ctx, const AccessScope& scope, const net::HttpResponse& challenged) {
  const auto credentials = TRY(options_.credentials.find(scope.domain, scope.repository));
  for (const auto& [name, value] : challenged.headers) {
    if (::strcasecmp(name.c_str(), "www-authenticate") != 0) continue;
    for (const Challenge& challenge : parse_challenges(value)) {
      if (challenge.scheme == "bearer")
        return std::optional(TRY(fetch_token(ctx, scope, challenge, credentials)));
      if (challenge.scheme != "basic") continue;
      if (!credentials) {
        return Error(
            ErrorCode::Unauthorized,
            fmt::format(
                "registry {} asks for user and password, and the docker config has none for it{}",
                scope.domain,
                options_.credentials.has_default_helper()
                    ? " (credential helpers are not run: put them under auths, as "
                      "`kaito image login` does)"
                    : ""));
      }
      return std::optional(
          Authorization{basic_header(*credentials), std::chrono::steady_clock::now() + kBasicLife});
    }
  }
  return std::optional<Authorization>();
}

Status RegistryTransport::check_realm(const AccessScope& scope, const std::string& realm) const {
  if (realm.starts_with("https://")) return {};
  const bool plain_registry = base_url(scope.domain).starts_with("http://");
  if (realm.starts_with("http://") &&
      (plain_registry || is_loopback_host(std::string_view(realm).substr(7))))
    return {};
  return Error(
      ErrorCode::Unauthorized,
      fmt::format(
          "registry {} names a token service that is not safe to send credentials to: \"{}\"",
          scope.domain, realm.substr(0, 200)));
}

base::Result<RegistryTransport::Authorization> RegistryTransport::fetch_token(
    const base::Context& ctx, const AccessScope& scope, const Challenge& challenge,
    const std::optional<Credentials>& credentials) {
  const std::string realm = challenge.parameter("realm");
  TRY(check_realm(scope, realm));
  std::string wanted = challenge.parameter("scope");
  if (wanted.empty() && !scope.repository.empty())
    wanted = fmt::format("repository:{}:{}", scope.repository, scope.actions);
  std::string query = "service=" + base::url_encode(challenge.parameter("service"));
  if (!wanted.empty()) query += "&scope=" + base::url_encode(wanted);

  net::HttpClientRequest request;
  if (credentials && !credentials->identity_token.empty()) {
    request.method = "POST";
    request.url = realm;
    request.headers.set("Content-Type", "application/x-www-form-urlencoded");
    request.body = fmt::format("grant_type=refresh_token&client_id=kaito&refresh_token={}&{}",
                               base::url_encode(credentials->identity_token), query);
  } else {
    request.url = realm + (realm.contains('?') ? "&" : "?") + query;
    if (credentials) request.headers.set("Authorization", basic_header(*credentials));
  }
  const auto response =
      TRY(base::with_context(client_for(request.url).send(ctx, request),
                             fmt::format("token service of registry {}", scope.domain)));
  if (response.status != 200)
    return error_of(scope.domain, response, response.body).context("getting a token");
  const json::Value document = TRY(base::with_context(
      json::parse(response.body), fmt::format("token service of registry {}", scope.domain)));
  std::string_view token = json::find_string(document, "token");
  if (token.empty()) token = json::find_string(document, "access_token");
  const bool printable = std::ranges::all_of(token, [](char c) { return c > ' ' && c < 127; });
  if (token.empty() || !printable)
    return Error(ErrorCode::Unauthorized,
                 fmt::format("the token service of registry {} gave no token", scope.domain));
  const auto life = std::chrono::seconds(std::clamp<std::int64_t>(
      json::find_int(document, "expires_in").value_or(kDefaultTokenLife.count()), 0, 86'400));
  return Authorization{
      "Bearer " + std::string(token),
      std::chrono::steady_clock::now() + std::max(life - kTokenMargin, std::chrono::seconds(1))};
}

}  // namespace oci

#include "kube/rest/transport.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "kube/limits.h"
#include "kube/rest/status_error.h"

namespace kube {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// Whether the server asked to come back and the caller's context allows it.
bool should_wait(const base::Context& ctx, const Error& error) {
  if (error.http_status() != 429 && error.http_status() != 503) return false;
  const auto wait = error.retry_after();
  return wait && *wait <= kMaxRetryAfter && *wait < ctx.remaining();
}

}  // namespace

Result<std::unique_ptr<Transport>> Transport::create(const RestConfig& config) {
  net::HttpClient::Options options;
  options.tls = config.tls;
  options.user_agent = config.user_agent;
  auto http = TRY(net::HttpClient::create(std::move(options)));
  return std::unique_ptr<Transport>(new Transport(config, std::move(http)));
}

Transport::Transport(const RestConfig& config, std::unique_ptr<net::HttpClient> http)
    : server_(config.server),
      static_token_(config.bearer_token),
      token_file_(config.bearer_token_file),
      requests_per_second_(config.requests_per_second),
      burst_(static_cast<double>(std::max<std::size_t>(config.burst, 1))),
      http_(std::move(http)) {
  while (server_.ends_with('/')) server_.pop_back();
  budget_.with([&](Budget& budget) {
    budget.tokens = burst_;
    budget.at = std::chrono::steady_clock::now();
  });
}

Status Transport::stream(const base::Context& ctx, const Request& request,
                         const OnBytes& on_bytes) {
  net::HttpClientRequest http;
  http.method = request.method;
  http.url = server_ + request.path;
  http.body = request.body;
  http.headers.add("Accept", "application/json");
  if (!request.content_type.empty()) http.headers.add("Content-Type", request.content_type);
  for (int waits = 0;; ++waits) {
    TRY(wait_for_budget(ctx));
    const std::string token = TRY(bearer_token());
    if (!token.empty()) http.headers.set("Authorization", "Bearer " + token);
    Status status = attempt(ctx, http, on_bytes);
    if (status) return status;
    // The next request reads the file anew: the token may have been replaced.
    if (status.error().code() == ErrorCode::Unauthorized && !token_file_.empty()) {
      token_.with([](Token& cached) { cached.read_at = base::SteadyTime::min(); });
    }
    if (!request.wait_when_throttled || waits == kMaxThrottleWaits ||
        !should_wait(ctx, status.error())) {
      return status;
    }
    TRY(ctx.sleep(*status.error().retry_after()));
  }
}

Result<std::string> Transport::send(const base::Context& ctx, const Request& request) {
  std::string body;
  TRY(stream(ctx, request, [&](std::string_view bytes) -> Status {
    if (body.size() + bytes.size() > kMaxObjectBytes) {
      return Error(ErrorCode::Invalid,
                   fmt::format("the answer is larger than {} bytes", kMaxObjectBytes));
    }
    body.append(bytes);
    return {};
  }));
  return body;
}

Status Transport::attempt(const base::Context& ctx, const net::HttpClientRequest& request,
                          const OnBytes& on_bytes) {
  int http_status = 0;
  std::string error_body;
  net::HttpResponseSink sink;
  sink.on_head = [&](const net::HttpResponse& head) -> Status {
    http_status = head.status;
    return {};
  };
  sink.on_body = [&](std::string_view bytes) -> Status {
    if (http_status / 100 == 2) return on_bytes(bytes);
    error_body.append(bytes.substr(0, kMaxErrorBodyBytes - error_body.size()));
    return {};
  };
  auto head = http_->stream(ctx, request, sink);
  if (!head) return std::move(head).error();
  if (head->status / 100 == 2) return {};
  return status_error(head->status, head->headers, error_body);
}

Status Transport::wait_for_budget(const base::Context& ctx) {
  if (requests_per_second_ <= 0) return ctx.check();
  const double wait_s = budget_.with([&](Budget& budget) {
    const auto now = std::chrono::steady_clock::now();
    const double passed_s = std::chrono::duration<double>(now - budget.at).count();
    budget.at = now;
    budget.tokens = std::min(burst_, budget.tokens + passed_s * requests_per_second_) - 1;
    // Below zero the token is taken in advance: later callers wait behind this one.
    return budget.tokens >= 0 ? 0.0 : -budget.tokens / requests_per_second_;
  });
  if (wait_s <= 0) return ctx.check();
  return ctx.sleep(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(wait_s)));
}

Result<std::string> Transport::bearer_token() {
  if (token_file_.empty()) return static_token_;
  const auto now = std::chrono::steady_clock::now();
  auto cached = token_.with([&](const Token& token) {
    const bool fresh =
        token.read_at != base::SteadyTime::min() && now - token.read_at < kTokenFileAge;
    return fresh ? token.text : std::string();
  });
  if (!cached.empty()) return cached;
  const std::string content = TRY(
      base::with_context(base::read_file(token_file_, kMaxKubeconfigBytes), "bearer token file"));
  std::string text(trimmed(content));
  if (text.empty()) {
    return Error(ErrorCode::Unauthorized,
                 fmt::format("bearer token file {} is empty", token_file_));
  }
  token_.with([&](Token& token) { token = {text, now}; });
  return text;
}

}  // namespace kube

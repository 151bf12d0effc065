#include "inference/http/errors.h"

#include <fmt/format.h>

namespace inference {

using base::ErrorCode;

namespace {

std::string_view openai_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 429:
      return "requests";
    case 500:
      return "server_error";
    case 503:
      return "service_unavailable";
    default:
      return "invalid_request_error";
  }
}

int status_of(const base::Error& error) {
  if (error.http_status() != 0) return error.http_status();
  switch (error.code()) {
    case ErrorCode::Invalid:
      return 400;
    case ErrorCode::NotFound:
      return 404;
    case ErrorCode::Throttled:
      return 429;
    case ErrorCode::Unavailable:
    case ErrorCode::Cancelled:
      return 503;
    default:
      return 500;
  }
}

json::Value text_or_null(std::string_view text) {
  return text.empty() ? json::Value(nullptr) : json::Value(text);
}

}  // namespace

ApiStyle style_of(std::string_view path) {
  return path.starts_with("/v1/") ? ApiStyle::OpenAi : ApiStyle::FastApi;
}

std::string openai_error_body(int status, std::string_view message, std::string_view param,
                              std::string_view code) {
  return json::dump(json::Object{{"error", json::Object{{"message", message},
                                                        {"type", openai_type(status)},
                                                        {"param", text_or_null(param)},
                                                        {"code", text_or_null(code)}}}});
}

net::HttpResponse error_response(ApiStyle style, int status, std::string_view message,
                                 std::string_view param, std::string_view code) {
  if (style == ApiStyle::OpenAi)
    return net::HttpResponse::json(status, openai_error_body(status, message, param, code));
  return net::HttpResponse::json(status, json::dump(json::Object{{"detail", message}}));
}

net::HttpResponse error_response(ApiStyle style, const base::Error& error) {
  const int status = status_of(error);
  const std::string_view code = status == 429 ? "rate_limit_exceeded" : "";
  net::HttpResponse response = error_response(style, status, error.message(), "", code);
  if (error.retry_after()) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*error.retry_after());
    response.headers.set("Retry-After", fmt::format("{}", seconds.count()));
  }
  return response;
}

net::HttpResponse field_errors_response(ApiStyle style, const std::vector<FieldError>& errors) {
  if (style == ApiStyle::OpenAi) {
    const FieldError& first = errors.front();
    const std::string message =
        first.path.empty() ? first.message : fmt::format("{}: {}", first.path, first.message);
    return error_response(style, 400, message, first.path);
  }
  json::Array detail;
  for (const FieldError& error : errors) {
    json::Array location{"body"};
    std::string_view rest = error.path;
    while (!rest.empty()) {
      const auto dot = rest.find('.');
      location.emplace_back(rest.substr(0, dot));
      rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
    }
    detail.push_back(json::Object{{"type", error.type}, {"loc", location}, {"msg", error.message}});
  }
  return net::HttpResponse::json(422, json::dump(json::Object{{"detail", detail}}));
}

}  // namespace inference

#include "registry/api_error.h"

#include "json/value.h"
#include "oci/failure.h"

namespace registry {

using base::ErrorCode;

net::HttpResponse to_response(const ApiError& error) {
  json::Object entry{{"code", error.code}, {"message", json::String(error.message)}};
  if (!error.detail.empty()) entry.emplace("detail", json::String(error.detail));
  return net::HttpResponse::json(
      error.status, json::dump(json::Object{{"errors", json::Array{std::move(entry)}}}));
}

base::Status respond_error(net::HttpExchange& exchange, const ApiError& error) {
  return exchange.respond(to_response(error));
}

base::Status respond_failure(net::HttpExchange& exchange, const base::Error& error,
                             std::string_view code) {
  if (error.code() == ErrorCode::Cancelled || exchange.answered()) return error;  // Nobody listens.
  if (oci::is_disk_full(error))
    return respond_error(exchange, {507, code::kUnknown, error.message(), {}});
  if (error.http_status() >= 400)
    return respond_error(exchange, {error.http_status(),
                                    error.http_status() == 413 ? code::kSizeInvalid : code,
                                    error.message(),
                                    {}});
  if (error.code() == ErrorCode::Invalid)
    return respond_error(exchange, {400, code, error.message(), {}});
  if (error.code() == ErrorCode::NotFound)
    return respond_error(exchange, {404, code, error.message(), {}});
  return respond_error(exchange, {500, code::kUnknown, error.message(), {}});
}

}  // namespace registry

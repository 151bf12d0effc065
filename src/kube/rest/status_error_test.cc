#include "kube/rest/status_error.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace kube {
namespace {

using base::ErrorCode;
using std::chrono::seconds;

std::string status_body(int code, std::string_view reason, std::string_view extra = "") {
  return fmt::format(
      R"({{"kind":"Status","apiVersion":"v1","status":"Failure","message":"why","reason":"{}","code":{}{}}})",
      reason, code, extra);
}

TEST(StatusError, MapsEveryStatusToWhatTheCallerDoesNext) {
  struct Case {
    int status;
    const char* reason;
    ErrorCode code;
  };
  const Case cases[] = {
      {400, "BadRequest", ErrorCode::Invalid},
      {401, "Unauthorized", ErrorCode::Unauthorized},
      {403, "Forbidden", ErrorCode::Forbidden},
      {404, "NotFound", ErrorCode::NotFound},
      {405, "MethodNotAllowed", ErrorCode::Invalid},
      {409, "AlreadyExists", ErrorCode::AlreadyExists},
      {409, "Conflict", ErrorCode::Conflict},
      {410, "Expired", ErrorCode::Gone},
      {410, "Gone", ErrorCode::Gone},
      {413, "RequestEntityTooLarge", ErrorCode::Invalid},
      {415, "UnsupportedMediaType", ErrorCode::Invalid},
      {422, "Invalid", ErrorCode::Invalid},
      {429, "TooManyRequests", ErrorCode::Throttled},
      {500, "InternalError", ErrorCode::Unavailable},
      {503, "ServiceUnavailable", ErrorCode::Unavailable},
      {504, "Timeout", ErrorCode::Timeout},
  };
  for (const Case& c : cases) {
    const auto error = status_error(c.status, {}, status_body(c.status, c.reason));
    EXPECT_EQ(error.code(), c.code) << c.status << c.reason;
    EXPECT_EQ(error.message(), "why");
    EXPECT_EQ(error.http_status(), c.status);
    EXPECT_FALSE(error.retry_after());
  }
}

TEST(StatusError, ReadsHowLongToWait) {
  EXPECT_EQ(status_error(429, {{"Retry-After", "3"}}, "slow down").retry_after(), seconds(3));
  const auto body = status_body(429, "TooManyRequests", R"(,"details":{"retryAfterSeconds":7})");
  EXPECT_EQ(status_error(429, {}, body).retry_after(), seconds(7));
  EXPECT_EQ(status_error(429, {{"retry-after", "2"}}, body).retry_after(), seconds(2));
  for (const char* bad : {"", "-1", "soon", "1.5", "99999999999999999999"}) {
    EXPECT_FALSE(status_error(429, {{"Retry-After", bad}}, "").retry_after()) << bad;
  }
}

TEST(StatusError, QuotesBodiesThatAreNoStatus) {
  EXPECT_EQ(status_error(502, {}, "upstream down\n").message(),
            "HTTP 502 Bad Gateway: upstream down");
  EXPECT_EQ(status_error(502, {}, "").message(), "HTTP 502 Bad Gateway");
  EXPECT_EQ(status_error(502, {}, "\xff\xfe").message(), "HTTP 502 Bad Gateway");
  EXPECT_LT(status_error(500, {}, std::string(5000, 'x')).message().size(), 260U);
}

TEST(StatusError, ReadsTheStatusInsideAWatch) {
  const auto read = [](std::string_view text) { return status_error(json::parse(text).value()); };
  EXPECT_EQ(read(status_body(410, "Expired")).code(), ErrorCode::Gone);
  EXPECT_EQ(read(R"({"kind":"Status","reason":"Expired","message":"too old"})").code(),
            ErrorCode::Gone);
  EXPECT_EQ(read(status_body(500, "InternalError")).code(), ErrorCode::Unavailable);
  EXPECT_EQ(read("{}").code(), ErrorCode::Unavailable);
}

}  // namespace
}  // namespace kube

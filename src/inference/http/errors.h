#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "inference/http/fields.h"
#include "net/http_server.h"

namespace inference {

/// Which API's form an answer takes.
enum class ApiStyle { OpenAi, FastApi };

/// The styles of the paths: `/v1/...` speaks OpenAI, everything else FastAPI.
ApiStyle style_of(std::string_view path);

/// The answer for a failure that is not about single fields: the status comes from the error.
net::HttpResponse error_response(ApiStyle style, const base::Error& error);
net::HttpResponse error_response(ApiStyle style, int status, std::string_view message,
                                 std::string_view param = "", std::string_view code = "");
/// The answer for mistakes in the body: 400 naming the first, or FastAPI's 422 list of all.
net::HttpResponse field_errors_response(ApiStyle style, const std::vector<FieldError>& errors);
/// The object `{"message", "type", "param", "code"}` of OpenAI, also sent inside a stream.
std::string openai_error_body(int status, std::string_view message, std::string_view param,
                              std::string_view code);

}  // namespace inference

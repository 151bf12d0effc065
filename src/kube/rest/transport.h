#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/context.h"
#include "base/guarded.h"
#include "base/result.h"
#include "kube/rest/client.h"
#include "net/http_client.h"

namespace kube {

/// Carries requests to one API server: credentials, client-side rate limit, waits for Retry-After,
/// and errors made from answers. Internal to `rest`. Safe from many threads.
class Transport {
 public:
  using OnBytes = std::function<base::Status(std::string_view)>;
  struct Request {
    std::string method = "GET";
    std::string path;  ///< With query; relative to the server's address.
    std::string content_type{};
    std::string body{};
    bool wait_when_throttled = true;
  };

  static base::Result<std::unique_ptr<Transport>> create(const RestConfig& config);

  /// Streams the body of a 2xx answer. Errors: those of `Client`, and those of `on_bytes`.
  base::Status stream(const base::Context& ctx, const Request& request, const OnBytes& on_bytes);
  /// The whole body of a 2xx answer.
  base::Result<std::string> send(const base::Context& ctx, const Request& request);

 private:
  struct Token {
    std::string text;
    base::SteadyTime read_at = base::SteadyTime::min();
  };
  struct Budget {
    double tokens = 0;
    base::SteadyTime at;
  };

  Transport(const RestConfig& config, std::unique_ptr<net::HttpClient> http);
  base::Status attempt(const base::Context& ctx, const net::HttpClientRequest& request,
                       const OnBytes& on_bytes);
  base::Status wait_for_budget(const base::Context& ctx);
  /// "" without a token.
  base::Result<std::string> bearer_token();

  std::string server_;  ///< Without a slash at its end.
  std::string static_token_;
  std::string token_file_;
  double requests_per_second_;
  double burst_;
  std::unique_ptr<net::HttpClient> http_;
  base::Guarded<Token> token_;
  base::Guarded<Budget> budget_;
};

}  // namespace kube

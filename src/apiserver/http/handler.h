#pragma once

#include <map>
#include <string>

#include "apiserver/http/discovery.h"
#include "apiserver/http/open_api.h"
#include "apiserver/http/request.h"

namespace apiserver {

/// Who may use the server.
struct Credentials {
  std::map<std::string, std::string> tokens;  ///< Bearer token to user name.
  bool anonymous_admin = false;               ///< No credentials needed: for tests.
};

/// Turns HTTP requests into verbs on the engine. One instance serves all connections.
class ApiHandler {
 public:
  ApiHandler(HandlerDeps deps, Credentials credentials)
      : deps_(std::move(deps)), credentials_(std::move(credentials)) {}

  void handle(const base::Context& ctx, net::HttpExchange& exchange) const;

 private:
  ApiStatus guarded_dispatch(ApiRequest& request) const;
  ApiStatus dispatch(ApiRequest& request) const;
  ApiStatus dispatch_api(ApiRequest& request, std::string_view rest, ApiRoot root) const;
  ApiStatus dispatch_resource(ApiRequest& request, std::string_view group, std::string_view version,
                              std::vector<std::string> segments) const;
  ApiStatus run_verb(ApiRequest& request, const Target& target) const;
  ApiStatus health(ApiRequest& request) const;
  ApiStatus open_api(ApiRequest& request, std::string_view path) const;
  std::optional<std::string> authenticate(const net::HttpRequestHead& head) const;

  HandlerDeps deps_;
  Credentials credentials_;
  OpenApiPages open_api_;
};

}  // namespace apiserver

#include "apiserver/http/handler.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/sha256.h"

namespace apiserver {
namespace {

/// The Kubernetes release whose API this server speaks.
constexpr const char* kMinorVersion = "32";
constexpr const char* kGitVersion = "v1.32.0+kaito";
constexpr std::string_view kBearer = "Bearer ";

/// Hashing both sides makes the time independent of where they differ.
bool same_secret(std::string_view a, std::string_view b) {
  const std::string left = base::sha256_hex(a);
  const std::string right = base::sha256_hex(b);
  unsigned difference = 0;
  for (std::size_t i = 0; i < left.size(); ++i)
    difference |= static_cast<unsigned>(left[i] ^ right[i]);
  return difference == 0;
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (!part.empty()) parts.emplace_back(part);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return parts;
}

bool is_open_to_all(std::string_view path) {
  for (const std::string_view open : {"/healthz", "/livez", "/readyz"})
    if (path == open || path.starts_with(std::string(open) + "/")) return true;
  return path == "/version" || path == "/version/";
}

std::unexpected<ApiError> no_such_page() {
  return status_error(404, "NotFound", "the server could not find the requested resource");
}

json::Value version_document() {
  return json::Object{{"major", "1"},    {"minor", kMinorVersion},  {"gitVersion", kGitVersion},
                      {"gitCommit", ""}, {"gitTreeState", "clean"}, {"buildDate", ""},
                      {"goVersion", ""}, {"compiler", "g++"},       {"platform", "linux/amd64"}};
}

}  // namespace

std::optional<std::string> ApiHandler::authenticate(const net::HttpRequestHead& head) const {
  if (credentials_.anonymous_admin) return "admin";
  const std::string_view header = head.headers.get_or("Authorization", "");
  if (header.starts_with(kBearer)) {
    std::optional<std::string> user;
    for (const auto& [token, name] : credentials_.tokens)
      if (same_secret(token, header.substr(kBearer.size()))) user = name;
    return user;
  }
  if (!head.client_certificate_common_name.empty()) return head.client_certificate_common_name;
  return std::nullopt;
}

void ApiHandler::handle(const base::Context& ctx, net::HttpExchange& exchange) const {
  ApiRequest request{.ctx = ctx, .exchange = exchange, .user = {}, .warnings = {}};
  const auto user = authenticate(exchange.request());
  if (!user && !is_open_to_all(exchange.request().target.path)) {
    send_error(request, status_error(401, "Unauthorized", "Unauthorized").error());
    return;
  }
  request.user = user.value_or("system:anonymous");
  const ApiStatus done = guarded_dispatch(request);
  if (!done && !exchange.answered()) send_error(request, done.error());
  if (!done && done.error().code >= 500)
    deps_.log.warn("request failed", {{"method", exchange.request().method},
                                      {"path", exchange.request().target.path},
                                      {"code", done.error().code},
                                      {"error", done.error().message}});
}

ApiStatus ApiHandler::guarded_dispatch(ApiRequest& request) const {
  try {
    return dispatch(request);
  } catch (const std::exception& error) {
    // Nothing below throws by design; one bad request must not end the process all the same.
    return status_error(500, "InternalError", error.what());
  }
}

ApiStatus ApiHandler::dispatch(ApiRequest& request) const {
  const std::string_view path = request.head().target.path;
  if (path == "/api" || path.starts_with("/api/"))
    return dispatch_api(request, path.substr(4), ApiRoot::Core);
  if (path == "/apis" || path.starts_with("/apis/"))
    return dispatch_api(request, path.substr(5), ApiRoot::Groups);
  if (request.head().method != "GET" && request.head().method != "HEAD")
    return method_not_allowed();
  if (is_open_to_all(path) && !path.starts_with("/version")) return health(request);
  if (path.starts_with("/version")) {
    send_value(request, 200, version_document());
    return {};
  }
  if (path.starts_with("/openapi/")) return open_api(request, path);
  if (path == "/") {
    send_value(
        request, 200,
        json::Object{{"paths", json::Array{"/api", "/api/v1", "/apis", "/healthz", "/livez",
                                           "/openapi/v2", "/openapi/v3", "/readyz", "/version"}}});
    return {};
  }
  return no_such_page();
}

ApiStatus ApiHandler::health(ApiRequest& request) const {
  (void)request.exchange.respond(net::HttpResponse::text(200, "ok"));
  return {};
}

ApiStatus ApiHandler::open_api(ApiRequest& request, std::string_view path) const {
  const CatalogRef catalog = deps_.registry.catalog();
  auto document = open_api_.get(catalog, path, request.accept());
  if (!document) return no_such_page();
  net::HttpResponse response;
  response.headers.add("Content-Type", document->content_type);
  response.body = std::move(document->body);
  (void)request.exchange.respond(std::move(response));
  return {};
}

ApiStatus ApiHandler::dispatch_api(ApiRequest& request, std::string_view rest, ApiRoot root) const {
  std::vector<std::string> segments = split_path(rest);
  const CatalogRef catalog = deps_.registry.catalog();
  const bool read = request.head().method == "GET" || request.head().method == "HEAD";
  if (segments.empty()) {
    if (!read) return method_not_allowed();
    for (const char* version : {"v2", "v2beta1"}) {
      if (!accepts_kind(request.accept(), "APIGroupDiscoveryList", "apidiscovery.k8s.io", version))
        continue;
      auto response =
          net::HttpResponse::json(200, json::dump(aggregated_discovery(*catalog, root, version)));
      response.headers.set(
          "Content-Type",
          fmt::format("application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList",
                      version));
      (void)request.exchange.respond(std::move(response));
      return {};
    }
    (void)TRY(negotiate(request.accept()));
    send_value(request, 200,
               root == ApiRoot::Core ? core_versions(deps_.address) : group_list(*catalog));
    return {};
  }
  std::string group;
  if (root == ApiRoot::Groups) {
    group = segments.front();
    segments.erase(segments.begin());
  }
  const json::Value about = group_document(*catalog, group);
  const json::Array& versions = about.get_object().at("versions").get_array();
  if (versions.empty()) return no_such_page();
  if (segments.empty()) {
    if (!read) return method_not_allowed();
    send_value(request, 200, about);
    return {};
  }
  const std::string version = segments.front();
  segments.erase(segments.begin());
  const bool served = std::any_of(versions.begin(), versions.end(), [&](const auto& entry) {
    return json::find_string(entry, "version") == version;
  });
  if (!served) return no_such_page();
  if (segments.empty()) {
    if (!read) return method_not_allowed();
    send_value(request, 200, resource_list(*catalog, group, version));
    return {};
  }
  if (group == "authorization.k8s.io" || group == "authentication.k8s.io")
    return handle_review(request, group, segments.back());
  return dispatch_resource(request, group, version, std::move(segments));
}

ApiStatus ApiHandler::dispatch_resource(ApiRequest& request, std::string_view group,
                                        std::string_view version,
                                        std::vector<std::string> segments) const {
  const CatalogRef catalog = deps_.registry.catalog();
  Target target;
  // `namespaces/x` is an object; `namespaces/x/y` is a collection in x unless y is a subresource.
  const bool scoped = segments.front() == "namespaces" && segments.size() >= 3 &&
                      (!group.empty() || (segments[2] != "status" && segments[2] != "finalize"));
  if (scoped) {
    target.ns = segments[1];
    segments.erase(segments.begin(), segments.begin() + 2);
  }
  target.definition = catalog->find(group, segments[0]);
  target.version = target.definition ? target.definition->version(version) : nullptr;
  if (!target.version || segments.size() > 3) return no_such_page();
  if (scoped && !target.definition->namespaced) return no_such_page();
  if (segments.size() > 1) target.name = segments[1];
  if (segments.size() > 2) target.subresource = segments[2];
  if (target.definition->namespaced && !scoped) {
    const bool list = request.head().method == "GET" && target.name.empty();
    if (!list) return target.name.empty() ? method_not_allowed() : no_such_page();
  }
  return run_verb(request, target);
}

ApiStatus ApiHandler::run_verb(ApiRequest& request, const Target& target) const {
  const std::string& method = request.head().method;
  const bool read = method == "GET" || method == "HEAD";
  if (!target.version->deprecation_warning.empty())
    request.warnings.push_back(target.version->deprecation_warning);
  if (target.subresource == "status") {
    if (!target.version->status_subresource) return no_such_page();
    if (read) return handle_get(request, deps_, target);
    if (method == "PUT") return handle_update(request, deps_, target);
    if (method == "PATCH") return handle_patch(request, deps_, target);
    return method_not_allowed();
  }
  if (!target.subresource.empty()) return handle_subresource(request, deps_, target);
  if (read && flag_param(request, "watch")) return handle_watch(request, deps_, target);
  if (target.name.empty()) {
    if (read) return handle_list(request, deps_, target);
    if (method == "POST") return handle_create(request, deps_, target);
    if (method == "DELETE") return handle_delete_collection(request, deps_, target);
    return method_not_allowed();
  }
  if (read) return handle_get(request, deps_, target);
  if (method == "PUT") return handle_update(request, deps_, target);
  if (method == "PATCH") return handle_patch(request, deps_, target);
  if (method == "DELETE") return handle_delete(request, deps_, target);
  return method_not_allowed();
}

}  // namespace apiserver

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/encoding.h"
#include "base/file.h"
#include "json/codec.h"
#include "json/yaml.h"
#include "kube/limits.h"
#include "kube/rest/client.h"

namespace kube {

/// The parts of a kubeconfig that are read.
namespace kubeconfig {

using json::Presence;

/// PEM text that is given inline or as a file.
struct Pem {
  std::string data;  // in base64
  std::string file;  // relative to the kubeconfig's folder, or absolute
};

struct Cluster {
  std::string server, tls_server_name, proxy_url;
  Pem authority;
  bool insecure = false;
};
template <class V>
void describe(V& v, Cluster& c) {
  v.field("server", c.server, Presence::Required, "Address of the API server.");
  v.field("certificate-authority", c.authority.file, Presence::Optional,
          "File with trusted roots.");
  v.field("certificate-authority-data", c.authority.data, Presence::Optional, "Roots in base64.");
  v.field("tls-server-name", c.tls_server_name, Presence::Optional, "Name that is verified.");
  v.field("insecure-skip-tls-verify", c.insecure, Presence::Optional, "Trust any server.");
  v.field("proxy-url", c.proxy_url, Presence::Optional, "Proxy to go through.");
}

struct User {
  Pem certificate, key;
  std::string token, token_file, username, as;
  json::Value exec, auth_provider;
};
template <class V>
void describe(V& v, User& u) {
  v.field("client-certificate", u.certificate.file, Presence::Optional,
          "File with the certificate.");
  v.field("client-certificate-data", u.certificate.data, Presence::Optional,
          "Certificate in base64.");
  v.field("client-key", u.key.file, Presence::Optional, "File with the key.");
  v.field("client-key-data", u.key.data, Presence::Optional, "Key in base64.");
  v.field("token", u.token, Presence::Optional, "Bearer token.");
  v.field("tokenFile", u.token_file, Presence::Optional, "File with a bearer token.");
  v.field("username", u.username, Presence::Optional, "Basic authentication.");
  v.field("as", u.as, Presence::Optional, "User to impersonate.");
  v.field("exec", u.exec, Presence::Optional, "Program that prints credentials.");
  v.field("auth-provider", u.auth_provider, Presence::Optional, "Built-in plugin of old clients.");
}

struct Context {
  std::string cluster, user;
};
template <class V>
void describe(V& v, Context& c) {
  v.field("cluster", c.cluster, Presence::Required, "Name of a cluster.");
  v.field("user", c.user, Presence::Optional, "Name of a user.");
}

struct NamedCluster {
  std::string name;
  Cluster value;
};
template <class V>
void describe(V& v, NamedCluster& n) {
  v.field("name", n.name, Presence::Required, "Name of the cluster.");
  v.field("cluster", n.value, Presence::Required, "The cluster.");
}
struct NamedUser {
  std::string name;
  User value;
};
template <class V>
void describe(V& v, NamedUser& n) {
  v.field("name", n.name, Presence::Required, "Name of the user.");
  v.field("user", n.value, Presence::Required, "The user.");
}
struct NamedContext {
  std::string name;
  Context value;
};
template <class V>
void describe(V& v, NamedContext& n) {
  v.field("name", n.name, Presence::Required, "Name of the context.");
  v.field("context", n.value, Presence::Required, "The context.");
}

struct Config {
  std::string current_context;
  std::vector<NamedCluster> clusters;
  std::vector<NamedUser> users;
  std::vector<NamedContext> contexts;
};
template <class V>
void describe(V& v, Config& c) {
  v.field("current-context", c.current_context, Presence::Optional, "Context used by default.");
  v.field("clusters", c.clusters, Presence::Optional, "Known clusters.");
  v.field("users", c.users, Presence::Optional, "Known users.");
  v.field("contexts", c.contexts, Presence::Optional, "Known contexts.");
}

}  // namespace kubeconfig

namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

Error invalid(std::string message) { return {ErrorCode::Invalid, std::move(message)}; }

template <class Named>
Result<decltype(Named::value)> find_named(const std::vector<Named>& all, std::string_view what,
                                          std::string_view name) {
  std::string known;
  for (const Named& one : all) {
    if (one.name == name) return one.value;
    known.append(known.empty() ? "" : ", ").append(one.name);
  }
  return Error(ErrorCode::NotFound, fmt::format("there is no {} '{}' (known: {})", what, name,
                                                known.empty() ? "none" : known));
}

/// The PEM text of a field; inline wins over a file, as in kubectl. Empty when neither is given.
Result<std::string> pem_of(std::string_view field, const kubeconfig::Pem& source,
                           const std::filesystem::path& base_directory) {
  if (source.data.empty() && source.file.empty()) return std::string();
  const bool is_inline = !source.data.empty();
  const std::string name = fmt::format("{}{}", field, is_inline ? "-data" : "");
  std::string pem = TRY(base::with_context(
      is_inline ? base::from_base64(source.data)
                : base::read_file(base_directory / source.file, kMaxKubeconfigBytes),
      name));
  if (pem.find("-----BEGIN ") == std::string::npos) {
    return invalid(fmt::format("{} is not PEM text", name));
  }
  return pem;
}

Status check_server(const std::string& server) {
  if (server.starts_with("https://") || server.starts_with("http://")) return {};
  return invalid(fmt::format("server '{}' must begin with https:// or http://", server));
}

Status check_user(const kubeconfig::User& user, std::string_view name) {
  const auto refuse = [&](std::string_view field, std::string_view instead) -> Status {
    return invalid(
        fmt::format("user '{}' uses {}, which is not supported; {}", name, field, instead));
  };
  if (!user.exec.is_null()) {
    const std::string_view command = json::find_string(user.exec, "command");
    return refuse(fmt::format("the exec plugin '{}'", command),
                  "put a token (token, tokenFile) or a client certificate into the kubeconfig");
  }
  if (!user.auth_provider.is_null()) {
    return refuse("auth-provider", "use a token, a tokenFile or a client certificate");
  }
  if (!user.username.empty()) {
    return refuse("username and password", "use a token or a client certificate");
  }
  if (!user.as.empty()) return refuse("impersonation (as)", "use the credentials of that user");
  return {};
}

Status apply_cluster(RestConfig& config, const kubeconfig::Cluster& cluster,
                     const std::filesystem::path& base_directory) {
  TRY(check_server(cluster.server));
  if (!cluster.proxy_url.empty()) return invalid("proxy-url is not supported");
  config.server = cluster.server;
  config.tls.ca_pem = TRY(pem_of("certificate-authority", cluster.authority, base_directory));
  config.tls.server_name = cluster.tls_server_name;
  config.tls.insecure_skip_verify = cluster.insecure;
  if (cluster.insecure && !config.tls.ca_pem.empty()) {
    return invalid("insecure-skip-tls-verify and certificate-authority exclude each other");
  }
  return {};
}

Status apply_user(RestConfig& config, const kubeconfig::User& user,
                  const std::filesystem::path& base_directory) {
  config.tls.cert_pem = TRY(pem_of("client-certificate", user.certificate, base_directory));
  config.tls.key_pem = TRY(pem_of("client-key", user.key, base_directory));
  if (config.tls.cert_pem.empty() != config.tls.key_pem.empty()) {
    return invalid("client-certificate and client-key must be set together");
  }
  config.bearer_token = user.token;
  if (!user.token_file.empty()) {
    config.bearer_token_file = (base_directory / user.token_file).string();
  }
  return {};
}

}  // namespace

Result<RestConfig> RestConfig::from_kubeconfig(std::string_view yaml, std::string_view context,
                                               const std::string& base_directory) {
  const std::vector<json::YamlDocument> documents = TRY(json::parse_yaml(yaml));
  if (documents.size() != 1) return invalid("a kubeconfig is one YAML document");
  const auto config = TRY(json::decode<kubeconfig::Config>(documents.front().value));
  const std::string chosen = context.empty() ? config.current_context : std::string(context);
  if (chosen.empty()) return invalid("no context is chosen; set current-context or name one");
  const auto wanted = TRY(find_named(config.contexts, "context", chosen));
  const auto cluster = TRY(find_named(config.clusters, "cluster", wanted.cluster));

  RestConfig rest;
  TRY(base::with_context(apply_cluster(rest, cluster, base_directory),
                         fmt::format("cluster '{}'", wanted.cluster)));
  if (wanted.user.empty()) return rest;
  const auto user = TRY(find_named(config.users, "user", wanted.user));
  TRY(check_user(user, wanted.user));
  TRY(base::with_context(apply_user(rest, user, base_directory),
                         fmt::format("user '{}'", wanted.user)));
  return rest;
}

Result<RestConfig> RestConfig::from_kubeconfig_file(const std::string& path,
                                                    std::string_view context) {
  const std::string what = fmt::format("kubeconfig {}", path);
  const std::string yaml =
      TRY(base::with_context(base::read_file(path, kMaxKubeconfigBytes), what));
  return base::with_context(
      from_kubeconfig(yaml, context, std::filesystem::path(path).parent_path().string()), what);
}

Result<RestConfig> RestConfig::in_cluster(const std::string& host, const std::string& port,
                                          const std::string& root) {
  if (host.empty() || port.empty()) {
    return Error(ErrorCode::NotFound,
                 "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not "
                 "set; pass a kubeconfig");
  }
  RestConfig config;
  const bool is_ipv6 = host.find(':') != std::string::npos && host.front() != '[';
  config.server = is_ipv6 ? fmt::format("https://[{}]:{}", host, port)
                          : fmt::format("https://{}:{}", host, port);
  const std::filesystem::path folder(root);
  config.bearer_token_file = (folder / "token").string();
  config.tls.ca_pem = TRY(pem_of("service account ca.crt", {.data = {}, .file = "ca.crt"}, folder));
  // Read once here, so that a missing token shows at the start.
  TRY(base::with_context(base::read_file(config.bearer_token_file, kMaxKubeconfigBytes),
                         "service account token"));
  return config;
}

}  // namespace kube

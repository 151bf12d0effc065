#include "apps/kaito/credentials.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <chrono>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/random.h"
#include "json/codec.h"
#include "net/tls.h"

namespace kaito {
namespace {

constexpr std::size_t kTokenBytes = 32;
constexpr auto kLifetime = std::chrono::hours(24 * 365);
constexpr auto kRenewBefore = std::chrono::hours(24 * 30);

struct Stored {
  Credentials credentials;
  std::string ca_key_pem;
  std::string issued_at;
};

template <class V>
void describe(V& v, Stored& s) {
  using json::Presence;
  v.field("ca", s.credentials.ca_pem, Presence::Required, "");
  v.field("caKey", s.ca_key_pem, Presence::Required, "");
  v.field("serverCertificate", s.credentials.server_cert_pem, Presence::Required, "");
  v.field("serverKey", s.credentials.server_key_pem, Presence::Required, "");
  v.field("adminToken", s.credentials.admin_token, Presence::Required, "");
  v.field("systemToken", s.credentials.system_token, Presence::Required, "");
  v.field("issuedAt", s.issued_at, Presence::Required, "");
}

std::string new_token() {
  const std::string bytes = base::random_bytes(kTokenBytes);
  return base::to_hex({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
}

base::Status issue(Stored& stored) {
  const net::CertificateRequest request{.common_name = "kaito-apiserver",
                                        .organizations = {},
                                        .dns_names = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
                                        .ip_addresses = {"127.0.0.1"}};
  auto issued = TRY(net::issue_certificate({stored.credentials.ca_pem, stored.ca_key_pem}, request));
  stored.credentials.server_cert_pem = std::move(issued.cert_pem);
  stored.credentials.server_key_pem = std::move(issued.key_pem);
  stored.issued_at = base::format_rfc3339(std::chrono::system_clock::now());
  return {};
}

bool is_fresh(const Stored& stored) {
  const auto issued = base::parse_rfc3339(stored.issued_at);
  return issued && std::chrono::system_clock::now() < *issued + kLifetime - kRenewBefore;
}

}  // namespace

base::Result<Credentials> load_or_make_credentials(const DataDir& dir) {
  const auto path = dir.tls() / "credentials.json";
  std::error_code ignored;
  std::filesystem::create_directories(dir.tls(), ignored);
  ::chmod(dir.tls().c_str(), 0700);
  Stored stored;
  auto text = base::read_file(path);
  if (text) {
    const json::Value value = TRY(base::with_context(json::parse(*text), path.string()));
    stored = TRY(base::with_context(json::decode<Stored>(value), path.string()));
  } else if (text.error().code() == base::ErrorCode::NotFound) {
    auto authority = TRY(net::make_certificate_authority("kaito-ca"));
    stored.credentials.ca_pem = std::move(authority.cert_pem);
    stored.ca_key_pem = std::move(authority.key_pem);
    stored.credentials.admin_token = new_token();
    stored.credentials.system_token = new_token();
  } else {
    return text.error();
  }
  if (!is_fresh(stored)) {
    TRY(issue(stored));
    TRY(base::write_file_atomic(path, json::dump(json::encode(stored)), 0600, base::Durability::Synced));
  }
  return stored.credentials;
}

std::string make_kubeconfig(const Credentials& credentials, const std::string& server) {
  return fmt::format(R"(apiVersion: v1
kind: Config
current-context: kaito
clusters:
  - name: kaito
    cluster:
      server: {}
      certificate-authority-data: {}
contexts:
  - name: kaito
    context:
      cluster: kaito
      user: admin
      namespace: default
users:
  - name: admin
    user:
      token: {}
)",
                     server, base::to_base64(credentials.ca_pem), credentials.admin_token);
}

}  // namespace kaito

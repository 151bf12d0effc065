#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct ssl_ctx_st;

namespace net {

/// PEM texts; empty members are absent.
struct TlsClientOptions {
  std::string ca_pem;    ///< Trusted roots; empty takes the system's.
  std::string cert_pem;  ///< Client certificate chain.
  std::string key_pem;
  std::string server_name;  ///< Overrides the host name that is verified.
  bool insecure_skip_verify = false;
};

struct TlsServerOptions {
  std::string cert_pem;
  std::string key_pem;
  std::string client_ca_pem;  ///< When set, client certificates are asked for
                              ///< (not required) and verified.
};

/// A server's certificate and key, loaded and checked; immutable and shared by its connections.
class TlsServerConfig {
 public:
  /// Errors: Invalid when the PEM texts cannot be read or do not belong together.
  static base::Result<std::shared_ptr<const TlsServerConfig>> create(
      const TlsServerOptions& options);
  ~TlsServerConfig();
  ssl_ctx_st* native() const { return context_; }

 private:
  explicit TlsServerConfig(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
};

struct CertificateAuthority {
  std::string cert_pem;
  std::string key_pem;
};
/// A self-signed ECDSA P-256 authority, valid ten years.
base::Result<CertificateAuthority> make_certificate_authority(std::string_view common_name);

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
};
struct CertificateAndKey {
  std::string cert_pem;
  std::string key_pem;
};
/// A certificate for servers and clients signed by `authority`, ECDSA P-256, valid one year.
base::Result<CertificateAndKey> issue_certificate(const CertificateAuthority& authority,
                                                  const CertificateRequest& request);

}  // namespace net

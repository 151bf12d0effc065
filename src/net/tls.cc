#include "net/tls.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <utility>

#include "base/random.h"

namespace net {
namespace {

using base::Error;
using base::ErrorCode;

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const { Free(object); }
};
using BioPtr = std::unique_ptr<BIO, Freer<::BIO_free_all>>;
using CertPtr = std::unique_ptr<X509, Freer<::X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<::EVP_PKEY_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<::X509_EXTENSION_free>>;

Error tls_error(ErrorCode code, std::string_view what) {
  const unsigned long number = ::ERR_get_error();
  std::string reason = "unknown reason";
  if (number != 0) {
    std::string buffer(256, '\0');
    ::ERR_error_string_n(number, buffer.data(), buffer.size());
    reason = buffer.c_str();
  }
  ::ERR_clear_error();
  return Error(code, fmt::format("{}: {}", what, reason));
}

BioPtr memory_bio(std::string_view text) { return BioPtr(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string bio_text(BIO* bio) {
  char* data = nullptr;
  const long length = ::BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(length));
}

KeyPtr read_key(std::string_view pem) {
  const BioPtr bio = memory_bio(pem);
  return KeyPtr(::PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
}

CertPtr read_certificate(std::string_view pem) {
  const BioPtr bio = memory_bio(pem);
  return CertPtr(::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

std::string key_pem(EVP_PKEY* key) {
  const BioPtr bio(::BIO_new(::BIO_s_mem()));
  ::PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return bio_text(bio.get());
}

std::string certificate_pem(X509* certificate) {
  const BioPtr bio(::BIO_new(::BIO_s_mem()));
  ::PEM_write_bio_X509(bio.get(), certificate);
  return bio_text(bio.get());
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(::X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && ::X509_add_ext(certificate, extension.get(), -1) == 1;
}

/// A certificate with everything but extensions and signature. `days` counts from five minutes ago.
CertPtr new_certificate(EVP_PKEY* key, long days) {
  CertPtr certificate(::X509_new());
  ::X509_set_version(certificate.get(), 2);
  std::string serial = base::random_bytes(16);
  serial[0] = static_cast<char>(serial[0] & 0x7F);
  BIGNUM* number = ::BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), static_cast<int>(serial.size()), nullptr);
  ::BN_to_ASN1_INTEGER(number, ::X509_get_serialNumber(certificate.get()));
  ::BN_free(number);
  constexpr long kClockSkewSeconds = 300;
  ::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), -kClockSkewSeconds);
  ::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), days * 24 * 3600);
  ::X509_set_pubkey(certificate.get(), key);
  return certificate;
}

void add_name(X509_NAME* name, const char* field, std::string_view value) {
  ::X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                               static_cast<int>(value.size()), -1, 0);
}

std::string alternative_names(const CertificateRequest& request) {
  std::string names;
  for (const std::string& dns : request.dns_names) names += fmt::format("{}DNS:{}", names.empty() ? "" : ",", dns);
  for (const std::string& ip : request.ip_addresses) names += fmt::format("{}IP:{}", names.empty() ? "" : ",", ip);
  return names;
}

bool use_chain(SSL_CTX* context, const std::string& pem) {
  const BioPtr bio = memory_bio(pem);
  CertPtr leaf(::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!leaf || ::SSL_CTX_use_certificate(context, leaf.get()) != 1) return false;
  while (X509* next = ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    if (::SSL_CTX_add0_chain_cert(context, next) != 1) {
      ::X509_free(next);
      return false;
    }
  }
  ::ERR_clear_error();  // The end of the PEM text is reported as an error.
  return true;
}

bool trust(SSL_CTX* context, const std::string& pem) {
  const BioPtr bio = memory_bio(pem);
  bool any = false;
  while (X509* next = ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    const CertPtr certificate(next);
    any = ::X509_STORE_add_cert(::SSL_CTX_get_cert_store(context), next) == 1 || any;
    ::SSL_CTX_add_client_CA(context, next);
  }
  ::ERR_clear_error();
  return any;
}

int choose_http_1_1(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* in, unsigned in_length, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (::SSL_select_next_proto(&chosen, out_length, kHttp11, 9, in, in_length) != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

base::Result<std::shared_ptr<const TlsServerConfig>> TlsServerConfig::create(const TlsServerOptions& options) {
  std::shared_ptr<TlsServerConfig> config(new TlsServerConfig(::SSL_CTX_new(::TLS_server_method())));
  SSL_CTX* context = config->context_;
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  ::SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_alpn_select_cb(context, choose_http_1_1, nullptr);
  if (!use_chain(context, options.cert_pem)) return tls_error(ErrorCode::Invalid, "reading the server certificate");
  const KeyPtr key = read_key(options.key_pem);
  if (!key || ::SSL_CTX_use_PrivateKey(context, key.get()) != 1) return tls_error(ErrorCode::Invalid, "reading the server key");
  if (::SSL_CTX_check_private_key(context) != 1) return tls_error(ErrorCode::Invalid, "certificate and key do not belong together");
  if (!options.client_ca_pem.empty()) {
    if (!trust(context, options.client_ca_pem)) return tls_error(ErrorCode::Invalid, "reading the client CA");
    ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    ::SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>("kaito"), 5);
  }
  return std::shared_ptr<const TlsServerConfig>(std::move(config));
}

TlsServerConfig::~TlsServerConfig() { ::SSL_CTX_free(context_); }

base::Result<CertificateAuthority> make_certificate_authority(std::string_view common_name) {
  const KeyPtr key(::EVP_EC_gen("P-256"));
  if (!key) return tls_error(ErrorCode::Internal, "making a key");
  constexpr long kTenYears = 3650;
  const CertPtr certificate = new_certificate(key.get(), kTenYears);
  X509_NAME* name = ::X509_get_subject_name(certificate.get());
  add_name(name, "CN", common_name);
  ::X509_set_issuer_name(certificate.get(), name);
  if (!add_extension(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE") ||
      !add_extension(certificate.get(), certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature") ||
      !add_extension(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash") ||
      ::X509_sign(certificate.get(), key.get(), ::EVP_sha256()) == 0) {
    return tls_error(ErrorCode::Internal, "making a certificate authority");
  }
  return CertificateAuthority{certificate_pem(certificate.get()), key_pem(key.get())};
}

base::Result<CertificateAndKey> issue_certificate(const CertificateAuthority& authority, const CertificateRequest& request) {
  const CertPtr issuer = read_certificate(authority.cert_pem);
  const KeyPtr issuer_key = read_key(authority.key_pem);
  if (!issuer || !issuer_key) return tls_error(ErrorCode::Invalid, "reading the certificate authority");
  const KeyPtr key(::EVP_EC_gen("P-256"));
  if (!key) return tls_error(ErrorCode::Internal, "making a key");
  constexpr long kOneYear = 365;
  const CertPtr certificate = new_certificate(key.get(), kOneYear);
  X509_NAME* name = ::X509_get_subject_name(certificate.get());
  for (const std::string& organization : request.organizations) add_name(name, "O", organization);
  add_name(name, "CN", request.common_name);
  ::X509_set_issuer_name(certificate.get(), ::X509_get_subject_name(issuer.get()));
  const std::string names = alternative_names(request);
  if (!add_extension(certificate.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate.get(), issuer.get(), NID_key_usage, "critical,digitalSignature,keyEncipherment") ||
      !add_extension(certificate.get(), issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth") ||
      !add_extension(certificate.get(), issuer.get(), NID_authority_key_identifier, "keyid") ||
      (!names.empty() && !add_extension(certificate.get(), issuer.get(), NID_subject_alt_name, names)) ||
      ::X509_sign(certificate.get(), issuer_key.get(), ::EVP_sha256()) == 0) {
    return tls_error(ErrorCode::Invalid, "issuing a certificate");
  }
  return CertificateAndKey{certificate_pem(certificate.get()) , key_pem(key.get())};
}

}  // namespace net

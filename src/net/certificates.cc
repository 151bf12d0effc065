#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/random.h"
#include "net/tls.h"
#include "net/tls_error.h"
#include "net/tls_pem.h"

namespace net {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

constexpr long kSecondsPerDay = 24 * 60 * 60;
constexpr long kAuthorityDays = 10 * 365;
constexpr long kLeafDays = 365;
/// Clocks of two machines differ; a certificate is valid a little before it was made.
constexpr long kClockSkewSeconds = 5 * 60;
/// RFC 5280 allows 20 octets; 16 random ones with the sign bit clear cannot collide.
constexpr std::size_t kSerialBytes = 16;

struct ExtensionDeleter {
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(GENERAL_NAME* name) const { GENERAL_NAME_free(name); }
  void operator()(BIGNUM* number) const { BN_free(number); }
};

Error internal(std::string_view what) { return Error(ErrorCode::Internal, take_tls_error(what)); }

Result<std::string> to_pem(const X509Ptr& certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), certificate.get()) != 1)
    return internal("writing a certificate");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Result<std::string> to_pem(const KeyPtr& key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                            nullptr) != 1) {
    return internal("writing a private key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Status add_name_entry(X509_NAME* name, const char* field, std::string_view value) {
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(value.data()),
                                 static_cast<int>(value.size()), -1, 0) != 1) {
    return Error(ErrorCode::Invalid,
                 take_tls_error(fmt::format("'{}' cannot be a certificate's {}", value, field)));
  }
  return {};
}

Status add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, ExtensionDeleter> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1)
    return internal(fmt::format("adding the extension {}", OBJ_nid2sn(nid)));
  return {};
}

/// Version 3, a random serial number and the time it is valid, from now.
Result<X509Ptr> new_certificate(EVP_PKEY* key, long days) {
  X509Ptr certificate(X509_new());
  if (!certificate) return internal("making a certificate");
  std::string serial = base::random_bytes(kSerialBytes);
  serial[0] = static_cast<char>((serial[0] & 0x7F) | 0x40);  // Positive, and never short.
  const std::unique_ptr<BIGNUM, ExtensionDeleter> number(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()),
                static_cast<int>(serial.size()), nullptr));
  X509* raw = certificate.get();
  if (!number || X509_set_version(raw, X509_VERSION_3) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(raw)) == nullptr ||
      X509_gmtime_adj(X509_getm_notBefore(raw), -kClockSkewSeconds) == nullptr ||
      X509_gmtime_adj(X509_getm_notAfter(raw), days * kSecondsPerDay) == nullptr ||
      X509_set_pubkey(raw, key) != 1) {
    return internal("filling a certificate");
  }
  return certificate;
}

Status add_alternative_name(GENERAL_NAMES* names, int type, std::string_view bytes) {
  std::unique_ptr<GENERAL_NAME, ExtensionDeleter> name(GENERAL_NAME_new());
  ASN1_STRING* text = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
  if (!name || text == nullptr) return internal("adding an alternative name");
  GENERAL_NAME_set0_value(name.get(), type, text);
  if (ASN1_STRING_set(text, bytes.data(), static_cast<int>(bytes.size())) != 1 ||
      sk_GENERAL_NAME_push(names, name.get()) == 0) {
    return internal("adding an alternative name");
  }
  (void)name.release();
  return {};
}

Status add_alternative_names(X509* certificate, const CertificateRequest& request) {
  if (request.dns_names.empty() && request.ip_addresses.empty()) return {};
  const std::unique_ptr<GENERAL_NAMES, ExtensionDeleter> names(GENERAL_NAMES_new());
  if (!names) return internal("adding alternative names");
  for (const std::string& dns : request.dns_names) {
    const bool ascii =
        std::all_of(dns.begin(), dns.end(), [](char c) { return c > ' ' && c < 127; });
    if (dns.empty() || !ascii)
      return Error(ErrorCode::Invalid, fmt::format("'{}' is not a DNS name", dns));
    TRY(add_alternative_name(names.get(), GEN_DNS, dns));
  }
  for (const std::string& ip : request.ip_addresses) {
    std::array<char, sizeof(in6_addr)> bytes{};
    std::size_t size = sizeof(in_addr);
    if (::inet_pton(AF_INET, ip.c_str(), bytes.data()) != 1) {
      size = sizeof(in6_addr);
      if (::inet_pton(AF_INET6, ip.c_str(), bytes.data()) != 1)
        return Error(ErrorCode::Invalid, fmt::format("'{}' is not an IP address", ip));
    }
    TRY(add_alternative_name(names.get(), GEN_IPADD, std::string_view(bytes.data(), size)));
  }
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1)
    return internal("adding alternative names");
  return {};
}

}  // namespace

Result<CertificateAuthority> make_certificate_authority(std::string_view common_name) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return internal("making a key");
  const X509Ptr certificate = TRY(new_certificate(key.get(), kAuthorityDays));
  X509* raw = certificate.get();
  TRY(add_name_entry(X509_get_subject_name(raw), "CN", common_name));
  if (X509_set_issuer_name(raw, X509_get_subject_name(raw)) != 1) return internal("naming a CA");
  TRY(add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE"));
  TRY(add_extension(raw, raw, NID_key_usage, "critical,digitalSignature,keyCertSign,cRLSign"));
  TRY(add_extension(raw, raw, NID_subject_key_identifier, "hash"));
  TRY(add_extension(raw, raw, NID_authority_key_identifier, "keyid:always"));
  if (X509_sign(raw, key.get(), EVP_sha256()) == 0) return internal("signing a CA");
  std::string cert_pem = TRY(to_pem(certificate));
  std::string key_pem = TRY(to_pem(key));
  return CertificateAuthority{std::move(cert_pem), std::move(key_pem)};
}

Result<CertificateAndKey> issue_certificate(const CertificateAuthority& authority,
                                            const CertificateRequest& request) {
  const auto chain = TRY(read_certificates(authority.cert_pem, "CA certificate"));
  const KeyPtr ca_key = TRY(read_private_key(authority.key_pem, "CA key"));
  X509* ca = chain.front().get();
  if (X509_check_private_key(ca, ca_key.get()) != 1)
    return Error(ErrorCode::Invalid, take_tls_error("the CA key does not belong to the CA"));
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return internal("making a key");
  const X509Ptr certificate = TRY(new_certificate(key.get(), kLeafDays));
  X509* raw = certificate.get();
  for (const std::string& organization : request.organizations)
    TRY(add_name_entry(X509_get_subject_name(raw), "O", organization));
  TRY(add_name_entry(X509_get_subject_name(raw), "CN", request.common_name));
  if (X509_set_issuer_name(raw, X509_get_subject_name(ca)) != 1)
    return internal("naming the issuer");
  TRY(add_extension(raw, ca, NID_basic_constraints, "critical,CA:FALSE"));
  TRY(add_extension(raw, ca, NID_key_usage, "critical,digitalSignature"));
  TRY(add_extension(raw, ca, NID_ext_key_usage, "serverAuth,clientAuth"));
  TRY(add_extension(raw, ca, NID_subject_key_identifier, "hash"));
  TRY(add_extension(raw, ca, NID_authority_key_identifier, "keyid:always"));
  TRY(add_alternative_names(raw, request));
  if (X509_sign(raw, ca_key.get(), EVP_sha256()) == 0) return internal("signing a certificate");
  std::string cert_pem = TRY(to_pem(certificate));
  std::string key_pem = TRY(to_pem(key));
  return CertificateAndKey{std::move(cert_pem), std::move(key_pem)};
}

}  // namespace net

#include "net/tls.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <climits>
#include <memory>

#include "net/tls_error.h"
#include "net/tls_pem.h"

namespace net {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;

constexpr int kMaxErrorReasons = 3;
/// Sessions are bound to this server kind; needed to resume them with client certificates.
constexpr unsigned char kSessionContext[] = "kaito-net";

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using ContextPtr = std::unique_ptr<SSL_CTX, ContextDeleter>;

Error invalid(std::string_view what) { return Error(ErrorCode::Invalid, take_tls_error(what)); }

Status use_chain(SSL_CTX* context, const std::vector<X509Ptr>& chain) {
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1)
    return invalid("using the certificate");
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1)
      return invalid("using the certificate chain");
  }
  return {};
}

Status trust_clients_of(SSL_CTX* context, std::string_view ca_pem) {
  const auto authorities = TRY(read_certificates(ca_pem, "client CA"));
  for (const X509Ptr& ca : authorities) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1 ||
        SSL_CTX_add_client_CA(context, ca.get()) != 1) {
      return invalid("using the client CA");
    }
  }
  // Asked for, not required: who has none may still bring a token.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return {};
}

int select_http_1_1(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr unsigned char kProtocol[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_size, kProtocol, sizeof kProtocol - 1,
                                          offered, offered_size);
  if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

std::string take_tls_error(std::string_view what) {
  std::string text(what);
  for (int i = 0; i < kMaxErrorReasons; ++i) {
    const unsigned long code = ERR_get_error();
    if (code == 0) break;
    const char* reason = ERR_reason_error_string(code);
    text.append(": ").append(reason != nullptr ? reason : "unknown TLS error");
  }
  ERR_clear_error();
  return text;
}

BioPtr memory_bio(std::string_view text) {
  return BioPtr(
      BIO_new_mem_buf(text.data(), static_cast<int>(std::min<std::size_t>(text.size(), INT_MAX))));
}

Result<std::vector<X509Ptr>> read_certificates(std::string_view pem, std::string_view what) {
  std::vector<X509Ptr> out;
  const BioPtr bio = memory_bio(pem);
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    out.emplace_back(certificate);
  const unsigned long code = ERR_peek_last_error();
  const bool clean_end =
      ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (out.empty() || !clean_end) return invalid(fmt::format("{}: not a PEM certificate", what));
  ERR_clear_error();
  return out;
}

Result<KeyPtr> read_private_key(std::string_view pem, std::string_view what) {
  const BioPtr bio = memory_bio(pem);
  // Without a callback OpenSSL would ask for a pass phrase on the terminal.
  const auto no_phrase = [](char*, int, int, void*) { return -1; };
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_phrase, nullptr));
  if (!key) return invalid(fmt::format("{}: not an unencrypted PEM private key", what));
  return key;
}

Status check_client_options(const TlsClientOptions& options) {
  if (!options.ca_pem.empty()) (void)TRY(read_certificates(options.ca_pem, "CA"));
  if (options.cert_pem.empty() != options.key_pem.empty())
    return Error(ErrorCode::Invalid, "a client certificate and its key belong together; give both");
  if (options.cert_pem.empty()) return {};
  const auto chain = TRY(read_certificates(options.cert_pem, "client certificate"));
  const KeyPtr key = TRY(read_private_key(options.key_pem, "client key"));
  if (X509_check_private_key(chain.front().get(), key.get()) != 1)
    return invalid("client key: does not belong to the client certificate");
  return {};
}

Result<std::shared_ptr<const TlsServerConfig>> TlsServerConfig::create(
    const TlsServerOptions& options) {
  const ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context) return Error(ErrorCode::Internal, take_tls_error("setting up TLS"));
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_id_context(raw, kSessionContext, sizeof kSessionContext - 1);
  SSL_CTX_set_alpn_select_cb(raw, select_http_1_1, nullptr);
  const auto chain = TRY(read_certificates(options.cert_pem, "server certificate"));
  const KeyPtr key = TRY(read_private_key(options.key_pem, "server key"));
  TRY(use_chain(raw, chain));
  if (SSL_CTX_use_PrivateKey(raw, key.get()) != 1 || SSL_CTX_check_private_key(raw) != 1)
    return invalid("server key: does not belong to the server certificate");
  if (!options.client_ca_pem.empty()) TRY(trust_clients_of(raw, options.client_ca_pem));
  SSL_CTX_up_ref(raw);
  return std::shared_ptr<const TlsServerConfig>(new TlsServerConfig(raw));
}

TlsServerConfig::~TlsServerConfig() { SSL_CTX_free(context_); }

}  // namespace net

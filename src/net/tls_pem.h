#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/tls.h"

namespace net {

// Owners of OpenSSL objects and readers of PEM texts. Internal to `net`.

struct OpenSslDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using BioPtr = std::unique_ptr<BIO, OpenSslDeleter>;
using X509Ptr = std::unique_ptr<X509, OpenSslDeleter>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslDeleter>;

/// Reads `text`, which must outlive the result.
BioPtr memory_bio(std::string_view text);
/// All certificates of `pem`, one at least. `what` names the text in errors: Invalid.
base::Result<std::vector<X509Ptr>> read_certificates(std::string_view pem, std::string_view what);
base::Result<KeyPtr> read_private_key(std::string_view pem, std::string_view what);
/// Errors: Invalid, naming the text that cannot be used.
base::Status check_client_options(const TlsClientOptions& options);

}  // namespace net

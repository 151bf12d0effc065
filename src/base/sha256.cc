#include "base/sha256.h"

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/encoding.h"

namespace base {

struct Sha256::State {
  EVP_MD_CTX* context = ::EVP_MD_CTX_new();
  ~State() { ::EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  ASSERT(::EVP_DigestInit_ex(state_->context, ::EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) {
  ASSERT(::EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish_hex() {
  std::array<unsigned char, 32> digest{};
  unsigned length = 0;
  ASSERT(::EVP_DigestFinal_ex(state_->context, digest.data(), &length) == 1 && length == 32);
  return to_hex(digest);
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish_hex();
}

}  // namespace base

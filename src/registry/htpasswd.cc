#include "registry/htpasswd.h"

#include <crypt.h>
#include <fmt/format.h>
#include <strings.h>

#include "base/encoding.h"
#include "base/sha256.h"

namespace registry {

using base::Error;
using base::ErrorCode;

namespace {

constexpr std::size_t kMaxUsers = 10'000;
constexpr std::size_t kMaxHeaderBytes = 4096;
constexpr std::size_t kMaxKnown = 1000;
/// Compared where the user is unknown, so that the time tells nothing.
constexpr const char* kNobody = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

bool is_bcrypt(std::string_view hash) {
  return hash.starts_with("$2y$") || hash.starts_with("$2a$") || hash.starts_with("$2b$");
}

bool matches(const std::string& password, const std::string& hash) {
  crypt_data scratch{};
  const char* computed = ::crypt_r(password.c_str(), hash.c_str(), &scratch);
  return computed && hash == computed;
}

}  // namespace

base::Result<std::unique_ptr<Htpasswd>> Htpasswd::parse(std::string_view text) {
  std::map<std::string, std::string> hashes;
  for (int number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0 || !is_bcrypt(line.substr(colon + 1))) {
      return Error(ErrorCode::Invalid,
                   fmt::format("htpasswd line {}: expected USER:HASH with a bcrypt hash, as "
                               "`htpasswd -B` writes it",
                               number));
    }
    hashes.insert_or_assign(std::string(line.substr(0, colon)),
                            std::string(line.substr(colon + 1)));
    if (hashes.size() > kMaxUsers) return Error(ErrorCode::Invalid, "htpasswd: too many users");
  }
  return std::unique_ptr<Htpasswd>(new Htpasswd(std::move(hashes)));
}

bool Htpasswd::allows(std::string_view authorization) const {
  constexpr std::string_view kBasic = "basic ";
  if (authorization.size() > kMaxHeaderBytes || authorization.size() < kBasic.size() ||
      ::strncasecmp(authorization.data(), kBasic.data(), kBasic.size()) != 0)
    return false;
  const auto decoded = base::from_base64(authorization.substr(kBasic.size()));
  if (!decoded) return false;
  const auto colon = decoded->find(':');
  if (colon == std::string::npos || decoded->contains('\0')) return false;
  const std::string digest = base::sha256_hex(*decoded);
  if (known_.with([&](const auto& known) { return known.contains(digest); })) return true;
  const auto user = hashes_.find(decoded->substr(0, colon));
  const bool right =
      matches(decoded->substr(colon + 1), user == hashes_.end() ? kNobody : user->second);
  if (user == hashes_.end() || !right) return false;
  known_.with([&](auto& known) {
    if (known.size() >= kMaxKnown) known.clear();
    known.insert(digest);
  });
  return true;
}

}  // namespace registry

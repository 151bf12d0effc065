#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/result.h"

namespace registry {

/// Users and passwords as `htpasswd -B` writes them, one `USER:HASH` a line; hashes other than
/// bcrypt are refused, as docker-registry does. Safe to use from many threads.
class Htpasswd {
 public:
  /// Errors: Invalid, naming the line.
  static base::Result<std::unique_ptr<Htpasswd>> parse(std::string_view text);

  /// Whether an `Authorization` header names a user with the right password. A password that was
  /// right once is not put through bcrypt again.
  bool allows(std::string_view authorization) const;

 private:
  explicit Htpasswd(std::map<std::string, std::string> hashes) : hashes_(std::move(hashes)) {}

  const std::map<std::string, std::string> hashes_;
  mutable base::Guarded<std::set<std::string>> known_;  ///< Digests of headers that were right.
};

}  // namespace registry

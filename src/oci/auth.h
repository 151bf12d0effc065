#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

/// Credentials and challenges: pure, no I/O.
namespace oci {

struct Credentials {
  std::string user;
  std::string password;
  std::string identity_token;  ///< An OAuth2 refresh token; takes the place of user and password.
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

/// The `auths` of Docker's config.json or of a `kubernetes.io/dockerconfigjson` Secret. Keys name a
/// registry or a path within it (`ghcr.io/team`); the longest that covers a repository decides.
class DockerConfig {
 public:
  DockerConfig() = default;
  /// Errors: Invalid, naming the key that is wrong (never its secret).
  static base::Result<DockerConfig> parse(std::string_view json_text);

  void add(std::string key, Credentials credentials);
  /// Adds what `other` knows; for a key that both know, `other` decides.
  void merge(const DockerConfig& other);
  /// Nothing when no key covers the repository. Errors: Invalid when only a credential helper (an
  /// external program, never run here) knows the registry; the message says what to do.
  base::Result<std::optional<Credentials>> find(std::string_view domain,
                                                std::string_view repository) const;
  /// Whether a credential helper may know what `find` does not.
  bool has_default_helper() const { return !default_helper_.empty(); }
  bool empty() const { return auths_.empty() && helpers_.empty() && default_helper_.empty(); }

 private:
  std::map<std::string, Credentials> auths_;
  std::map<std::string, std::string> helpers_;
  std::string default_helper_;
};

/// One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1).
struct Challenge {
  std::string scheme;                             ///< Lower case: `bearer`, `basic`.
  std::map<std::string, std::string> parameters;  ///< Names in lower case.
  std::string parameter(const std::string& name) const;
};

/// All challenges of one header value; malformed rest is dropped.
std::vector<Challenge> parse_challenges(std::string_view header);

}  // namespace oci

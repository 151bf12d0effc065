#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/digest.h"

namespace oci {

/// The name of an image by Docker's rules: `[domain/]repository[:tag][@digest]`. Without a domain
/// it is docker.io's (and `library/` is put before a bare name); without tag and digest the tag is
/// `latest`. With both, the digest decides and the tag is a remark.
struct Reference {
  std::string domain;      ///< `docker.io`, `127.0.0.1:5001`
  std::string repository;  ///< `library/busybox`
  std::string tag;         ///< Empty when only a digest was given.
  std::optional<Digest> digest;

  /// Errors: Invalid, naming the part that is wrong.
  static base::Result<Reference> parse(std::string_view text);

  /// The full form, which `parse` takes back to an equal value.
  std::string text() const;
  /// What a registry is asked for: the digest, or else the tag.
  std::string target() const { return digest ? digest->text() : tag; }
  /// Host and port that serve the registry API; differs from the domain for docker.io only.
  std::string api_host() const;
  Reference with_digest(Digest wanted) const;
  friend bool operator==(const Reference&, const Reference&) = default;
};

/// `a/b_c/d.e`: lower-case components of the distribution specification.
bool is_repository_name(std::string_view text);
bool is_tag(std::string_view text);
/// Whether `host` (with or without port) is this machine: localhost, 127.0.0.0/8, [::1].
bool is_loopback_host(std::string_view host);

}  // namespace oci

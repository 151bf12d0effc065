#include "oci/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;

namespace {

constexpr std::string_view kDockerDomain = "docker.io";
constexpr std::string_view kDockerIndex = "index.docker.io";
constexpr std::string_view kDockerApi = "registry-1.docker.io";

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

/// `[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*`
bool is_repository_component(std::string_view text) {
  std::size_t i = 0;
  const auto take_alnum = [&] {
    const std::size_t start = i;
    while (i < text.size() && is_lower_alnum(text[i])) ++i;
    return i > start;
  };
  if (!take_alnum()) return false;
  while (i < text.size()) {
    const std::size_t start = i;
    if (text[i] == '.') {
      ++i;
    } else if (text[i] == '_') {
      ++i;
      if (i < text.size() && text[i] == '_') ++i;
    } else {
      while (i < text.size() && text[i] == '-') ++i;
    }
    if (i == start || !take_alnum()) return false;
  }
  return true;
}

bool is_host_label(std::string_view text) {
  if (text.empty() || text.front() == '-' || text.back() == '-') return false;
  return std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || !std::ranges::all_of(text, is_digit)) return false;
  unsigned port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  return port > 0 && port <= 65535;
}

bool is_ipv6_text(std::string_view text) {
  return text.size() >= 2 && text.contains(':') && std::ranges::all_of(text, [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
                  c == '.';
         });
}

bool is_domain(std::string_view text) {
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || !is_ipv6_text(text.substr(1, close - 1))) return false;
    const auto rest = text.substr(close + 1);
    return rest.empty() || (rest.starts_with(':') && is_port(rest.substr(1)));
  }
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    if (!is_port(text.substr(colon + 1))) return false;
    text = text.substr(0, colon);
  }
  for (;;) {
    const auto dot = text.find('.');
    if (!is_host_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

/// Docker's rule: the first component is a domain when it could not be a plain name.
bool looks_like_domain(std::string_view component) {
  return component == "localhost" || std::ranges::any_of(component, [](char c) {
           return c == '.' || c == ':' || c == '[' || is_upper(c);
         });
}

bool is_64_hex(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

Error invalid(std::string_view text, std::string_view why) {
  return Error(ErrorCode::Invalid,
               fmt::format("image reference \"{}\": {}", text.substr(0, 300), why));
}

}  // namespace

bool is_repository_name(std::string_view text) {
  if (text.size() > kMaxReferenceLength) return false;
  for (;;) {
    const auto slash = text.find('/');
    if (!is_repository_component(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > kMaxTagLength) return false;
  if (!is_alnum(text[0]) && text[0] != '_') return false;
  return std::ranges::all_of(
      text, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_loopback_host(std::string_view host) {
  if (host.starts_with("[::1]")) return true;
  host = host.substr(0, host.find(':'));
  if (host == "localhost") return true;
  if (!host.starts_with("127.")) return false;
  return std::ranges::all_of(host, [](char c) { return is_digit(c) || c == '.'; }) &&
         std::ranges::count(host, '.') == 3;
}

base::Result<Reference> Reference::parse(std::string_view text) {
  std::string_view rest = text;
  Reference reference;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    auto digest = Digest::parse(rest.substr(at + 1));
    if (!digest) return invalid(text, digest.error().message());
    reference.digest = *std::move(digest);
    rest = rest.substr(0, at);
  }
  // A colon after the last slash begins the tag; one before it belongs to the domain's port.
  const auto colon = rest.rfind(':');
  const auto last_slash = rest.rfind('/');
  if (colon != std::string_view::npos &&
      (last_slash == std::string_view::npos || colon > last_slash)) {
    reference.tag = rest.substr(colon + 1);
    if (!is_tag(reference.tag)) {
      return invalid(text,
                     "the tag must be 1 to 128 letters, digits, '_', '.' or '-', and not begin "
                     "with '.' or '-'");
    }
    rest = rest.substr(0, colon);
  }
  if (rest.empty()) return invalid(text, "the repository name is missing");
  if (is_64_hex(rest)) return invalid(text, "64 hex digits are an image id, not a repository name");

  const auto slash = rest.find('/');
  if (slash != std::string_view::npos && looks_like_domain(rest.substr(0, slash))) {
    reference.domain = rest.substr(0, slash);
    reference.repository = rest.substr(slash + 1);
    if (!is_domain(reference.domain))
      return invalid(text, "the registry must be HOST or HOST:PORT");
    if (reference.domain == kDockerIndex) reference.domain = kDockerDomain;
  } else {
    reference.domain = kDockerDomain;
    reference.repository = rest;
  }
  if (reference.domain == kDockerDomain && !reference.repository.contains('/')) {
    reference.repository.insert(0, "library/");
  }
  if (std::ranges::any_of(reference.repository, is_upper)) {
    return invalid(text, "the repository name must be lower case");
  }
  if (!is_repository_name(reference.repository)) {
    return invalid(text,
                   "the repository name may hold lower-case letters and digits, separated by '.', "
                   "'_', '__', '-' or '/'");
  }
  if (reference.domain.size() + 1 + reference.repository.size() > kMaxReferenceLength) {
    return invalid(text, fmt::format("the name is longer than {} characters", kMaxReferenceLength));
  }
  if (reference.tag.empty() && !reference.digest) reference.tag = "latest";
  return reference;
}

std::string Reference::text() const {
  std::string text = domain + "/" + repository;
  if (!tag.empty()) text += ":" + tag;
  if (digest) text += "@" + digest->text();
  return text;
}

std::string Reference::api_host() const {
  return domain == kDockerDomain ? std::string(kDockerApi) : domain;
}

Reference Reference::with_digest(Digest wanted) const {
  Reference copy = *this;
  copy.digest = std::move(wanted);
  return copy;
}

}  // namespace oci

#include "oci/auth.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/encoding.h"
#include "json/value.h"
#include "oci/limits.h"

namespace oci {

using base::Error;
using base::ErrorCode;

namespace {

constexpr std::size_t kMaxConfigFileBytes = 1 << 20;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// `https://index.docker.io/v1/` -> `docker.io`, `http://h:5000/v2/team/` -> `h:5000/team`.
std::string normalize_key(std::string_view key) {
  if (const auto scheme = key.find("://"); scheme != std::string_view::npos)
    key.remove_prefix(scheme + 3);
  while (key.ends_with('/')) key.remove_suffix(1);
  const auto slash = key.find('/');
  std::string host = lower(key.substr(0, slash));
  std::string_view path = slash == std::string_view::npos ? std::string_view() : key.substr(slash);
  for (const std::string_view version : {"/v1", "/v2"}) {
    if (path == version || path.starts_with(std::string(version) + "/"))
      path.remove_prefix(version.size());
  }
  if (host == "index.docker.io" || host == "registry-1.docker.io") host = "docker.io";
  return host + std::string(path);
}

base::Result<Credentials> read_auth(std::string_view key, const json::Value& entry) {
  const auto wrong = [&](std::string_view why) {
    return Error(ErrorCode::Invalid, fmt::format("docker config: auths[\"{}\"]: {}", key, why));
  };
  if (!entry.is_object()) return wrong("expected an object");
  Credentials credentials;
  credentials.user = json::find_string(entry, "username");
  credentials.password = json::find_string(entry, "password");
  credentials.identity_token = json::find_string(entry, "identitytoken");
  if (const auto auth = json::find_string(entry, "auth"); !auth.empty()) {
    auto decoded = base::from_base64(auth);
    if (!decoded) return wrong("auth is not base64");
    const auto colon = decoded->find(':');
    if (colon == std::string::npos) return wrong("auth does not hold user:password");
    credentials.user = decoded->substr(0, colon);
    credentials.password = decoded->substr(colon + 1);
  }
  return credentials;
}

}  // namespace

base::Result<DockerConfig> DockerConfig::parse(std::string_view json_text) {
  const json::Value root = TRY(base::with_context(
      json::parse(json_text, {.max_depth = 16, .max_bytes = kMaxConfigFileBytes}),
      "docker config"));
  if (!root.is_object()) return Error(ErrorCode::Invalid, "docker config: expected an object");
  DockerConfig config;
  if (const json::Value* auths = root.get_object().if_contains("auths")) {
    if (!auths->is_object())
      return Error(ErrorCode::Invalid, "docker config: auths: expected an object");
    for (const auto& member : auths->get_object()) {
      const std::string key(member.key().data(), member.key().size());
      Credentials credentials = TRY(read_auth(key, member.value()));
      // An empty entry is what `docker login` leaves when a helper holds the secret.
      if (!(credentials == Credentials{})) config.add(key, std::move(credentials));
    }
  }
  if (const json::Object* helpers = json::find_object(root, "credHelpers")) {
    for (const auto& member : *helpers) {
      if (!member.value().is_string()) continue;
      config.helpers_[normalize_key(std::string_view(member.key().data(), member.key().size()))] =
          json::to_string(member.value().get_string());
    }
  }
  config.default_helper_ = json::find_string(root, "credsStore");
  return config;
}

void DockerConfig::add(std::string key, Credentials credentials) {
  auths_[normalize_key(key)] = std::move(credentials);
}

void DockerConfig::merge(const DockerConfig& other) {
  for (const auto& [key, credentials] : other.auths_) auths_[key] = credentials;
  for (const auto& [key, helper] : other.helpers_) helpers_[key] = helper;
  if (!other.default_helper_.empty()) default_helper_ = other.default_helper_;
}

base::Result<std::optional<Credentials>> DockerConfig::find(std::string_view domain,
                                                            std::string_view repository) const {
  std::string key = normalize_key(domain) + "/" + std::string(repository);
  for (;;) {
    if (const auto found = auths_.find(key); found != auths_.end())
      return std::optional(found->second);
    const auto slash = key.rfind('/');
    if (slash == std::string::npos) break;
    key.resize(slash);
  }
  const auto helper = helpers_.find(normalize_key(domain));
  // credsStore alone says nothing about this registry: it may hold no secret for it.
  if (helper != helpers_.end()) {
    return Error(
        ErrorCode::Invalid,
        fmt::format(
            "the credentials of {} are kept by docker-credential-{}, which is not run here; "
            "put user and password under auths[\"{}\"] of the docker config",
            domain, helper->second, domain));
  }
  return std::optional<Credentials>();
}

std::string Challenge::parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

namespace {

class ChallengeParser {
 public:
  explicit ChallengeParser(std::string_view text) : text_(text) {}

  std::vector<Challenge> parse() {
    std::vector<Challenge> challenges;
    for (;;) {
      skip(" \t,");
      const std::string_view word = token();
      if (word.empty()) return challenges;
      skip(" \t");
      if (peek() == '=' && !challenges.empty()) {
        ++at_;
        skip(" \t");
        std::optional<std::string> value = this->value();
        if (!value) return challenges;
        challenges.back().parameters.emplace(lower(word), *std::move(value));
      } else {
        challenges.push_back({lower(word), {}});
      }
    }
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip(std::string_view characters) {
    while (at_ < text_.size() && characters.contains(text_[at_])) ++at_;
  }
  std::string_view token() {
    constexpr std::string_view kExtra = "!#$%&'*+-.^_`|~/:?";
    const std::size_t start = at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (!alnum && !kExtra.contains(c)) break;
      ++at_;
    }
    return text_.substr(start, at_ - start);
  }
  std::optional<std::string> value() {
    if (peek() != '"') return std::string(token());
    ++at_;
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_++];
    }
    if (at_ >= text_.size()) return std::nullopt;
    ++at_;
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
  return ChallengeParser(header).parse();
}

}  // namespace oci

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstring>

#include "api/core/volume.h"
#include "api/workspace/validate_parts.h"

namespace api::validation {
namespace {

constexpr std::size_t kMaxImageBytes = 512;
constexpr std::size_t kMaxTagBytes = 128;
constexpr std::size_t kSha256HexBytes = 64;

/// Names under which clouds hand out credentials. Source: upstream v0.12.
constexpr std::array<std::string_view, 4> kForbiddenHosts = {
    "localhost", "metadata.google.internal", "metadata.google", "instance-data.ec2.internal"};

bool is_private(std::uint32_t v4) {
  const auto within = [v4](std::uint32_t network, int bits) {
    return (v4 >> (32 - bits)) == (network >> (32 - bits));
  };
  return within(0x00000000, 8) || within(0x0A000000, 8) || within(0x7F000000, 8) ||
         within(0xA9FE0000, 16) || within(0xAC100000, 12) || within(0xC0A80000, 16) ||
         within(0xE0000000, 24);
}

bool is_private(const in6_addr& v6) {
  const std::uint8_t* b = v6.s6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6) || IN6_IS_ADDR_V4COMPAT(&v6)) {
    std::uint32_t v4 = 0;
    std::memcpy(&v4, b + 12, sizeof v4);
    return is_private(ntohl(v4));
  }
  return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) ||
         (b[0] & 0xFE) == 0xFC || (b[0] == 0xFF && (b[1] & 0x0F) == 2);
}

/// Whether `host` (lower case, no brackets) names this machine, a private network or a cloud's
/// metadata service. Names are not resolved: admission asks no network.
bool is_private_host(std::string host) {
  host = host.substr(0, host.find('%'));
  while (host.ends_with('.')) host.pop_back();
  if (std::ranges::find(kForbiddenHosts, host) != kForbiddenHosts.end()) return true;
  if (host.ends_with(".localhost")) return true;
  // inet_aton also knows 127.1 and 0x7f000001, which clients accept too.
  in_addr v4{};
  if (::inet_aton(host.c_str(), &v4) != 0) return is_private(ntohl(v4.s_addr));
  in6_addr v6{};
  return ::inet_pton(AF_INET6, host.c_str(), &v6) == 1 && is_private(v6);
}

/// The host of `scheme://[user@]host[:port][/...]` in lower case; "" when there is none.
std::string host_of(std::string_view after_scheme) {
  std::string_view authority = after_scheme.substr(0, after_scheme.find_first_of("/?#\\"));
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
    authority.remove_prefix(at + 1);
  }
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    return end == std::string_view::npos ? "" : lower(std::string(authority.substr(1, end - 1)));
  }
  return lower(std::string(authority.substr(0, authority.find(':'))));
}

bool is_word(std::string_view text, std::string_view also) {
  return !text.empty() && std::ranges::all_of(text, [also](unsigned char c) {
    return std::isalnum(c) || also.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool is_image_reference(std::string_view image) {
  if (image.size() > kMaxImageBytes) return false;
  if (const auto at = image.find('@'); at != std::string_view::npos) {
    const std::string_view digest = image.substr(at + 1);
    constexpr std::string_view kAlgorithm = "sha256:";
    if (!digest.starts_with(kAlgorithm) || digest.size() != kAlgorithm.size() + kSha256HexBytes ||
        digest.substr(kAlgorithm.size()).find_first_not_of("0123456789abcdef") !=
            std::string_view::npos) {
      return false;
    }
    image = image.substr(0, at);
  }
  const auto slash = image.rfind('/');
  const auto colon = image.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    const std::string_view tag = image.substr(colon + 1);
    if (tag.size() > kMaxTagBytes || !is_word(tag, "._-") || tag.starts_with('.') ||
        tag.starts_with('-')) {
      return false;
    }
    image = image.substr(0, colon);
  }
  for (bool first = true;; first = false) {
    const auto end = image.find('/');
    const bool may_be_host = first && end != std::string_view::npos;
    if (!is_word(image.substr(0, end), may_be_host ? "._-:[]" : "._-")) return false;
    if (end == std::string_view::npos) return true;
    image.remove_prefix(end + 1);
  }
}

void check_input(const DataSource& input, const ValidationDeps& deps, Errors& errors) {
  const int given =
      (input.urls.empty() ? 0 : 1) + (input.volume_source ? 1 : 0) + (input.image.empty() ? 0 : 1);
  if (given != 1) {
    add(errors, "tuning.input",
        fmt::format("needs exactly one of urls, volumeSource and image; {} are set", given));
  }
  for (std::size_t i = 0; i < input.urls.size(); ++i) {
    check_url(input.urls[i], fmt::format("tuning.input.urls[{}]", i), deps, errors);
  }
  if (input.volume_source) check_volume(*input.volume_source, "tuning.input.volumeSource", errors);
  if (!input.image.empty()) check_image(input.image, "tuning.input.image", errors);
}

void check_output(const DataDestination& output, Errors& errors) {
  if (output.volume_source.has_value() == !output.image.empty()) {
    add(errors, "tuning.output", "needs exactly one of volumeSource and image");
  }
  if (output.volume_source) {
    check_volume(*output.volume_source, "tuning.output.volumeSource", errors);
  }
  if (output.image.empty()) return;
  check_image(output.image, "tuning.output.image", errors);
  if (output.image_push_secret.empty()) {
    add(errors, "tuning.output.imagePushSecret",
        "is required for an image: a Secret of type kubernetes.io/dockerconfigjson");
  }
}

}  // namespace

void check_url(const std::string& url, const std::string& path, const ValidationDeps& deps,
               Errors& errors) {
  const auto colon = url.find("://");
  const std::string scheme = colon == std::string::npos ? "" : lower(url.substr(0, colon));
  if (scheme != "http" && scheme != "https") {
    return add(errors, path, fmt::format("'{}' does not begin with https:// or http://", url));
  }
  if (std::ranges::any_of(url, [](unsigned char c) { return c <= ' ' || c == 0x7F; })) {
    return add(errors, path, "holds a blank or control character; write it as %20");
  }
  const std::string host = host_of(std::string_view(url).substr(colon + 3));
  if (host.empty()) return add(errors, path, fmt::format("'{}' has no host", url));
  if (!deps.allow_private_addresses && is_private_host(host)) {
    add(errors, path,
        fmt::format("'{}' is this machine, a private network or a metadata service; use a "
                    "public address, a volumeSource or an image",
                    host));
  }
}

void check_image(const std::string& image, const std::string& path, Errors& errors) {
  if (!is_image_reference(image)) {
    add(errors, path,
        fmt::format("'{}' is not an image reference such as registry.example/name:tag", image));
  }
}

void check_volume(const json::Object& volume, const std::string& path, Errors& errors) {
  const auto decoded = json::decode_strict<VolumeSource>(volume);
  for (const json::FieldError& error : decoded.errors) {
    add(errors, path + error.path, error.message);
  }
  const auto given =
      std::ranges::count_if(volume, [](const auto& member) { return !member.value().is_null(); });
  if (decoded.errors.empty() && given != 1) {
    add(errors, path,
        fmt::format("needs exactly one kind of volume, such as persistentVolumeClaim; {} are set",
                    given));
  }
}

void check_tuning(const Workspace& workspace, const ValidationDeps& deps, Errors& errors) {
  const TuningSpec& tuning = *workspace.tuning;
  const std::string method = lower(tuning.method);
  if (method != "lora" && method != "qlora") {
    add(errors, "tuning.method", fmt::format("'{}' is not lora or qlora", tuning.method));
  }
  if (!tuning.preset) {
    add(errors, "tuning.preset", "is required: the model to tune");
  } else {
    check_preset(*tuning.preset, "tuning.preset", deps, errors);
  }
  if (workspace.resource.count.value_or(1) > 1) {
    add(errors, "resource.count", "must be 1 for tuning");
  }
  if (tuning.input) {
    check_input(*tuning.input, deps, errors);
  } else {
    add(errors, "tuning.input", "is required: the training data");
  }
  if (tuning.output) {
    check_output(*tuning.output, errors);
  } else {
    add(errors, "tuning.output", "is required: where the adapter goes");
  }
}

}  // namespace api::validation

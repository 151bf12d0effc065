#include "registry/route.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace registry {

namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return std::nullopt;
  return value;
}

/// Splits `PREFIX/SEGMENT`; the prefix is empty when there is no slash.
std::string_view take_last(std::string_view& path) {
  const auto slash = path.rfind('/');
  const auto segment = slash == std::string_view::npos ? path : path.substr(slash + 1);
  path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  return segment;
}

}  // namespace

Route parse_route(std::string_view path) {
  using Kind = Route::Kind;
  constexpr std::string_view kRoot = "/v2/";
  if (path == "/v2" || path == kRoot) return {Kind::Base, {}, {}};
  if (!path.starts_with(kRoot)) return {};
  path.remove_prefix(kRoot.size());
  if (path == "_catalog") return {Kind::Catalog, {}, {}};
  std::string_view rest = path;
  const auto last = take_last(rest);
  const auto before = take_last(rest);
  const auto route = [&](Kind kind, std::string_view target) {
    return Route{kind, std::string(rest), std::string(target)};
  };
  if (before == "tags" && last == "list") return route(Kind::Tags, {});
  if (before == "manifests") return route(Kind::Manifest, last);
  if (before == "referrers") return route(Kind::Referrers, last);
  if (before == "blobs" && last == "uploads") return route(Kind::Uploads, {});
  if (before == "blobs") return route(Kind::Blob, last);
  if (before == "uploads" && take_last(rest) == "blobs")
    return route(last.empty() ? Kind::Uploads : Kind::Upload, last);
  return {};
}

std::variant<RangeIgnored, ByteRange, RangeNotSatisfiable> parse_range(
    std::optional<std::string_view> header, std::uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  if (!header || !header->starts_with(kUnit) || header->contains(',')) return RangeIgnored{};
  const std::string_view spec = header->substr(kUnit.size());
  const auto dash = spec.find('-');
  if (dash == std::string_view::npos) return RangeIgnored{};
  const auto first = number(spec.substr(0, dash));
  const auto last = number(spec.substr(dash + 1));
  if (dash == 0) {
    if (!last) return RangeIgnored{};
    if (*last == 0 || size == 0) return RangeNotSatisfiable{};
    const std::uint64_t length = std::min(*last, size);
    return ByteRange{size - length, length};
  }
  if (!first || (!last && dash + 1 != spec.size()) || (last && *last < *first))
    return RangeIgnored{};
  if (*first >= size) return RangeNotSatisfiable{};
  const std::uint64_t end = last ? std::min(*last, size - 1) : size - 1;
  return ByteRange{*first, end - *first + 1};
}

std::optional<ByteRange> parse_chunk_range(std::string_view header) {
  if (header.starts_with("bytes ")) header.remove_prefix(6);
  header = header.substr(0, header.find('/'));
  const auto dash = header.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = number(header.substr(0, dash));
  const auto last = number(header.substr(dash + 1));
  if (!first || !last || *last < *first || *last - *first == UINT64_MAX) return std::nullopt;
  return ByteRange{*first, *last - *first + 1};
}

}  // namespace registry

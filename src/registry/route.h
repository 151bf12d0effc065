#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace registry {

/// What a path of the API names.
struct Route {
  enum class Kind { Unknown, Base, Catalog, Tags, Manifest, Blob, Uploads, Upload, Referrers };
  Kind kind = Kind::Unknown;
  std::string repository;
  std::string target;  ///< Tag or digest, or the id of an upload.
};

/// Repository names may hold any word, so the last segments decide. The grammar of the parts is not
/// checked here.
Route parse_route(std::string_view path);

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
struct RangeIgnored {};         ///< No range, several, or none that is understood: send everything.
struct RangeNotSatisfiable {};  ///< 416
/// The Range header of a request for `size` bytes (RFC 9110, 14.1.2).
std::variant<RangeIgnored, ByteRange, RangeNotSatisfiable> parse_range(
    std::optional<std::string_view> header, std::uint64_t size);

/// `10-19` of an upload's chunk: first and last byte. Nothing when malformed.
std::optional<ByteRange> parse_chunk_range(std::string_view header);

}  // namespace registry

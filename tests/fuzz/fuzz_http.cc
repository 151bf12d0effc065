#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/encoding.h"
#include "net/http.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_target(std::string_view text) {
  const auto target = net::HttpTarget::parse(text);
  if (!target) return;
  require(text.starts_with('/') && target->path.starts_with('/'));
  require(target->path.find('\0') == std::string::npos);
  // Written out again and taken apart once more, it is the same.
  std::string again = "/" + base::url_encode(target->path.substr(1));
  char separator = '?';
  for (const auto& [key, value] : target->query) {
    again += separator + base::url_encode(key) + "=" + base::url_encode(value);
    separator = '&';
    require(target->param(key).has_value());
  }
  const auto second = net::HttpTarget::parse(again);
  require(second && second->path == target->path && second->query == target->query);
}

void check_media_type(std::string_view text) {
  const std::string type = net::media_type(text);
  require(type.size() <= text.size() && type.find(';') == std::string::npos);
  require(net::media_type(type) == type);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_target(text);
  check_target("/" + std::string(text));
  check_media_type(text);
  return 0;
}

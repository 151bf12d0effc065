#include "kube/rest/url.h"

#include <fmt/format.h>

#include "base/encoding.h"

namespace kube {
namespace {

bool is_path_segment(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of("/%") == std::string_view::npos;
}

}  // namespace

std::string collection_path(const api::ResourceType& type, std::string_view ns) {
  std::string path = type.group.empty() ? "/api/" : fmt::format("/apis/{}/", type.group);
  path += type.version;
  if (type.namespaced && !ns.empty()) path.append("/namespaces/").append(base::url_encode(ns));
  path.append("/").append(type.plural);
  return path;
}

base::Result<std::string> object_path(const api::ResourceType& type, const api::ObjectKey& key,
                                      std::string_view subresource) {
  if (!is_path_segment(key.name)) {
    return base::Error(base::ErrorCode::Invalid,
                       fmt::format("'{}' is not a name of a {}", key.name, type.kind));
  }
  if (type.namespaced && !is_path_segment(key.ns)) {
    return base::Error(base::ErrorCode::Invalid, fmt::format("{} '{}': '{}' is not a namespace",
                                                             type.kind, key.name, key.ns));
  }
  std::string path = collection_path(type, key.ns);
  path.append("/").append(base::url_encode(key.name));
  if (!subresource.empty()) path.append("/").append(subresource);
  return path;
}

void add_query(std::string& path, std::string_view key, std::string_view value) {
  path.push_back(path.find('?') == std::string::npos ? '?' : '&');
  path.append(key).append("=").append(base::url_encode(value));
}

}  // namespace kube

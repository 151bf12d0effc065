#include "kube/cache/written_versions.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace kube {
namespace {

std::optional<std::uint64_t> number(std::string_view version) {
  std::uint64_t value = 0;
  const auto [end, failure] =
      std::from_chars(version.data(), version.data() + version.size(), value);
  if (failure != std::errc() || end != version.data() + version.size()) return std::nullopt;
  return value;
}

}  // namespace

void WrittenVersions::note(const api::ResourceType& type, const json::Value& object) {
  note(type,
       {std::string(json::find_string(object, "metadata.namespace")),
        std::string(json::find_string(object, "metadata.name"))},
       json::find_string(object, "metadata.resourceVersion"));
}

void WrittenVersions::note(const api::ResourceType& type, const api::ObjectKey& key,
                           std::string_view version) {
  const auto value = number(version);
  if (!value) return;
  written_.with([&](auto& written) {
    std::uint64_t& last = written[{std::string(type.plural), key}];
    last = std::max(last, *value);
  });
}

bool WrittenVersions::is_behind(const api::ResourceType& type, const api::ObjectMeta& copy) {
  const auto value = number(copy.resource_version);
  return written_.with([&](auto& written) {
    const auto found = written.find({std::string(type.plural), copy.key()});
    if (found == written.end()) return false;
    if (value && *value < found->second) return true;
    written.erase(found);
    return false;
  });
}

void WrittenVersions::forget(const api::ResourceType& type, const api::ObjectKey& key) {
  written_.with([&](auto& written) { written.erase({std::string(type.plural), key}); });
}

}  // namespace kube

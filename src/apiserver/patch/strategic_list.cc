#include "apiserver/patch/strategic_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_map>

namespace apiserver {
namespace {

using Positions = std::unordered_map<std::string, std::size_t>;
constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

Positions positions_of(const std::vector<std::string>& identities) {
  Positions positions;
  for (std::size_t i = 0; i < identities.size(); ++i) positions.try_emplace(identities[i], i);
  return positions;
}

std::size_t position(const Positions& positions, const std::string& identity) {
  const auto found = positions.find(identity);
  return found == positions.end() ? kNowhere : found->second;
}

struct Element {
  json::Value value;
  std::size_t wanted = kNowhere;
  std::size_t original = kNowhere;
};

}  // namespace

base::Result<std::string> element_identity(const json::Value& element, std::string_view merge_key,
                                           std::string_view path) {
  if (merge_key.empty()) return json::dump_canonical(element);
  const json::Object* object = element.if_object();
  const json::Value* key = object ? object->if_contains(merge_key) : nullptr;
  if (key) return json::dump_canonical(*key);
  return base::Error(
      base::ErrorCode::Invalid,
      fmt::format("{}: map does not contain declared merge key: {}", path, merge_key));
}

base::Result<std::vector<std::string>> element_identities(const json::Array& list,
                                                          std::string_view merge_key,
                                                          std::string_view path) {
  std::vector<std::string> identities;
  identities.reserve(list.size());
  for (const json::Value& element : list) {
    identities.push_back(TRY(element_identity(element, merge_key, path)));
  }
  return identities;
}

base::Result<json::Array> order_elements(json::Array merged, std::string_view merge_key,
                                         const std::vector<std::string>& wanted,
                                         const std::vector<std::string>& original,
                                         std::string_view path) {
  const Positions wanted_at = positions_of(wanted);
  const Positions original_at = positions_of(original);
  std::vector<Element> listed;
  std::vector<Element> others;
  for (json::Value& value : merged) {
    const std::string identity = TRY(element_identity(value, merge_key, path));
    Element element{.wanted = position(wanted_at, identity),
                    .original = position(original_at, identity)};
    element.value = std::move(value);
    (element.wanted == kNowhere ? others : listed).push_back(std::move(element));
  }
  std::stable_sort(listed.begin(), listed.end(),
                   [](const Element& a, const Element& b) { return a.wanted < b.wanted; });
  std::stable_sort(others.begin(), others.end(),
                   [](const Element& a, const Element& b) { return a.original < b.original; });
  json::Array result;
  result.reserve(merged.size());
  auto next = listed.begin();
  for (Element& other : others) {
    // An element nobody asked for comes first only where the original had it first.
    while (next != listed.end() && (next->original == kNowhere || other.original == kNowhere ||
                                    next->original < other.original)) {
      result.push_back(std::move((next++)->value));
    }
    result.push_back(std::move(other.value));
  }
  for (; next != listed.end(); ++next) result.push_back(std::move(next->value));
  return result;
}

}  // namespace apiserver

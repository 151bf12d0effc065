#include "apiserver/resources/registry.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "base/assert.h"

namespace apiserver {
namespace {

/// (stability, major, minor): greater is preferred; stability 0 means not a Kubernetes version.
std::tuple<int, int, int> version_rank(std::string_view name) {
  const std::tuple<int, int, int> unknown{0, 0, 0};
  const auto number = [&](int& out) {
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), out);
    if (error != std::errc() || out < 1) return false;
    name.remove_prefix(static_cast<std::size_t>(end - name.data()));
    return true;
  };
  int major = 0;
  int minor = 0;
  if (!name.starts_with('v')) return unknown;
  name.remove_prefix(1);
  if (!number(major)) return unknown;
  if (name.empty()) return {3, major, 0};
  const int stability = name.starts_with("beta") ? 2 : name.starts_with("alpha") ? 1 : 0;
  if (stability == 0) return unknown;
  name.remove_prefix(stability == 2 ? 4 : 5);
  if (!number(minor) || !name.empty()) return unknown;
  return {stability, major, minor};
}

}  // namespace

bool version_before(std::string_view a, std::string_view b) {
  const auto left = version_rank(a);
  const auto right = version_rank(b);
  return left != right ? left > right : a < b;
}

const VersionDefinition* ResourceDefinition::version(std::string_view name) const {
  for (const VersionDefinition& candidate : versions)
    if (candidate.name == name && candidate.served) return &candidate;
  return nullptr;
}

const VersionDefinition& ResourceDefinition::storage_version() const {
  for (const VersionDefinition& candidate : versions)
    if (candidate.storage) return candidate;
  ASSERT(!versions.empty());
  return versions.front();
}

DefinitionRef Catalog::find(std::string_view group, std::string_view plural) const {
  for (const auto& definition : definitions)
    if (definition->plural == plural && definition->group == group) return definition;
  return nullptr;
}

DefinitionRef Catalog::find_kind(std::string_view group, std::string_view kind) const {
  for (const auto& definition : definitions)
    if (definition->kind == kind && definition->group == group) return definition;
  return nullptr;
}

bool Catalog::has_group(std::string_view group) const { return !versions(group).empty(); }

bool Catalog::has_version(std::string_view group, std::string_view version) const {
  const auto all = versions(group);
  return std::find(all.begin(), all.end(), version) != all.end();
}

std::vector<std::string> Catalog::groups() const {
  std::vector<std::string> names;
  for (const auto& definition : definitions)
    if (std::find(names.begin(), names.end(), definition->group) == names.end())
      names.push_back(definition->group);
  return names;
}

std::vector<std::string> Catalog::versions(std::string_view group) const {
  std::vector<std::string> names;
  for (const auto& definition : definitions) {
    if (definition->group != group) continue;
    for (const auto& version : definition->versions)
      if (version.served && std::find(names.begin(), names.end(), version.name) == names.end())
        names.push_back(version.name);
  }
  std::sort(names.begin(), names.end(), version_before);
  return names;
}

void Registry::put(DefinitionRef definition) {
  catalog_.with([&](CatalogRef& current) {
    auto next = std::make_shared<Catalog>(*current);
    const auto same = std::find_if(
        next->definitions.begin(), next->definitions.end(), [&](const DefinitionRef& other) {
          return other->group == definition->group && other->plural == definition->plural;
        });
    if (same != next->definitions.end()) {
      *same = std::move(definition);
    } else {
      next->definitions.push_back(std::move(definition));
    }
    current = std::move(next);
  });
}

void Registry::remove(std::string_view group, std::string_view plural) {
  catalog_.with([&](CatalogRef& current) {
    auto next = std::make_shared<Catalog>(*current);
    std::erase_if(next->definitions, [&](const DefinitionRef& other) {
      return other->group == group && other->plural == plural;
    });
    current = std::move(next);
  });
}

}  // namespace apiserver

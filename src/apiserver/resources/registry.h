#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "apiserver/resources/definition.h"
#include "base/guarded.h"

namespace apiserver {

/// All served types at one moment. Immutable.
struct Catalog {
  std::vector<DefinitionRef> definitions;

  /// None when absent.
  DefinitionRef find(std::string_view group, std::string_view plural) const;
  DefinitionRef find_kind(std::string_view group, std::string_view kind) const;
  bool has_group(std::string_view group) const;
  bool has_version(std::string_view group, std::string_view version) const;
  /// Group names in the order of discovery; the core group ("") first.
  std::vector<std::string> groups() const;
  /// Served versions of a group, preferred first.
  std::vector<std::string> versions(std::string_view group) const;
};
using CatalogRef = std::shared_ptr<const Catalog>;

/// Holds the current catalogue; readers take a snapshot. Safe to use from many threads.
class Registry {
 public:
  CatalogRef catalog() const {
    return catalog_.with([](const CatalogRef& current) { return current; });
  }
  /// Adds the type or replaces the one of the same group and plural.
  void put(DefinitionRef definition);
  void remove(std::string_view group, std::string_view plural);

 private:
  base::Guarded<CatalogRef> catalog_{std::make_shared<const Catalog>()};
};

}  // namespace apiserver

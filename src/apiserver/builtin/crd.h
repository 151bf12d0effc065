#pragma once

#include <memory>

#include "apiserver/resources/registry.h"
#include "apiserver/store/store.h"
#include "base/clock.h"

/// CustomResourceDefinitions: served like any object, and turned into types of the registry.
namespace apiserver {

inline constexpr std::string_view kCrdStorageKey = "apiextensions.k8s.io/customresourcedefinitions";

/// The type of CustomResourceDefinitions. `store` and `registry` must outlive it.
DefinitionRef crd_definition(Store& store, Registry& registry, const base::Clock& clock);

/// The type that a stored CustomResourceDefinition describes.
DefinitionRef definition_from_crd(const json::Value& crd);

/// Puts every established definition of the store into the registry, once at start.
void register_stored_crds(const Store& store, Registry& registry);

}  // namespace apiserver

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/workspace/workspace.h"
#include "json/codec.h"

namespace api {

/// What admission may ask beyond the object: compiled-in tables only, never a network.
struct ValidationDeps {
  bool byo = false;  ///< Nodes are brought by the user: no instance type.
  /// Whether the catalogue has a preset of this name, alias or Hugging Face id.
  std::function<bool(std::string_view name)> is_preset;
  /// Whether the cloud has, or may have, this instance type.
  std::function<bool(std::string_view name)> is_instance_type;
};

/// Every mistake of a new Workspace at once, each with its JSON path. Empty: it is admitted.
std::vector<json::FieldError> validate_create(const Workspace& workspace,
                                              const ValidationDeps& deps);

/// Every mistake of a change. Objects that are being deleted may always change, so that they can
/// go.
std::vector<json::FieldError> validate_update(const Workspace& before, const Workspace& after,
                                              const ValidationDeps& deps);

}  // namespace api

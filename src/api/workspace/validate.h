#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/workspace/workspace.h"
#include "json/codec.h"

namespace api {

/// What admission may ask beyond the object: compiled-in tables only, never a network. A function
/// that is not given is not asked.
struct ValidationDeps {
  bool byo = false;  ///< Nodes are brought by the user: no instance type.
  /// Whether the catalogue has a preset of this name or alias, or it may be a Hugging Face id.
  std::function<bool(std::string_view name)> is_preset{};
  /// Whether the cloud has, or may have, this instance type.
  std::function<bool(std::string_view name)> is_instance_type{};
  /// Whether the user must bring the image of this preset (`accessMode: private`).
  std::function<bool(std::string_view name)> is_private_preset{};
  /// The name of the catalogue that an unknown one was probably meant to be; "" for none.
  std::function<std::string(std::string_view name)> suggest_preset{};
  /// Whether training data may come from this machine or a private network.
  bool allow_private_addresses = false;
};

/// Every mistake of a new Workspace at once, each with its JSON path. Empty: it is admitted.
std::vector<json::FieldError> validate_create(const Workspace& workspace,
                                              const ValidationDeps& deps);

/// Every mistake of a change. What did not change is not judged again, so that an object admitted
/// by an earlier release can still get its labels and finalizers. Objects that are being deleted
/// may always change, so that they can go.
std::vector<json::FieldError> validate_update(const Workspace& before, const Workspace& after,
                                              const ValidationDeps& deps);

}  // namespace api

#include "apps/kaito/admission.h"

#include <fmt/format.h>

#include "api/workspace/validate.h"
#include "model/catalog/catalog.h"
#include "model/sku/sku.h"

namespace kaito {
namespace {

api::ValidationDeps validation_deps(NodeSource nodes) {
  api::ValidationDeps deps;
  deps.byo = nodes == NodeSource::Byo;
  deps.is_preset = [](std::string_view name) { return model::resolve_preset(name).has_value(); };
  deps.is_private_preset = [](std::string_view name) {
    const model::Preset* preset = model::find_preset(name);
    return preset && preset->access == "private";
  };
  deps.suggest_preset = [](std::string_view name) {
    return std::string(model::suggest_preset(name));
  };
  deps.is_instance_type = [](std::string_view name) {
    return model::find_sku("local", name).has_value() || model::is_plausible_sku("local", name);
  };
  return deps;
}

apiserver::AdmissionResult admit(NodeSource nodes, const apiserver::AdmissionRequest& request) {
  // Status and finalizers are the operator's business, and an object must always be able to go.
  if (request.operation == apiserver::Operation::Delete || !request.subresource.empty() || !request.object) return {};
  apiserver::AdmissionResult result;
  const auto after = json::decode<api::Workspace>(*request.object);
  if (!after) {
    result.allowed = false;
    result.code = 422;
    result.message = after.error().message();
    return result;
  }
  std::vector<json::FieldError> errors;
  if (request.operation == apiserver::Operation::Create || !request.old_object) {
    errors = api::validate_create(*after, validation_deps(nodes));
  } else if (const auto before = json::decode<api::Workspace>(*request.old_object)) {
    errors = api::validate_update(*before, *after, validation_deps(nodes));
  }
  for (const json::FieldError& error : errors) result.causes.push_back(apiserver::invalid_field(error.path, error.message));
  if (!errors.empty()) {
    result.allowed = false;
    result.code = 422;
    result.message = json::to_string(errors);
  }
  return result;
}

}  // namespace

apiserver::AdmissionRegistration workspace_admission(NodeSource nodes) {
  return {"kaito.sh", "workspaces", apiserver::AdmissionPhase::Validate, [nodes](const apiserver::AdmissionRequest& request) { return admit(nodes, request); }};
}

}  // namespace kaito

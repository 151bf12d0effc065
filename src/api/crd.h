#pragma once

#include <string>
#include <vector>

#include "json/value.h"

namespace api {

/// The CustomResourceDefinitions of the project, made from the types that decode them:
/// workspaces.kaito.sh (v1alpha1 and v1beta1 with one schema, stored as v1beta1),
/// nodeclaims.karpenter.sh (v1), machines.karpenter.sh (v1alpha5).
std::vector<json::Value> custom_resource_definitions();

/// `kaito.sh_workspaces.yaml`: the file of config/crd that holds `crd`.
std::string crd_file_name(const json::Value& crd);

}  // namespace api

#pragma once

#include "apiserver/admission.h"

namespace kaito {

/// Whether users bring the nodes: then no Workspace names an instance type.
enum class NodeSource { Provisioned, Byo };

/// The admission of Workspaces, in process: the rules of api/workspace/validate.h over the compiled-in catalogue.
apiserver::AdmissionRegistration workspace_admission(NodeSource nodes);

}  // namespace kaito

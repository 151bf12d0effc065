#pragma once

#include "apiserver/admission.h"

namespace kaito {

/// The admission of Workspaces, in process: the rules of api/workspace/validate.h over the compiled-in catalogue.
apiserver::AdmissionRegistration workspace_admission();

}  // namespace kaito

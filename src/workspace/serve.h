#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workspace/desired.h"
#include "workspace/nodes.h"
#include "workspace/observed.h"

namespace workspace {

/// On pods: the hash of the template they were made from.
inline constexpr std::string_view kTemplateHashAnnotation = "kaito.sh/template-hash";
/// The Services, the adapters' ConfigMap and the workload of a workspace that serves.
struct ServePlan {
  std::vector<Desired> objects;  ///< The workload last: its pods need the others.
  std::string
      template_hash;  ///< Of the pod template: tells pods of the current spec from older ones.
  std::string model_image;        ///< "" for templates.
  std::string adapters_revision;  ///< What servers should say they follow; "" without adapters.
  std::optional<Problem> problem;
};

ServePlan plan_serving(const Observed& observed, const NodePlan& nodes, const Options& options);

}  // namespace workspace

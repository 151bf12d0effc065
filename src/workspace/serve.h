#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/meta.h"
#include "json/value.h"
#include "workspace/nodes.h"
#include "workspace/observed.h"

namespace workspace {

/// On Services and workloads: the hash of all that the operator wants of them.
inline constexpr std::string_view kObjectHashAnnotation = "kaito.sh/object-hash";
/// On pods: the hash of the template they were made from.
inline constexpr std::string_view kTemplateHashAnnotation = "kaito.sh/template-hash";
/// Where preset pods listen.
inline constexpr int kServerPort = 5000;

/// An object as it should be. `hash` covers all of it and travels as an annotation, so that a
/// change of any field is seen without asking the server.
struct Desired {
  api::ResourceType type;
  json::Value object;
  std::string hash;
};

/// The Services and the workload of an inference workspace.
struct ServePlan {
  std::vector<Desired> objects;  ///< Services first: pods may ask for them when they start.
  std::string
      template_hash;  ///< Of the pod template: tells pods of the current spec from older ones.
  std::string model_image;  ///< "" for templates.
  std::optional<Problem> problem;
};

ServePlan plan_serving(const Observed& observed, const NodePlan& nodes, const Options& options);

/// Whether `live` already is as wanted: the same hash, and every field of `desired` still in place
/// (fields the server or others added do not count).
bool is_up_to_date(const Desired& desired, const json::Value& live);

/// The JSON patch that makes `live` as wanted: whatever of the operator's own fields differs is
/// replaced as a whole, so that what others added to a list of ours goes, too.
json::Value update_patch(const Desired& desired, const json::Value& live);

/// Whether every field of `wanted` is in `live` with an equal value; lists must have equal lengths.
bool contains(const json::Value& live, const json::Value& wanted);

}  // namespace workspace

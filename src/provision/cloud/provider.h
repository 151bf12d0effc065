#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api/core/node.h"
#include "base/context.h"
#include "base/result.h"

namespace provision {

/// What a claim asks a cloud for. `claim_name` identifies the machine: asking twice is one machine.
struct InstanceRequest {
  std::string claim_name;
  std::string claim_uid;
  std::string claim_api_version;
  std::string claim_kind;
  std::string instance_type;
  std::map<std::string, std::string> labels;  ///< Of the claim, and its single-valued requirements.
  std::vector<api::Taint> taints;             ///< With the startup taints.
};

/// A machine of the cloud.
struct Instance {
  std::string provider_id;
  std::string claim_name;
  std::string image_id;
  std::map<std::string, api::Quantity> capacity;
  bool simulated_gpu = false;  ///< Announces GPUs that the machine does not have.
};

/// A cloud, as five functions. All may be called from several threads, and again with the same
/// arguments at any time. The machine registers itself: sooner or later there is a Node whose
/// `spec.providerID` is that of the instance.
class CloudProvider {
 public:
  virtual ~CloudProvider() = default;
  /// Starts the machine for a claim, or finds the one that was started.
  /// Errors: Invalid when the cloud has no such instance type (waiting does not help), Throttled or
  /// Unavailable when it has none free for now, Unauthorized or Forbidden, Conflict when the name
  /// is taken by something else.
  virtual base::Result<Instance> create(const base::Context& ctx,
                                        const InstanceRequest& request) = 0;
  /// Begins to end a machine; success while it is ending. Errors: NotFound once it is gone.
  virtual base::Status remove(const base::Context& ctx, const std::string& provider_id) = 0;
  /// Errors: NotFound.
  virtual base::Result<Instance> get(const base::Context& ctx, const std::string& provider_id) = 0;
  /// Every machine this provider started, for collecting those that nobody claims.
  virtual base::Result<std::vector<Instance>> list(const base::Context& ctx) = 0;
  /// Names of the instance types on offer.
  virtual std::vector<std::string> instance_types() const = 0;
};

}  // namespace provision

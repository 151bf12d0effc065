#pragma once

#include <memory>
#include <vector>

#include "apiserver/builtin/cluster_ip.h"
#include "apiserver/resources/definition.h"
#include "base/clock.h"

/// The types that every control plane has: core, apps, batch, coordination, discovery, events.
namespace apiserver {

struct BuiltinDeps {
  std::shared_ptr<ClusterIpAllocator> addresses;
  const base::Clock& clock;  ///< Must outlive the definitions.
};

std::vector<DefinitionRef> builtin_definitions(const BuiltinDeps& deps);

/// Strategies and rows, one file each.
std::shared_ptr<const Strategy> pod_strategy();
std::shared_ptr<const Strategy> service_strategy(std::shared_ptr<ClusterIpAllocator> addresses);
std::shared_ptr<const Strategy> stateful_set_strategy();
std::shared_ptr<const Strategy> job_strategy();
std::shared_ptr<const Strategy> namespace_strategy();
std::shared_ptr<const Strategy> volume_claim_strategy();
std::shared_ptr<const Strategy> secret_strategy();
std::shared_ptr<const Strategy> config_map_strategy();

/// Spells the quantities of the pod spec at `path` as text; a spec of any shape is left as it is.
void canonicalize_pod_spec(json::Value& object, std::string_view path);
/// Fills what users leave out of a pod spec, as kube-apiserver does. Idempotent.
void set_pod_spec_defaults(json::Object& spec, std::string_view default_restart_policy = "Always");
/// Mistakes of a pod spec below `path`.
void validate_pod_spec(const json::Object& spec, const std::string& path,
                       std::vector<Cause>& causes);
/// Labels and match expressions of `selector` select `labels`.
bool selector_matches(const json::Object& selector, const json::Object* labels);

}  // namespace apiserver

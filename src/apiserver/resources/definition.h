#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/resources/api_error.h"
#include "base/clock.h"
#include "json/value.h"

namespace apiserver {

/// A column of `kubectl get`; `json_path` fills it for custom resources.
struct PrinterColumn {
  std::string name{};
  std::string type = "string";
  std::string format{};
  std::string description{};
  int priority = 0;  ///< 1 and more only show with `-o wide`.
  std::string json_path{};
};

/// Where `/scale` finds its numbers; paths as in CustomResourceDefinitions (`.spec.replicas`).
struct ScaleDefinition {
  std::string spec_replicas_path;
  std::string status_replicas_path;
  std::string label_selector_path;
};

struct VersionDefinition {
  std::string name;
  bool served = true;
  bool storage = true;
  bool status_subresource = false;
  std::optional<ScaleDefinition> scale;
  std::vector<PrinterColumn> columns;
  std::string deprecation_warning;  ///< Sent with every answer when not empty.
  json::Object schema;              ///< OpenAPI v3 of the object; empty when unknown.
};

/// What a built-in type does beyond the generic rules. Stateless or internally locked; called from
/// many threads. Objects have `metadata`; a `spec` may be missing.
class Strategy {
 public:
  virtual ~Strategy() = default;
  /// Rewrites other spellings that the format allows. Comes before the types are checked: anything
  /// may be of any shape.
  virtual void canonicalize(json::Value& /*object*/) const {}
  /// Fills fields that users left out; must be idempotent.
  virtual void set_defaults(json::Object& /*object*/) const {}
  /// Sets what the server owns in a new object (status, allocated addresses).
  virtual ApiStatus prepare_create(json::Object& /*object*/) const { return {}; }
  /// Carries over what the server owns from `old`; not called for the status subresource.
  virtual ApiStatus prepare_update(json::Object& /*object*/, const json::Object& /*old*/) const {
    return {};
  }
  /// All mistakes. `old` is null for a new object.
  virtual void validate(const json::Object& /*object*/, const json::Object* /*old*/,
                        std::vector<Cause>& /*causes*/) const {}
  /// The object was stored.
  virtual void committed(const json::Object& /*object*/) const {}
  /// The object left the store, or did not get there after `prepare_create`.
  virtual void released(const json::Object& /*object*/) const {}
  /// Why the object must stay; empty when it may be deleted.
  virtual std::string delete_problem(const json::Object& /*object*/) const { return {}; }
  /// Seconds between the request and the removal; nothing when removed at once.
  virtual std::optional<std::int64_t> grace_seconds(const json::Object& /*object*/,
                                                    std::optional<std::int64_t> /*wanted*/) const {
    return std::nullopt;
  }
};

/// The rules for object names.
enum class NameRule { DnsSubdomain, DnsLabel, DnsLabel1035, PathSegment };

/// Cells of one object, one for each column.
using RowFunction = std::function<json::Array(const json::Value& object, base::SystemTime now)>;

/// A resource type that is served: a built-in one, or one from a CustomResourceDefinition.
/// Immutable once in the registry.
struct ResourceDefinition {
  std::string group;
  std::string plural;
  std::string singular;
  std::string kind;
  std::string list_kind;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  bool namespaced = true;
  bool custom = false;       ///< From a CRD: schema decides about unknown fields.
  bool terminating = false;  ///< Its CRD is being deleted: no creates.
  bool has_generation = true;
  bool unconditional_update = true;  ///< PUT without a resourceVersion is allowed.
  NameRule name_rule = NameRule::DnsSubdomain;
  std::vector<VersionDefinition> versions;  ///< Preferred first.
  std::vector<std::string> subresources;    ///< Beyond status and scale: `log`, `binding`, ...
  RowFunction row;                          ///< None: by `columns`' paths.
  std::shared_ptr<const Strategy> strategy;

  /// `workspaces.kaito.sh`, or `pods`.
  std::string qualified() const { return group.empty() ? plural : plural + "." + group; }
  /// The key in the store.
  std::string storage_key() const { return group + "/" + plural; }
  const VersionDefinition* version(std::string_view name) const;
  const VersionDefinition& storage_version() const;
  std::string api_version(const VersionDefinition& v) const {
    return group.empty() ? v.name : group + "/" + v.name;
  }
};
using DefinitionRef = std::shared_ptr<const ResourceDefinition>;

/// Kubernetes' order of versions: v2, v1, v1beta2, v1beta1, v1alpha1, others by name.
bool version_before(std::string_view a, std::string_view b);

}  // namespace apiserver

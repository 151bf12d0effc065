#include "apiserver/builtin/builtin.h"

#include "apiserver/builtin/rows.h"
#include "apiserver/builtin/schemas.h"
#include "apiserver/objects/metadata.h"
#include "base/encoding.h"

namespace apiserver {
namespace {

class NamespaceStrategy final : public Strategy {
 public:
  ApiStatus prepare_create(json::Object& ns) const override {
    // The namespace controller takes this one away once the namespace is empty.
    child(ns, "spec")["finalizers"] = json::Array{"kubernetes"};
    ns["status"] = json::Object{{"phase", "Active"}};
    json::Object& metadata = child(ns, "metadata");
    child(metadata, "labels")["kubernetes.io/metadata.name"] =
        json::String(text_of(metadata, "name"));
    return {};
  }
  ApiStatus prepare_update(json::Object& ns, const json::Object& old) const override {
    // Only the finalize subresource changes these.
    if (const json::Value* spec = old.if_contains("spec")) ns["spec"] = *spec;
    return {};
  }
  std::string delete_problem(const json::Object& ns) const override {
    const auto name = text_of(*child_if(ns, "metadata"), "name");
    const bool fixed = name == "default" || name == "kube-system" || name == "kube-public";
    return fixed ? "this namespace may not be deleted" : "";
  }
};

class VolumeClaimStrategy final : public Strategy {
 public:
  void set_defaults(json::Object& claim) const override {
    set_default(child(claim, "spec"), "volumeMode", "Filesystem");
  }
  ApiStatus prepare_create(json::Object& claim) const override {
    claim["status"] = json::Object{{"phase", "Pending"}};
    return {};
  }
};

void check_immutable(const json::Object& object, const json::Object* old,
                     std::vector<Cause>& causes) {
  const json::Value* fixed = old ? old->if_contains("immutable") : nullptr;
  if (!fixed || !fixed->is_bool() || !fixed->get_bool()) return;
  for (const char* key : {"data", "binaryData", "immutable"}) {
    const json::Value* now = object.if_contains(key);
    const json::Value* then = old->if_contains(key);
    if ((now == nullptr) != (then == nullptr) || (now && !json::equal(*now, *then)))
      causes.push_back(forbidden_field(key, "field is immutable when `immutable` is set"));
  }
}

void check_values(const json::Object& object, const char* key, bool base64,
                  std::vector<Cause>& causes) {
  const json::Value* value = object.if_contains(key);
  if (!value) return;
  if (!value->is_object()) {
    causes.push_back(invalid_field(key, "must be an object of strings"));
    return;
  }
  for (const auto& member : value->get_object()) {
    const std::string field = std::string(key) + "[" + std::string(member.key()) + "]";
    const json::String* text = member.value().if_string();
    if (!text) {
      causes.push_back(invalid_field(
          field, "must be a string, found " + std::string(json::kind_name(member.value()))));
    } else if (base64 && !base::from_base64(json::view(*text))) {
      causes.push_back(invalid_field(field, "must be base64"));
    }
  }
}

class ConfigMapStrategy final : public Strategy {
 public:
  void validate(const json::Object& map, const json::Object* old,
                std::vector<Cause>& causes) const override {
    check_values(map, "data", false, causes);
    check_values(map, "binaryData", true, causes);
    check_immutable(map, old, causes);
  }
};

class SecretStrategy final : public Strategy {
 public:
  void set_defaults(json::Object& secret) const override {
    set_default(secret, "type", "Opaque");
    json::Value* plain = secret.if_contains("stringData");
    if (!plain || !plain->is_object()) return;
    const json::Object given = plain->get_object();
    json::Object& data = child(secret, "data");
    for (const auto& member : given)
      if (const json::String* text = member.value().if_string())
        data[member.key()] = json::String(base::to_base64(json::view(*text)));
    secret.erase("stringData");
  }
  void validate(const json::Object& secret, const json::Object* old,
                std::vector<Cause>& causes) const override {
    check_values(secret, "data", true, causes);
    check_immutable(secret, old, causes);
    if (old && text_of(*old, "type") != text_of(secret, "type"))
      causes.push_back(invalid_field("type", "field is immutable"));
  }
};

/// Traits of a type; they add up.
constexpr unsigned kPlain = 0;
constexpr unsigned kCluster = 1;     ///< Not in a namespace.
constexpr unsigned kStatus = 2;      ///< Has the status subresource.
constexpr unsigned kGeneration = 4;  ///< Counts the changes of its spec.

/// One type, served as v1.
struct Entry {
  const char* group;
  const char* plural;
  const char* kind;
  unsigned traits = kPlain;
  std::vector<std::string> short_names{};
  std::vector<std::string> categories{};
  std::vector<std::string> subresources{};
};

std::vector<Entry> entries() {
  const std::vector<std::string> all{"all"};
  return {
      {"", "namespaces", "Namespace", kCluster | kStatus, {"ns"}, {}, {"finalize"}},
      {"", "pods", "Pod", kStatus, {"po"}, all, {"log", "binding", "eviction"}},
      {"", "services", "Service", kStatus, {"svc"}, all},
      {"", "endpoints", "Endpoints", kPlain, {"ep"}},
      {"", "nodes", "Node", kCluster | kStatus, {"no"}},
      {"", "configmaps", "ConfigMap", kPlain, {"cm"}},
      {"", "secrets", "Secret"},
      {"", "events", "Event", kPlain, {"ev"}},
      {"", "serviceaccounts", "ServiceAccount", kPlain, {"sa"}},
      {"", "persistentvolumeclaims", "PersistentVolumeClaim", kStatus, {"pvc"}},
      {"apps", "statefulsets", "StatefulSet", kStatus | kGeneration, {"sts"}, all},
      {"apps", "controllerrevisions", "ControllerRevision"},
      {"batch", "jobs", "Job", kStatus | kGeneration, {}, all},
      {"coordination.k8s.io", "leases", "Lease"},
      {"discovery.k8s.io", "endpointslices", "EndpointSlice", kGeneration},
  };
}

NameRule name_rule_of(const std::string& plural) {
  if (plural == "namespaces") return NameRule::DnsLabel;
  if (plural == "services") return NameRule::DnsLabel1035;
  return NameRule::DnsSubdomain;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::shared_ptr<const Strategy> strategy_of(const std::string& plural, const BuiltinDeps& deps) {
  if (plural == "namespaces") return namespace_strategy();
  if (plural == "pods") return pod_strategy();
  if (plural == "services") return service_strategy(deps.addresses);
  if (plural == "statefulsets") return stateful_set_strategy();
  if (plural == "jobs") return job_strategy();
  if (plural == "persistentvolumeclaims") return volume_claim_strategy();
  if (plural == "secrets") return secret_strategy();
  if (plural == "configmaps") return config_map_strategy();
  return nullptr;
}

}  // namespace

std::shared_ptr<const Strategy> namespace_strategy() {
  return std::make_shared<const NamespaceStrategy>();
}
std::shared_ptr<const Strategy> volume_claim_strategy() {
  return std::make_shared<const VolumeClaimStrategy>();
}
std::shared_ptr<const Strategy> secret_strategy() {
  return std::make_shared<const SecretStrategy>();
}
std::shared_ptr<const Strategy> config_map_strategy() {
  return std::make_shared<const ConfigMapStrategy>();
}

std::vector<DefinitionRef> builtin_definitions(const BuiltinDeps& deps) {
  std::vector<DefinitionRef> all;
  for (const Entry& entry : entries()) {
    auto definition = std::make_shared<ResourceDefinition>();
    definition->group = entry.group;
    definition->plural = entry.plural;
    definition->kind = entry.kind;
    definition->singular = lower(entry.kind);
    definition->list_kind = definition->kind + "List";
    definition->short_names = entry.short_names;
    definition->categories = entry.categories;
    definition->namespaced = (entry.traits & kCluster) == 0;
    definition->has_generation = (entry.traits & kGeneration) != 0;
    definition->name_rule = name_rule_of(definition->plural);
    definition->subresources = entry.subresources;
    definition->strategy = strategy_of(definition->plural, deps);
    VersionDefinition version;
    version.name = "v1";
    version.status_subresource = (entry.traits & kStatus) != 0;
    version.schema = builtin_schema(definition->plural);
    if (definition->plural == "statefulsets")
      version.scale = ScaleDefinition{".spec.replicas", ".status.replicas", ".spec.selector"};
    TableView view = table_view(definition->plural);
    version.columns = std::move(view.columns);
    definition->row = std::move(view.row);
    definition->versions.push_back(std::move(version));
    all.push_back(std::move(definition));
  }
  return all;
}

}  // namespace apiserver

#include "apiserver/builtin/crd.h"

#include <fmt/format.h>

#include <algorithm>

#include "apiserver/builtin/rows.h"
#include "apiserver/objects/metadata.h"
#include "apiserver/resources/json_path.h"
#include "apiserver/schema/crd.h"

namespace apiserver {
namespace {

using json::find_string;

constexpr const char* kCleanup = "customresourcecleanup.apiextensions.k8s.io";

std::vector<std::string> strings_of(const json::Value& root, std::string_view path) {
  std::vector<std::string> out;
  if (const auto* list = json::find_array(root, path))
    for (const auto& entry : *list)
      if (entry.is_string()) out.push_back(json::to_string(entry.get_string()));
  return out;
}

bool flag_of(const json::Value& root, std::string_view path) {
  const json::Value* value = json::find(root, path);
  return value && value->is_bool() && value->get_bool();
}

VersionDefinition version_from(const json::Value& crd, const json::Value& entry) {
  VersionDefinition version;
  version.name = find_string(entry, "name");
  version.served = flag_of(entry, "served");
  version.storage = flag_of(entry, "storage");
  version.status_subresource = json::find(entry, "subresources.status") != nullptr;
  if (json::find_object(entry, "subresources.scale")) {
    version.scale =
        ScaleDefinition{std::string(find_string(entry, "subresources.scale.specReplicasPath")),
                        std::string(find_string(entry, "subresources.scale.statusReplicasPath")),
                        std::string(find_string(entry, "subresources.scale.labelSelectorPath"))};
  }
  if (flag_of(entry, "deprecated")) {
    version.deprecation_warning = find_string(entry, "deprecationWarning");
    if (version.deprecation_warning.empty())
      version.deprecation_warning =
          fmt::format("{}/{} {} is deprecated", find_string(crd, "spec.group"), version.name,
                      find_string(crd, "spec.names.kind"));
  }
  if (const auto* schema = json::find_object(entry, "schema.openAPIV3Schema"))
    version.schema = *schema;
  if (const auto* columns = json::find_array(entry, "additionalPrinterColumns")) {
    for (const auto& column : *columns) {
      PrinterColumn out;
      out.name = find_string(column, "name");
      out.type = find_string(column, "type");
      out.format = find_string(column, "format");
      out.description = find_string(column, "description");
      out.priority = static_cast<int>(json::find_int(column, "priority").value_or(0));
      out.json_path = find_string(column, "jsonPath");
      version.columns.push_back(std::move(out));
    }
  }
  return version;
}

void set_condition(json::Object& status, std::string_view type, bool value, std::string_view reason,
                   std::string_view message, base::SystemTime now) {
  json::Value& list = status["conditions"];
  if (!list.is_array()) list = json::Array{};
  json::Object condition{{"type", json::String(type)},
                         {"status", value ? "True" : "False"},
                         {"lastTransitionTime", json::String(base::format_rfc3339(now))},
                         {"reason", json::String(reason)},
                         {"message", json::String(message)}};
  for (json::Value& entry : list.get_array()) {
    if (find_string(entry, "type") != type) continue;
    if (find_string(entry, "status") == (value ? "True" : "False"))
      condition["lastTransitionTime"] = entry.get_object()["lastTransitionTime"];
    entry = std::move(condition);
    return;
  }
  list.get_array().emplace_back(std::move(condition));
}

bool is_established(const json::Value& crd) {
  const auto* conditions = json::find_array(crd, "status.conditions");
  return conditions && std::any_of(conditions->begin(), conditions->end(), [](const auto& entry) {
           return find_string(entry, "type") == "Established" &&
                  find_string(entry, "status") == "True";
         });
}

/// What another type of the group already calls itself; empty when all names are free.
std::string name_conflict(const Catalog& catalog, const ResourceDefinition& wanted) {
  for (const auto& other : catalog.definitions) {
    if (other->group != wanted.group || other->plural == wanted.plural) continue;
    if (other->kind == wanted.kind) return fmt::format("\"{}\" is already in use", wanted.kind);
    if (other->singular == wanted.singular)
      return fmt::format("\"{}\" is already in use", wanted.singular);
    for (const auto& name : wanted.short_names)
      if (std::find(other->short_names.begin(), other->short_names.end(), name) !=
          other->short_names.end())
        return fmt::format("\"{}\" is already in use", name);
  }
  return {};
}

class CrdStrategy final : public Strategy {
 public:
  CrdStrategy(Store& store, Registry& registry, const base::Clock& clock)
      : store_(store), registry_(registry), clock_(clock) {}

  void set_defaults(json::Object& crd) const override {
    json::Object& spec = child(crd, "spec");
    set_default(child(spec, "conversion"), "strategy", "None");
    json::Object& names = child(spec, "names");
    const std::string kind(text_of(names, "kind"));
    std::string singular = kind;
    std::transform(singular.begin(), singular.end(), singular.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (text_of(names, "singular").empty()) names["singular"] = json::String(singular);
    if (text_of(names, "listKind").empty()) names["listKind"] = json::String(kind + "List");
  }

  ApiStatus prepare_create(json::Object& crd) const override {
    crd["status"] = json::Object{{"conditions", json::Array{}}, {"storedVersions", json::Array{}}};
    json::Object& metadata = child(crd, "metadata");
    json::Value& finalizers = metadata["finalizers"];
    if (!finalizers.is_array()) finalizers = json::Array{};
    if (std::find(finalizers.get_array().begin(), finalizers.get_array().end(),
                  json::Value(kCleanup)) == finalizers.get_array().end())
      finalizers.get_array().emplace_back(kCleanup);
    set_status(crd);
    return {};
  }

  ApiStatus prepare_update(json::Object& crd, const json::Object&) const override {
    set_status(crd);
    return {};
  }

  void validate(const json::Object& crd, const json::Object* old,
                std::vector<Cause>& causes) const override {
    const json::Value value = crd;
    const auto group = find_string(value, "spec.group");
    const auto plural = find_string(value, "spec.names.plural");
    for (const char* path : {"spec.group", "spec.names.plural", "spec.names.kind", "spec.scope"})
      if (find_string(value, path).empty()) causes.push_back(required_field(path));
    if (find_string(value, "metadata.name") != fmt::format("{}.{}", plural, group))
      causes.push_back(invalid_field(
          "metadata.name", fmt::format("\"{}\": must be spec.names.plural+\".\"+spec.group",
                                       find_string(value, "metadata.name"))));
    if (const auto scope = find_string(value, "spec.scope");
        !scope.empty() && scope != "Namespaced" && scope != "Cluster")
      causes.push_back({"FieldValueNotSupported",
                        fmt::format("Unsupported value: \"{}\": supported values: \"Cluster\", "
                                    "\"Namespaced\"",
                                    scope),
                        "spec.scope"});
    if (const auto strategy = find_string(value, "spec.conversion.strategy"); strategy != "None")
      causes.push_back(
          {"FieldValueNotSupported",
           fmt::format("Unsupported value: \"{}\": this server converts by None only", strategy),
           "spec.conversion.strategy"});
    validate_versions(value, causes);
    if (!old) return;
    const json::Value before = *old;
    for (const char* path : {"spec.group", "spec.names.plural", "spec.names.kind", "spec.scope"})
      if (find_string(value, path) != find_string(before, path))
        causes.push_back(invalid_field(path, "field is immutable"));
  }

  void committed(const json::Object& crd) const override {
    refresh(text_of(*child_if(crd, "metadata"), "name"));
  }
  void released(const json::Object& crd) const override {
    refresh(text_of(*child_if(crd, "metadata"), "name"));
  }

 private:
  /// Brings the registry in line with the store; the lock keeps late callers from undoing newer
  /// ones.
  void refresh(std::string_view name) const {
    refresh_.with([&](int&) {
      const ObjectRef stored = store_.get(kCrdStorageKey, {"", std::string(name)});
      const auto dot = name.find('.');
      if (dot == std::string_view::npos) return;
      if (!stored) {
        registry_.remove(name.substr(dot + 1), name.substr(0, dot));
      } else if (is_established(stored->value)) {
        registry_.put(definition_from_crd(stored->value));
      }
    });
  }

  void set_status(json::Object& crd) const {
    const json::Value value = crd;
    json::Object& status = child(crd, "status");
    const auto now = clock_.now();
    const auto wanted = definition_from_crd(value);
    const std::string taken =
        wanted ? name_conflict(*registry_.catalog(), *wanted) : std::string("spec is incomplete");
    if (taken.empty()) {
      set_condition(status, "NamesAccepted", true, "NoConflicts", "no conflicts found", now);
      set_condition(status, "Established", true, "InitialNamesAccepted",
                    "the initial names have been accepted", now);
      if (const json::Object* names = json::find_object(value, "spec.names"))
        status["acceptedNames"] = *names;
    } else {
      set_condition(status, "NamesAccepted", false, "NameConflict", taken, now);
      set_condition(status, "Established", false, "NotAccepted", "not all names are accepted", now);
    }
    if (is_deleting(value))
      set_condition(status, "Terminating", true, "InstanceDeletionInProgress",
                    "CustomResource deletion is in progress", now);
    if (!wanted) return;
    json::Value& stored = status["storedVersions"];
    if (!stored.is_array()) stored = json::Array{};
    const json::Value storage = json::String(wanted->storage_version().name);
    json::Array& list = stored.get_array();
    if (std::find(list.begin(), list.end(), storage) == list.end()) list.push_back(storage);
  }

  static void validate_versions(const json::Value& crd, std::vector<Cause>& causes) {
    const auto* versions = json::find_array(crd, "spec.versions");
    if (!versions || versions->empty()) {
      causes.push_back(required_field("spec.versions"));
      return;
    }
    int storage = 0;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < versions->size(); ++i) {
      const json::Value& entry = (*versions)[i];
      const std::string path = fmt::format("spec.versions[{}]", i);
      const std::string name(find_string(entry, "name"));
      if (const auto problem = name_problem(NameRule::DnsLabel1035, name); !problem.empty())
        causes.push_back(invalid_field(path + ".name", fmt::format("\"{}\": {}", name, problem)));
      if (std::find(names.begin(), names.end(), name) != names.end())
        causes.push_back(
            {"FieldValueDuplicate", fmt::format("Duplicate value: \"{}\"", name), path + ".name"});
      names.push_back(name);
      if (flag_of(entry, "storage")) ++storage;
      validate_schema_of(entry, path, causes);
      validate_columns(entry, path, causes);
    }
    if (storage != 1)
      causes.push_back(invalid_field("spec.versions",
                                     "must have exactly one version marked as storage version"));
  }

  static void validate_schema_of(const json::Value& entry, const std::string& path,
                                 std::vector<Cause>& causes) {
    const auto* schema = json::find_object(entry, "schema.openAPIV3Schema");
    if (!schema) {
      causes.push_back(required_field(path + ".schema.openAPIV3Schema", "schemas are required"));
      return;
    }
    const std::string at = path + ".schema.openAPIV3Schema";
    const json::Value& root = *json::find(entry, "schema.openAPIV3Schema");
    for (const SchemaViolation& violation : check_structural(root, at))
      causes.push_back({violation.reason, violation.message, violation.field});
  }

  static void validate_columns(const json::Value& entry, const std::string& path,
                               std::vector<Cause>& causes) {
    const auto* columns = json::find_array(entry, "additionalPrinterColumns");
    if (!columns) return;
    for (std::size_t i = 0; i < columns->size(); ++i) {
      const std::string at = fmt::format("{}.additionalPrinterColumns[{}]", path, i);
      if (find_string((*columns)[i], "name").empty())
        causes.push_back(required_field(at + ".name"));
      const auto parsed = JsonPath::parse(find_string((*columns)[i], "jsonPath"));
      if (!parsed) causes.push_back(invalid_field(at + ".jsonPath", parsed.error().message()));
    }
  }

  Store& store_;
  Registry& registry_;
  const base::Clock& clock_;
  mutable base::Guarded<int> refresh_;
};

}  // namespace

DefinitionRef definition_from_crd(const json::Value& crd) {
  auto definition = std::make_shared<ResourceDefinition>();
  definition->group = find_string(crd, "spec.group");
  definition->plural = find_string(crd, "spec.names.plural");
  definition->singular = find_string(crd, "spec.names.singular");
  definition->kind = find_string(crd, "spec.names.kind");
  definition->list_kind = find_string(crd, "spec.names.listKind");
  definition->short_names = strings_of(crd, "spec.names.shortNames");
  definition->categories = strings_of(crd, "spec.names.categories");
  definition->namespaced = find_string(crd, "spec.scope") == "Namespaced";
  definition->custom = true;
  definition->unconditional_update = false;
  definition->terminating = is_deleting(crd);
  const auto* versions = json::find_array(crd, "spec.versions");
  if (!versions || versions->empty() || definition->plural.empty()) return nullptr;
  for (const auto& entry : *versions) definition->versions.push_back(version_from(crd, entry));
  std::stable_sort(definition->versions.begin(), definition->versions.end(),
                   [](const auto& a, const auto& b) { return version_before(a.name, b.name); });
  return definition;
}

DefinitionRef crd_definition(Store& store, Registry& registry, const base::Clock& clock) {
  auto definition = std::make_shared<ResourceDefinition>();
  definition->group = "apiextensions.k8s.io";
  definition->plural = "customresourcedefinitions";
  definition->singular = "customresourcedefinition";
  definition->kind = "CustomResourceDefinition";
  definition->list_kind = "CustomResourceDefinitionList";
  definition->short_names = {"crd", "crds"};
  definition->categories = {"api-extensions"};
  definition->namespaced = false;
  definition->strategy = std::make_shared<const CrdStrategy>(store, registry, clock);
  VersionDefinition version;
  version.name = "v1";
  version.status_subresource = true;
  TableView view = table_view(definition->plural);
  version.columns = std::move(view.columns);
  definition->row = std::move(view.row);
  definition->versions.push_back(std::move(version));
  return definition;
}

void register_stored_crds(const Store& store, Registry& registry) {
  for (const ObjectRef& object : store.list(kCrdStorageKey, "").objects)
    if (is_established(object->value)) registry.put(definition_from_crd(object->value));
}

}  // namespace apiserver

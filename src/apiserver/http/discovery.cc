#include "apiserver/http/discovery.h"

namespace apiserver {
namespace {

/// Types that only answer a POST and store nothing.
struct ReviewType {
  std::string_view group;
  std::string_view plural;
  std::string_view kind;
  bool namespaced;
};
constexpr ReviewType kReviews[] = {
    {"authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", false},
    {"authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", false},
    {"authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", false},
    {"authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", false},
};

std::string api_version(std::string_view group, std::string_view version) {
  return group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
}

json::Array strings(const std::vector<std::string>& values) {
  json::Array out;
  for (const auto& value : values) out.emplace_back(json::String(value));
  return out;
}

json::Array object_verbs() {
  return {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"};
}

struct Subresource {
  std::string name;
  std::string group;
  std::string version;
  std::string kind;
  json::Array verbs;
};

std::vector<Subresource> subresources_of(const ResourceDefinition& resource,
                                         const VersionDefinition& version) {
  std::vector<Subresource> all;
  if (version.status_subresource)
    all.push_back({"status", resource.group, version.name, resource.kind,
                   json::Array{"get", "patch", "update"}});
  if (version.scale)
    all.push_back({"scale", "autoscaling", "v1", "Scale", json::Array{"get", "patch", "update"}});
  for (const auto& name : resource.subresources) {
    if (name == "log") all.push_back({name, "", "v1", "Pod", json::Array{"get"}});
    if (name == "binding") all.push_back({name, "", "v1", "Binding", json::Array{"create"}});
    if (name == "eviction")
      all.push_back({name, "policy", "v1", "Eviction", json::Array{"create"}});
    if (name == "finalize") all.push_back({name, "", "v1", "Namespace", json::Array{"update"}});
  }
  return all;
}

json::Object group_version(std::string_view group, std::string_view version) {
  return {{"groupVersion", json::String(api_version(group, version))},
          {"version", json::String(version)}};
}

std::vector<std::string> all_groups(const Catalog& catalog) {
  auto groups = catalog.groups();
  groups.emplace_back("authentication.k8s.io");
  groups.emplace_back("authorization.k8s.io");
  return groups;
}

bool is_review_group(std::string_view group) {
  return group == "authorization.k8s.io" || group == "authentication.k8s.io";
}

std::vector<std::string> versions_of(const Catalog& catalog, std::string_view group) {
  return is_review_group(group) ? std::vector<std::string>{"v1"} : catalog.versions(group);
}

json::Object discovery_resource(const ResourceDefinition& resource,
                                const VersionDefinition& version) {
  json::Object out{{"resource", json::String(resource.plural)},
                   {"responseKind", json::Object{{"group", json::String(resource.group)},
                                                 {"version", json::String(version.name)},
                                                 {"kind", json::String(resource.kind)}}},
                   {"scope", resource.namespaced ? "Namespaced" : "Cluster"},
                   {"singularResource", json::String(resource.singular)},
                   {"verbs", object_verbs()}};
  if (!resource.short_names.empty()) out["shortNames"] = strings(resource.short_names);
  if (!resource.categories.empty()) out["categories"] = strings(resource.categories);
  json::Array subresources;
  for (const auto& sub : subresources_of(resource, version))
    subresources.emplace_back(
        json::Object{{"subresource", json::String(sub.name)},
                     {"responseKind", json::Object{{"group", json::String(sub.group)},
                                                   {"version", json::String(sub.version)},
                                                   {"kind", json::String(sub.kind)}}},
                     {"verbs", sub.verbs}});
  if (!subresources.empty()) out["subresources"] = std::move(subresources);
  return out;
}

}  // namespace

json::Value core_versions(std::string_view address) {
  return json::Object{{"kind", "APIVersions"},
                      {"versions", json::Array{"v1"}},
                      {"serverAddressByClientCIDRs",
                       json::Array{json::Object{{"clientCIDR", "0.0.0.0/0"},
                                                {"serverAddress", json::String(address)}}}}};
}

json::Value group_document(const Catalog& catalog, std::string_view group) {
  json::Object out{{"kind", "APIGroup"},
                   {"apiVersion", "v1"},
                   {"name", json::String(group)},
                   {"versions", json::Array{}}};
  const auto versions = versions_of(catalog, group);
  for (const auto& version : versions)
    out["versions"].get_array().emplace_back(group_version(group, version));
  if (!versions.empty()) out["preferredVersion"] = group_version(group, versions.front());
  return out;
}

json::Value group_list(const Catalog& catalog) {
  json::Array groups;
  for (const auto& group : all_groups(catalog)) {
    if (group.empty()) continue;
    json::Value document = group_document(catalog, group);
    document.get_object().erase("kind");
    document.get_object().erase("apiVersion");
    groups.push_back(std::move(document));
  }
  return json::Object{
      {"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}};
}

json::Value resource_list(const Catalog& catalog, std::string_view group,
                          std::string_view version) {
  json::Array resources;
  for (const auto& definition : catalog.definitions) {
    if (definition->group != group) continue;
    const VersionDefinition* own = definition->version(version);
    if (!own) continue;
    json::Object entry{{"name", json::String(definition->plural)},
                       {"singularName", json::String(definition->singular)},
                       {"namespaced", definition->namespaced},
                       {"kind", json::String(definition->kind)},
                       {"verbs", object_verbs()}};
    if (!definition->short_names.empty()) entry["shortNames"] = strings(definition->short_names);
    if (!definition->categories.empty()) entry["categories"] = strings(definition->categories);
    resources.emplace_back(std::move(entry));
    for (const auto& sub : subresources_of(*definition, *own)) {
      json::Object line{{"name", json::String(definition->plural + "/" + sub.name)},
                        {"singularName", ""},
                        {"namespaced", definition->namespaced},
                        {"kind", json::String(sub.kind)},
                        {"verbs", sub.verbs}};
      if (sub.group != definition->group) {
        line["group"] = json::String(sub.group);
        line["version"] = json::String(sub.version);
      }
      resources.emplace_back(std::move(line));
    }
  }
  for (const auto& review : kReviews)
    if (review.group == group)
      resources.emplace_back(json::Object{{"name", json::String(review.plural)},
                                          {"singularName", ""},
                                          {"namespaced", review.namespaced},
                                          {"kind", json::String(review.kind)},
                                          {"verbs", json::Array{"create"}}});
  return json::Object{{"kind", "APIResourceList"},
                      {"apiVersion", "v1"},
                      {"groupVersion", json::String(api_version(group, version))},
                      {"resources", std::move(resources)}};
}

json::Value aggregated_discovery(const Catalog& catalog, ApiRoot root, std::string_view version) {
  json::Array items;
  for (const auto& group : all_groups(catalog)) {
    if (group.empty() != (root == ApiRoot::Core)) continue;
    json::Array versions;
    for (const auto& name : versions_of(catalog, group)) {
      json::Array resources;
      for (const auto& definition : catalog.definitions) {
        const VersionDefinition* own =
            definition->group == group ? definition->version(name) : nullptr;
        if (own) resources.emplace_back(discovery_resource(*definition, *own));
      }
      for (const auto& review : kReviews)
        if (review.group == group)
          resources.emplace_back(
              json::Object{{"resource", json::String(review.plural)},
                           {"responseKind", json::Object{{"group", json::String(group)},
                                                         {"version", json::String(name)},
                                                         {"kind", json::String(review.kind)}}},
                           {"scope", "Cluster"},
                           {"singularResource", ""},
                           {"verbs", json::Array{"create"}}});
      versions.emplace_back(json::Object{{"version", json::String(name)},
                                         {"resources", std::move(resources)},
                                         {"freshness", "Current"}});
    }
    items.emplace_back(json::Object{{"metadata", json::Object{{"name", json::String(group)}}},
                                    {"versions", std::move(versions)}});
  }
  return json::Object{{"kind", "APIGroupDiscoveryList"},
                      {"apiVersion", json::String("apidiscovery.k8s.io/" + std::string(version))},
                      {"metadata", json::Object{}},
                      {"items", std::move(items)}};
}

}  // namespace apiserver

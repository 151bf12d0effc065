#include "apiserver/objects/metadata.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/random.h"

namespace apiserver {
namespace {

constexpr std::size_t kMaxAnnotationsBytes = 256 << 10;
constexpr std::size_t kMaxGeneratedPrefix = 58;
constexpr std::size_t kSuffixLength = 5;

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

bool is_dns_label(std::string_view name) {
  if (name.empty() || name.size() > 63) return false;
  if (!is_lower_alnum(name.front()) || !is_lower_alnum(name.back())) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_lower_alnum(c) || c == '-'; });
}

bool is_dns_subdomain(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  while (true) {
    const auto dot = name.find('.');
    const auto part = name.substr(0, dot);
    if (part.empty() || !is_lower_alnum(part.front()) || !is_lower_alnum(part.back())) return false;
    if (!std::all_of(part.begin(), part.end(),
                     [](char c) { return is_lower_alnum(c) || c == '-'; }))
      return false;
    if (dot == std::string_view::npos) return true;
    name.remove_prefix(dot + 1);
  }
}

/// `[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?` of at most 63 characters.
bool is_qualified_part(std::string_view text) {
  if (text.empty() || text.size() > 63 || !is_alnum(text.front()) || !is_alnum(text.back()))
    return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

void validate_string_map(const json::Object& metadata, std::string_view key, bool labels,
                         std::vector<Cause>& causes) {
  const json::Value* value = metadata.if_contains(key);
  if (!value || value->is_null()) return;
  const std::string path = fmt::format("metadata.{}", key);
  const json::Object* map = value->if_object();
  if (!map) {
    causes.push_back(invalid_field(
        path, fmt::format("\"{}\": must be of type object", json::kind_name(*value))));
    return;
  }
  std::size_t bytes = 0;
  for (const auto& member : *map) {
    const std::string_view name(member.key().data(), member.key().size());
    if (const auto problem = qualified_name_problem(name); !problem.empty())
      causes.push_back(invalid_field(path, fmt::format("\"{}\": {}", name, problem)));
    const json::String* text = member.value().if_string();
    if (!text) {
      causes.push_back(invalid_field(
          fmt::format("{}.{}", path, name),
          fmt::format("\"{}\": must be of type string", json::kind_name(member.value()))));
      continue;
    }
    bytes += name.size() + text->size();
    if (!labels) continue;
    if (const auto problem = label_value_problem(json::view(*text)); !problem.empty())
      causes.push_back(invalid_field(path, fmt::format("\"{}\": {}", json::view(*text), problem)));
  }
  if (!labels && bytes > kMaxAnnotationsBytes)
    causes.push_back({"FieldValueTooLong",
                      fmt::format("Too long: may not be more than {} bytes", kMaxAnnotationsBytes),
                      path});
}

void validate_finalizers(const json::Object& metadata, const json::Object* old,
                         std::vector<Cause>& causes) {
  const json::Value* value = metadata.if_contains("finalizers");
  if (!value || value->is_null()) return;
  const json::Array* list = value->if_array();
  if (!list) {
    causes.push_back(invalid_field("metadata.finalizers", "must be a list of strings"));
    return;
  }
  const json::Value* before = old ? old->if_contains("finalizers") : nullptr;
  const bool deleting = old && !text_of(*old, "deletionTimestamp").empty();
  for (const json::Value& entry : *list) {
    const json::String* text = entry.if_string();
    const std::string_view name = text ? json::view(*text) : std::string_view();
    if (!text || !qualified_name_problem(name).empty()) {
      causes.push_back(invalid_field(
          "metadata.finalizers",
          fmt::format("\"{}\": must be a qualified name", text ? name : json::dump(entry))));
      continue;
    }
    if (!deleting) continue;
    const bool known = before && before->is_array() &&
                       std::find(before->get_array().begin(), before->get_array().end(), entry) !=
                           before->get_array().end();
    if (!known)
      causes.push_back(forbidden_field(
          "metadata.finalizers",
          fmt::format("no new finalizers can be added if the object is being deleted, found new "
                      "finalizers []string{{\"{}\"}}",
                      name)));
  }
}

void validate_owners(const json::Object& metadata, std::vector<Cause>& causes) {
  const json::Value* value = metadata.if_contains("ownerReferences");
  if (!value || value->is_null()) return;
  const json::Array* list = value->if_array();
  if (!list) {
    causes.push_back(invalid_field("metadata.ownerReferences", "must be a list"));
    return;
  }
  int controllers = 0;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string path = fmt::format("metadata.ownerReferences[{}]", i);
    const json::Object* owner = (*list)[i].if_object();
    if (!owner) {
      causes.push_back(invalid_field(path, "must be an object"));
      continue;
    }
    for (const char* key : {"apiVersion", "kind", "name", "uid"})
      if (text_of(*owner, key).empty())
        causes.push_back(invalid_field(fmt::format("{}.{}", path, key), "\"\": must not be empty"));
    const json::Value* controller = owner->if_contains("controller");
    if (controller && controller->is_bool() && controller->get_bool()) ++controllers;
  }
  if (controllers > 1)
    causes.push_back(invalid_field("metadata.ownerReferences",
                                   "only one reference can have controller set to true"));
}

}  // namespace

json::Object& child(json::Object& parent, std::string_view key) {
  json::Value& value = parent[key];
  if (!value.is_object()) value = json::Object{};
  return value.get_object();
}

const json::Object* child_if(const json::Object& parent, std::string_view key) {
  const json::Value* value = parent.if_contains(key);
  return value ? value->if_object() : nullptr;
}

std::string_view text_of(const json::Object& object, std::string_view key) {
  const json::Value* value = object.if_contains(key);
  const json::String* text = value ? value->if_string() : nullptr;
  return text ? json::view(*text) : std::string_view();
}

void set_default(json::Object& object, std::string_view key, json::Value value) {
  json::Value& at = object[key];
  if (at.is_null()) at = std::move(value);
}

json::Value in_canonical_order(json::Object object) {
  json::Object ordered;
  ordered.reserve(object.size());
  for (const char* key : {"apiVersion", "kind", "metadata"})
    if (json::Value* value = object.if_contains(key)) ordered.emplace(key, std::move(*value));
  for (auto& member : object)
    if (!ordered.contains(member.key())) ordered.emplace(member.key(), std::move(member.value()));
  return ordered;
}

bool is_deleting(const json::Value& object) {
  return !json::find_string(object, "metadata.deletionTimestamp").empty();
}

bool may_be_removed(const json::Value& object) {
  if (!is_deleting(object)) return false;
  const json::Array* finalizers = json::find_array(object, "metadata.finalizers");
  if (finalizers && !finalizers->empty()) return false;
  if (json::find_int(object, "metadata.deletionGracePeriodSeconds").value_or(0) > 0) return false;
  if (json::find_string(object, "kind") == "Namespace") {
    const json::Array* spec = json::find_array(object, "spec.finalizers");
    return !spec || spec->empty();
  }
  return true;
}

void set_new_identity(json::Object& object, const ResourceDefinition& resource, std::string_view ns,
                      base::SystemTime now) {
  json::Object& metadata = child(object, "metadata");
  for (const char* key :
       {"resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"})
    metadata.erase(key);
  if (text_of(metadata, "name").empty() && !text_of(metadata, "generateName").empty()) {
    std::string name(text_of(metadata, "generateName").substr(0, kMaxGeneratedPrefix));
    metadata["name"] = json::String(name + base::random_name_suffix(kSuffixLength));
  }
  if (resource.namespaced) {
    metadata["namespace"] = json::String(ns);
  } else {
    metadata.erase("namespace");
  }
  metadata["uid"] = json::String(base::random_uuid());
  metadata["creationTimestamp"] = json::String(base::format_rfc3339(now));
  if (resource.has_generation) {
    metadata["generation"] = 1;
  } else {
    metadata.erase("generation");
  }
}

void keep_identity(json::Object& object, const json::Object& old) {
  json::Object& metadata = child(object, "metadata");
  const json::Object& before = *child_if(old, "metadata");
  for (const char* key :
       {"name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion",
        "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"}) {
    if (const json::Value* value = before.if_contains(key)) {
      metadata[key] = *value;
    } else {
      metadata.erase(key);
    }
  }
  metadata.erase("selfLink");
}

void drop_empty_metadata(json::Object& object) {
  json::Object& metadata = child(object, "metadata");
  for (const char* key : {"labels", "annotations", "finalizers", "ownerReferences"}) {
    const json::Value* value = metadata.if_contains(key);
    if (!value) continue;
    const bool empty = value->is_null() || (value->is_object() && value->get_object().empty()) ||
                       (value->is_array() && value->get_array().empty());
    if (empty) metadata.erase(key);
  }
}

void validate_metadata(const ResourceDefinition& resource, const json::Object& object,
                       const json::Object* old, std::vector<Cause>& causes) {
  const json::Object& metadata = *child_if(object, "metadata");
  const json::Object* before = old ? child_if(*old, "metadata") : nullptr;
  const std::string_view name = text_of(metadata, "name");
  if (name.empty()) {
    causes.push_back(required_field("metadata.name", "name or generateName is required"));
  } else if (!old) {
    if (const auto problem = name_problem(resource.name_rule, name); !problem.empty())
      causes.push_back(invalid_field("metadata.name", fmt::format("\"{}\": {}", name, problem)));
  }
  validate_string_map(metadata, "labels", true, causes);
  validate_string_map(metadata, "annotations", false, causes);
  validate_finalizers(metadata, before, causes);
  validate_owners(metadata, causes);
}

std::string name_problem(NameRule rule, std::string_view name) {
  switch (rule) {
    case NameRule::DnsSubdomain:
      if (is_dns_subdomain(name)) return {};
      return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
             "'-' or '.', and must start and end with an alphanumeric character (e.g. "
             "'example.com', regex used for validation is "
             "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    case NameRule::DnsLabel:
      if (is_dns_label(name)) return {};
      return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
             "'-', and must start and end with an alphanumeric character (e.g. 'my-name',  or "
             "'123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    case NameRule::DnsLabel1035:
      if (is_dns_label(name) && !(name.front() >= '0' && name.front() <= '9')) return {};
      return "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
             "with an alphabetic character, and end with an alphanumeric character (e.g. "
             "'my-name',  or 'abc-123', regex used for validation is "
             "'[a-z]([-a-z0-9]*[a-z0-9])?')";
    case NameRule::PathSegment:
      if (name != "." && name != ".." && name.find_first_of("/%") == std::string_view::npos)
        return {};
      return "may not be '.' or '..' or contain '/' or '%'";
  }
  return {};
}

std::string qualified_name_problem(std::string_view key) {
  const auto slash = key.find('/');
  std::string_view name = key;
  if (slash != std::string_view::npos) {
    if (!is_dns_subdomain(key.substr(0, slash)))
      return "prefix part must be a lowercase RFC 1123 subdomain";
    name = key.substr(slash + 1);
  }
  if (is_qualified_part(name)) return {};
  return "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and "
         "end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
         "used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
}

std::string label_value_problem(std::string_view value) {
  if (value.empty() || is_qualified_part(value)) return {};
  return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
         "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
         "'my_value',  or '12345', regex used for validation is "
         "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?') and be no more than 63 characters";
}

}  // namespace apiserver

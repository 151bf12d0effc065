#include "apiserver/schema/schema_node.h"

#include <algorithm>

#include "api/meta.h"
#include "json/schema.h"

namespace apiserver {
namespace {

const json::Object& object_meta_schema() {
  static const json::Object kSchema = json::schema_of<api::ObjectMeta>();
  return kSchema;
}

const json::Object& text_schema() {
  static const json::Object kSchema{{"type", "string"}};
  return kSchema;
}

}  // namespace

SchemaNode SchemaNode::resource(const json::Object& schema) {
  SchemaNode node(schema);
  node.resource_ = true;
  return node;
}

std::string_view SchemaNode::text(std::string_view name) const {
  const json::Value* value = keyword(name);
  const json::String* text = value ? value->if_string() : nullptr;
  return text ? json::view(*text) : std::string_view();
}

bool SchemaNode::flag(std::string_view name) const {
  const json::Value* value = keyword(name);
  return value && value->is_bool() && value->get_bool();
}

const json::Object* SchemaNode::properties() const {
  const json::Value* value = keyword("properties");
  return value ? value->if_object() : nullptr;
}

bool SchemaNode::has_property(std::string_view key) const {
  if (is_resource() && (key == "apiVersion" || key == "kind" || key == "metadata")) return true;
  const json::Object* declared = properties();
  return declared && declared->contains(key);
}

SchemaNode SchemaNode::member(std::string_view key) const {
  const json::Object* declared = properties();
  const json::Value* found = declared ? declared->if_contains(key) : nullptr;
  if (is_resource()) {
    // Custom resources only restrict metadata; what it is, is known.
    const json::Object* metadata = found ? found->if_object() : nullptr;
    if (key == "metadata" && !(metadata && metadata->contains("properties"))) {
      return SchemaNode(object_meta_schema());
    }
    if (!found && (key == "apiVersion" || key == "kind")) return SchemaNode(text_schema());
  }
  if (found && found->is_object()) return SchemaNode(found->get_object());
  const json::Value* rest = keyword("additionalProperties");
  return rest && rest->is_object() ? SchemaNode(rest->get_object()) : SchemaNode();
}

SchemaNode SchemaNode::items() const {
  const json::Value* found = keyword("items");
  return found && found->is_object() ? SchemaNode(found->get_object()) : SchemaNode();
}

ListType SchemaNode::list_type() const {
  const std::string_view declared = text("x-kubernetes-list-type");
  if (declared == "set") return ListType::Set;
  if (declared == "map") return list_keys().empty() ? ListType::Atomic : ListType::Map;
  if (!declared.empty()) return ListType::Atomic;
  // Types that only speak of strategic merge mean the same by it.
  if (text("x-kubernetes-patch-strategy").find("merge") == std::string_view::npos) {
    return ListType::Atomic;
  }
  return merge_key().empty() ? ListType::Set : ListType::Map;
}

std::vector<std::string_view> SchemaNode::list_keys() const {
  std::vector<std::string_view> keys;
  const json::Value* declared = keyword("x-kubernetes-list-map-keys");
  if (const json::Array* names = declared ? declared->if_array() : nullptr) {
    for (const json::Value& name : *names) {
      if (const json::String* text = name.if_string()) keys.push_back(json::view(*text));
    }
  } else if (const auto key = text("x-kubernetes-patch-merge-key"); !key.empty()) {
    keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

bool SchemaNode::merges_list() const {
  const std::string_view strategy = text("x-kubernetes-patch-strategy");
  if (!strategy.empty()) return strategy.find("merge") != std::string_view::npos;
  return list_type() != ListType::Atomic;
}

bool SchemaNode::replaces_map() const {
  return text("x-kubernetes-patch-strategy").find("replace") != std::string_view::npos;
}

std::string_view SchemaNode::merge_key() const {
  if (const auto key = text("x-kubernetes-patch-merge-key"); !key.empty()) return key;
  if (text("x-kubernetes-list-type") != "map") return {};
  // The first declared key, not the first by name: Kubernetes lists the merge key first.
  const json::Value* declared = keyword("x-kubernetes-list-map-keys");
  const json::Array* names = declared ? declared->if_array() : nullptr;
  if (!names || names->empty()) return {};
  const json::String* first = names->front().if_string();
  return first ? json::view(*first) : std::string_view();
}

}  // namespace apiserver

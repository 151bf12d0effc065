#include "apiserver/schema/structural.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "apiserver/schema/schema_node.h"

namespace apiserver {
namespace {

constexpr std::array<std::string_view, 16> kObjectMetaFields = {"name",
                                                                "generateName",
                                                                "namespace",
                                                                "selfLink",
                                                                "uid",
                                                                "resourceVersion",
                                                                "generation",
                                                                "creationTimestamp",
                                                                "deletionTimestamp",
                                                                "deletionGracePeriodSeconds",
                                                                "labels",
                                                                "annotations",
                                                                "ownerReferences",
                                                                "finalizers",
                                                                "clusterName",
                                                                "managedFields"};

bool is_object_meta_field(std::string_view key) {
  return std::find(kObjectMetaFields.begin(), kObjectMetaFields.end(), key) !=
         kObjectMetaFields.end();
}

bool is_type_field(std::string_view key) {
  return key == "apiVersion" || key == "kind" || key == "metadata";
}

std::string_view key_of(const json::Object::value_type& member) {
  return {member.key().data(), member.key().size()};
}

/// Finds unknown fields; with a mutable document it also drops them.
template <class Value>
class Pruner {
 public:
  void object_root(SchemaNode schema, Value& value) { visit(schema, value, true); }
  std::vector<std::string> take() { return std::move(unknown_); }

 private:
  static constexpr bool kRemoves = !std::is_const_v<Value>;

  void visit(SchemaNode schema, Value& value, bool resource) {
    if (!schema.known()) return;
    if (auto* object = value.if_object()) {
      visit_object(schema, *object, resource || schema.embedded_resource());
    } else if (auto* array = value.if_array()) {
      for (std::size_t i = 0; i < array->size(); ++i) {
        const Step step(path_, i);
        visit(schema.items(), (*array)[i], false);
      }
    }
  }

  /// True when the schema has nothing to say about the members that it does not declare.
  static bool keeps_unknown(SchemaNode schema) {
    if (schema.preserves_unknown()) return true;
    const json::Value* rest = schema.keyword("additionalProperties");
    if (rest) return !rest->is_bool() || rest->get_bool();
    return schema.type().empty() && !schema.properties();
  }

  template <class Object>
  void visit_object(SchemaNode schema, Object& object, bool resource) {
    std::vector<std::string> dropped;
    const bool keeps = keeps_unknown(schema);
    for (auto& member : object) {
      const std::string_view key = key_of(member);
      const Step step(path_, key);
      if (resource && is_type_field(key)) {
        if (key == "metadata") visit_metadata(member.value());
      } else if (keeps || schema.has_property(key)) {
        visit(schema.member(key), member.value(), false);
      } else {
        unknown_.push_back(path_);
        dropped.emplace_back(key);
      }
    }
    remove(object, dropped);
  }

  void visit_metadata(Value& metadata) {
    auto* object = metadata.if_object();
    if (!object) return;
    std::vector<std::string> dropped;
    for (auto& member : *object) {
      if (is_object_meta_field(key_of(member))) continue;
      const Step step(path_, key_of(member));
      unknown_.push_back(path_);
      dropped.emplace_back(key_of(member));
    }
    remove(*object, dropped);
  }

  template <class Object>
  static void remove(Object& object, const std::vector<std::string>& keys) {
    if constexpr (kRemoves) {
      for (const std::string& key : keys) object.stable_erase(key);
    }
  }

  /// Extends the path for as long as it lives.
  class Step {
   public:
    Step(std::string& path, std::string_view key) : path_(path), length_(path.size()) {
      if (!path_.empty()) path_.push_back('.');
      path_.append(key);
    }
    Step(std::string& path, std::size_t index) : path_(path), length_(path.size()) {
      path_.append("[").append(std::to_string(index)).append("]");
    }
    ~Step() { path_.resize(length_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    std::string& path_;
    std::size_t length_;
  };

  std::string path_;
  std::vector<std::string> unknown_;
};

/// Null is no value where the schema forbids it.
void drop_nulls(SchemaNode schema, json::Object& object) {
  std::vector<std::string> dropped;
  for (const auto& member : object) {
    if (!member.value().is_null()) continue;
    const SchemaNode known = schema.member(key_of(member));
    const bool typed = !known.type().empty() || known.int_or_string();
    if (typed && !known.nullable()) dropped.emplace_back(key_of(member));
  }
  for (const std::string& key : dropped) object.stable_erase(key);
}

void fill_defaults(SchemaNode schema, json::Value& value, bool resource) {
  if (!schema.known()) return;
  if (json::Array* array = value.if_array()) {
    for (json::Value& element : *array) fill_defaults(schema.items(), element, false);
    return;
  }
  json::Object* object = value.if_object();
  if (!object) return;
  resource = resource || schema.embedded_resource();
  drop_nulls(schema, *object);
  if (const json::Object* declared = schema.properties()) {
    for (const auto& property : *declared) {
      const json::Object* rules = property.value().if_object();
      const json::Value* fallback = rules ? rules->if_contains("default") : nullptr;
      if (fallback && !object->contains(property.key())) {
        object->emplace(property.key(), *fallback);
      }
    }
  }
  for (auto& member : *object) {
    if (resource && is_type_field(key_of(member))) continue;
    fill_defaults(schema.member(key_of(member)), member.value(), false);
  }
}

}  // namespace

void apply_defaults(const json::Object& schema, json::Value& value) {
  fill_defaults(SchemaNode(schema), value, true);
}

std::vector<std::string> prune(const json::Object& schema, json::Value& value) {
  Pruner<json::Value> pruner;
  pruner.object_root(SchemaNode(schema), value);
  return pruner.take();
}

std::vector<std::string> unknown_paths(const json::Object& schema, const json::Value& value) {
  Pruner<const json::Value> pruner;
  pruner.object_root(SchemaNode(schema), value);
  return pruner.take();
}

}  // namespace apiserver

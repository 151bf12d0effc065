#include "apiserver/patch/field_set.h"

#include <fmt/format.h>

#include <set>

namespace apiserver {
namespace {

std::string_view key_of(const json::Object::value_type& member) {
  return {member.key().data(), member.key().size()};
}

/// The element of a list of type Map; nothing when it has none of its keys.
std::optional<std::string> keyed_element(const json::Value& item, SchemaNode schema,
                                         const std::vector<std::string_view>& keys) {
  const json::Object* object = item.if_object();
  if (!object) return std::nullopt;
  json::Object identity;
  for (const std::string_view key : keys) {
    const json::Value* value = object->if_contains(key);
    if (!value) value = schema.items().member(key).keyword("default");
    if (value) identity.emplace(key, *value);
  }
  if (identity.empty()) return std::nullopt;
  return "k:" + json::dump_canonical(identity);
}

void collect(const json::Value& value, SchemaNode schema, FieldSet& out) {
  if (const json::Object* object = value.if_object();
      object && !object->empty() && !schema.atomic_map()) {
    for (const auto& member : *object) {
      const std::string_view key = key_of(member);
      FieldSet& child = out.child(field_element(key));
      collect(member.value(), schema.member(key), child);
      if (!schema.has_property(key)) child.add_self();
    }
    return;
  }
  if (const json::Array* array = value.if_array()) {
    if (const auto elements = list_elements(*array, schema)) {
      for (std::size_t i = 0; i < array->size(); ++i) {
        FieldSet& child = out.child((*elements)[i]);
        collect((*array)[i], schema.items(), child);
        child.add_self();
      }
      return;  // An empty list whose elements are owned one by one is nobody's.
    }
  }
  out.add_self();
}

/// An element in its canonical form, so that equal ones are equal texts.
base::Result<std::string> canonical_element(std::string_view text) {
  const std::string_view kind = text.substr(0, 2);
  if (kind == "f:" || kind == "i:") return std::string(text);
  if (kind == "k:" || kind == "v:") {
    const json::Value value = TRY(json::parse(text.substr(2)));
    return std::string(kind) + json::dump_canonical(value);
  }
  return base::Error(base::ErrorCode::Invalid,
                     fmt::format("unknown path element '{}' in fieldsV1", text));
}

base::Status read_fields(const json::Value& fields, FieldSet& out) {
  const json::Object* object = fields.if_object();
  if (!object) return base::Error(base::ErrorCode::Invalid, "fieldsV1 must hold objects");
  for (const auto& member : *object) {
    if (key_of(member) == ".") {
      out.add_self();
      continue;
    }
    FieldSet& child = out.child(TRY(canonical_element(key_of(member))));
    const json::Object* below = member.value().if_object();
    if (below && below->empty()) {
      child.add_self();
    } else {
      TRY(read_fields(member.value(), child));
    }
  }
  return {};
}

}  // namespace

std::string field_element(std::string_view key) {
  std::string element("f:");
  element.append(key);
  return element;
}

std::optional<std::vector<std::string>> list_elements(const json::Array& list, SchemaNode schema) {
  const ListType type = schema.list_type();
  if (type == ListType::Atomic) return std::nullopt;
  const auto keys = schema.list_keys();
  std::vector<std::string> elements;
  elements.reserve(list.size());
  std::set<std::string_view> seen;
  for (const json::Value& item : list) {
    auto element = type == ListType::Map ? keyed_element(item, schema, keys)
                                         : std::optional("v:" + json::dump_canonical(item));
    if (!element) return std::nullopt;
    elements.push_back(*std::move(element));
  }
  for (const std::string& element : elements) {
    if (!seen.insert(element).second) return std::nullopt;
  }
  return elements;
}

std::string shown_element(std::string_view element) {
  const std::string_view kind = element.substr(0, 2);
  const std::string_view rest = element.substr(std::min<std::size_t>(2, element.size()));
  if (kind == "f:") return fmt::format(".{}", rest);
  if (kind == "v:") return fmt::format("[={}]", rest);
  if (kind == "i:") return fmt::format("[{}]", rest);
  const auto keys = json::parse(rest);
  const json::Object* object = keys ? keys->if_object() : nullptr;
  if (!object) return std::string(element);
  std::string shown;
  for (const auto& member : *object) {
    if (!shown.empty()) shown.push_back(',');
    shown.append(key_of(member)).append("=").append(json::dump(member.value()));
  }
  return fmt::format("[{}]", shown);
}

FieldSet FieldSet::from_value(const json::Value& value, SchemaNode schema) {
  FieldSet result;
  collect(value, schema, result);
  result.member_ = false;
  result.drop_empty_children();
  return result;
}

base::Result<FieldSet> FieldSet::from_json(const json::Value& fields) {
  FieldSet result;
  TRY(read_fields(fields, result));
  result.member_ = false;
  result.drop_empty_children();
  return result;
}

json::Value FieldSet::to_json() const {
  json::Object object;
  if (member_ && !children_.empty()) object["."] = json::Object();
  for (const auto& [element, child] : children_) object[element] = child.to_json();
  return object;
}

const FieldSet* FieldSet::find(std::string_view element) const {
  const auto found = children_.find(element);
  return found == children_.end() ? nullptr : &found->second;
}

FieldSet& FieldSet::child(std::string_view element) {
  const auto found = children_.find(element);
  if (found != children_.end()) return found->second;
  return children_.emplace(element, FieldSet()).first->second;
}

void FieldSet::remove_child(std::string_view element) {
  const auto found = children_.find(element);
  if (found != children_.end()) children_.erase(found);
}

void FieldSet::drop_empty_children() {
  for (auto& [element, below] : children_) below.drop_empty_children();
  std::erase_if(children_, [](const auto& entry) { return entry.second.empty(); });
}

FieldSet FieldSet::union_with(const FieldSet& other) const {
  FieldSet result = *this;
  result.member_ = member_ || other.member_;
  for (const auto& [element, child] : other.children_) {
    FieldSet& mine = result.child(element);
    mine = mine.union_with(child);
  }
  return result;
}

FieldSet FieldSet::intersection(const FieldSet& other) const {
  FieldSet result;
  result.member_ = member_ && other.member_;
  for (const auto& [element, child] : children_) {
    const FieldSet* theirs = other.find(element);
    if (!theirs) continue;
    FieldSet both = child.intersection(*theirs);
    if (!both.empty()) result.children_.emplace(element, std::move(both));
  }
  return result;
}

FieldSet FieldSet::difference(const FieldSet& other) const {
  FieldSet result;
  result.member_ = member_ && !other.member_;
  for (const auto& [element, child] : children_) {
    const FieldSet* theirs = other.find(element);
    FieldSet rest = theirs ? child.difference(*theirs) : child;
    if (!rest.empty()) result.children_.emplace(element, std::move(rest));
  }
  return result;
}

void FieldSet::collect_paths(const std::string& prefix, std::vector<std::string>& out) const {
  if (member_) out.push_back(prefix);
  for (const auto& [element, child] : children_) {
    child.collect_paths(prefix + shown_element(element), out);
  }
}

std::vector<std::string> FieldSet::paths() const {
  std::vector<std::string> out;
  collect_paths("", out);
  return out;
}

}  // namespace apiserver

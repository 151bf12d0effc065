#include "json/schema.h"

#include "base/assert.h"

namespace json {

void apply_rules(Object& schema, std::string_view doc, const FieldRules& rules) {
  if (!doc.empty()) schema["description"] = String(doc);
  if (rules.one_of.size() > 0) {
    Array values;
    for (const auto value : rules.one_of) values.emplace_back(String(value));
    schema["enum"] = std::move(values);
  }
  if (rules.default_json) {
    auto value = parse(rules.default_json);
    ASSERT(value.has_value());
    schema["default"] = *std::move(value);
  }
  if (rules.pattern) schema["pattern"] = String(rules.pattern);
  if (rules.format) schema["format"] = String(rules.format);
  if (rules.minimum) schema["minimum"] = *rules.minimum;
  if (rules.max_length) schema["maxLength"] = *rules.max_length;
  if (rules.merge_key) {
    schema["x-kubernetes-list-type"] = "map";
    Array keys{String(rules.merge_key)};
    if (rules.merge_key_2) keys.emplace_back(String(rules.merge_key_2));
    schema["x-kubernetes-list-map-keys"] = std::move(keys);
    schema["x-kubernetes-patch-merge-key"] = String(rules.merge_key);
    schema["x-kubernetes-patch-strategy"] = "merge";
  } else if (rules.list_type) {
    schema["x-kubernetes-list-type"] = String(rules.list_type);
  }
  if (rules.atomic_map) schema["x-kubernetes-map-type"] = "atomic";
  if (rules.preserve_unknown) schema["x-kubernetes-preserve-unknown-fields"] = true;
}

Object SchemaVisitor::finish() {
  Object schema{{"type", "object"}};
  if (!doc_.empty()) schema["description"] = String(doc_);
  if (!properties_.empty()) schema["properties"] = std::move(properties_);
  if (!required_.empty()) schema["required"] = std::move(required_);
  return schema;
}

}  // namespace json

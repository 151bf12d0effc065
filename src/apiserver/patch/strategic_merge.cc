#include "apiserver/patch/strategic_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "apiserver/patch/strategic_list.h"
#include "apiserver/schema/schema_node.h"

namespace apiserver {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

constexpr std::string_view kDirective = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kSetElementOrder = "$setElementOrder/";
constexpr std::string_view kDeleteFromPrimitiveList = "$deleteFromPrimitiveList/";

Error invalid(std::string_view path, std::string_view message) {
  return Error(ErrorCode::Invalid,
               fmt::format("{}: {}", path.empty() ? "the patch" : path, message));
}

std::string join(std::string_view path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

std::string_view key_of(const json::Object::value_type& member) {
  return {member.key().data(), member.key().size()};
}

bool is_directive(std::string_view key) {
  return key == kDirective || key == kRetainKeys || key.starts_with(kSetElementOrder) ||
         key.starts_with(kDeleteFromPrimitiveList);
}

/// The value of `$patch`; "" when there is none.
Result<std::string_view> directive_of(const json::Object& patch, std::string_view path) {
  const json::Value* value = patch.if_contains(kDirective);
  if (!value) return std::string_view();
  const json::String* text = value->if_string();
  if (text && (*text == "merge" || *text == "replace" || *text == "delete")) {
    return json::view(*text);
  }
  return invalid(path, fmt::format("unknown $patch directive {}: use merge, replace or delete",
                                   json::dump(*value)));
}

Result<json::Object> merge_objects(json::Object target, const json::Object& patch,
                                   SchemaNode schema, const std::string& path);
Result<json::Array> merge_lists(const json::Array& target, const json::Array& patch,
                                SchemaNode schema, const std::string& path);

json::Object without_directives(json::Object object) {
  std::vector<std::string> dropped;
  for (const auto& member : object) {
    if (is_directive(key_of(member))) dropped.emplace_back(key_of(member));
  }
  for (const std::string& key : dropped) object.stable_erase(key);
  return object;
}

/// `$retainKeys`: what it does not list goes.
base::Status retain_keys(json::Object& target, const json::Object& patch, const std::string& path) {
  const json::Value* value = patch.if_contains(kRetainKeys);
  if (!value) return {};
  const json::Array* names = value->if_array();
  if (!names) return invalid(path, "$retainKeys must be a list of names");
  std::set<std::string, std::less<>> retained;
  for (const json::Value& name : *names) {
    const json::String* text = name.if_string();
    if (!text) return invalid(path, "$retainKeys must be a list of names");
    retained.emplace(json::view(*text));
  }
  for (const auto& member : patch) {
    const std::string_view key = key_of(member);
    if (is_directive(key) || member.value().is_null() || retained.contains(key)) continue;
    return invalid(path, fmt::format("'{}' is in the patch but not in $retainKeys", key));
  }
  std::vector<std::string> dropped;
  for (const auto& member : target) {
    if (!retained.contains(key_of(member))) dropped.emplace_back(key_of(member));
  }
  for (const std::string& key : dropped) target.stable_erase(key);
  return {};
}

/// One member of a patch onto one member of the target (null when it is absent or of another kind).
Result<json::Value> merge_member(const json::Value* target, const json::Value& patch,
                                 SchemaNode schema, const std::string& path) {
  if (const json::Object* object = patch.if_object()) {
    const json::Object* old = target ? target->if_object() : nullptr;
    const bool keep = old && !schema.replaces_map();
    return TRY(merge_objects(keep ? *old : json::Object(), *object, schema, path));
  }
  if (const json::Array* array = patch.if_array()) {
    const json::Array* old = target ? target->if_array() : nullptr;
    return TRY(merge_lists(old ? *old : json::Array(), *array, schema, path));
  }
  return patch;
}

base::Status delete_from_list(json::Object& target, std::string_view key, const json::Value& items,
                              const std::string& path) {
  const json::Array* doomed = items.if_array();
  if (!doomed) return invalid(path, "$deleteFromPrimitiveList must be a list");
  json::Value* found = target.if_contains(key);
  json::Array* list = found ? found->if_array() : nullptr;
  if (!list) return {};
  std::set<std::string> identities;
  for (const json::Value& item : *doomed) identities.insert(json::dump_canonical(item));
  json::Array kept;
  for (json::Value& element : *list) {
    if (!identities.contains(json::dump_canonical(element))) kept.push_back(std::move(element));
  }
  *list = std::move(kept);
  return {};
}

/// The elements that the patch brings must be in `$setElementOrder`, in the same order.
base::Status check_order(const json::Object& patch, std::string_view key,
                         std::string_view merge_key, const std::vector<std::string>& order,
                         const std::string& path) {
  const json::Value* value = patch.if_contains(key);
  const json::Array* list = value ? value->if_array() : nullptr;
  if (!list) return {};
  auto next = order.begin();
  for (const json::Value& element : *list) {
    if (const json::Object* object = element.if_object(); object && object->contains(kDirective)) {
      continue;
    }
    const std::string identity = TRY(element_identity(element, merge_key, path));
    next = std::find(next, order.end(), identity);
    if (next == order.end()) {
      return invalid(path, fmt::format("the order in the patch does not match $setElementOrder: {}",
                                       identity));
    }
    ++next;
  }
  return {};
}

base::Status set_order(json::Object& target, const json::Object& patch, std::string_view key,
                       const json::Value& items, const json::Array& original, SchemaNode schema,
                       const std::string& path) {
  const json::Array* wanted = items.if_array();
  if (!wanted) return invalid(path, "$setElementOrder must be a list");
  json::Value* found = target.if_contains(key);
  json::Array* list = found ? found->if_array() : nullptr;
  if (!list || !schema.merges_list()) return {};
  const std::string_view merge_key = schema.merge_key();
  const auto order = TRY(element_identities(*wanted, merge_key, path));
  if (!order.empty()) TRY(check_order(patch, key, merge_key, order, path));
  const auto before = TRY(element_identities(original, merge_key, path));
  *list = TRY(order_elements(std::move(*list), merge_key, order, before, path));
  return {};
}

/// `$deleteFromPrimitiveList` and `$setElementOrder`, after the lists were merged.
base::Status apply_list_directives(json::Object& target, const json::Object& original,
                                   const json::Object& patch, SchemaNode schema,
                                   const std::string& path) {
  for (const auto& member : patch) {
    std::string_view key = key_of(member);
    if (!key.starts_with(kDeleteFromPrimitiveList)) continue;
    key.remove_prefix(kDeleteFromPrimitiveList.size());
    TRY(delete_from_list(target, key, member.value(), join(path, key)));
  }
  for (const auto& member : patch) {
    std::string_view key = key_of(member);
    if (!key.starts_with(kSetElementOrder)) continue;
    key.remove_prefix(kSetElementOrder.size());
    const json::Value* old = original.if_contains(key);
    const json::Array* old_list = old ? old->if_array() : nullptr;
    TRY(set_order(target, patch, key, member.value(), old_list ? *old_list : json::Array(),
                  schema.member(key), join(path, key)));
  }
  return {};
}

Result<json::Object> merge_objects(json::Object target, const json::Object& patch,
                                   SchemaNode schema, const std::string& path) {
  const std::string_view directive = TRY(directive_of(patch, path));
  if (directive == "delete") return json::Object();
  if (directive == "replace") return without_directives(patch);
  TRY(retain_keys(target, patch, path));
  const bool has_list_directives = std::any_of(patch.begin(), patch.end(), [](const auto& member) {
    return key_of(member).starts_with(kSetElementOrder);
  });
  const json::Object original = has_list_directives ? target : json::Object();
  for (const auto& member : patch) {
    const std::string_view key = key_of(member);
    if (is_directive(key)) continue;
    if (member.value().is_null()) {
      target.stable_erase(key);
      continue;
    }
    json::Value merged = TRY(
        merge_member(target.if_contains(key), member.value(), schema.member(key), join(path, key)));
    target.insert_or_assign(key, std::move(merged));
  }
  TRY(apply_list_directives(target, original, patch, schema, path));
  return target;
}

bool has_objects(const json::Array& list) {
  return std::any_of(list.begin(), list.end(),
                     [](const json::Value& element) { return element.is_object(); });
}

/// Elements of a list as the patch names them: which to delete, which to merge.
struct ListPatch {
  bool replaces = false;
  std::set<std::string> deleted;
  std::vector<const json::Object*> merged;
};

Result<ListPatch> read_list_patch(const json::Array& patch, std::string_view merge_key,
                                  const std::string& path) {
  ListPatch result;
  for (const json::Value& element : patch) {
    const json::Object* object = element.if_object();
    if (!object) return invalid(path, "the list mixes objects and other values");
    const std::string_view directive = TRY(directive_of(*object, path));
    if (directive == "replace") {
      result.replaces = true;
    } else if (directive == "delete") {
      result.deleted.insert(TRY(element_identity(element, merge_key, path)));
    } else {
      result.merged.push_back(object);
    }
  }
  return result;
}

Result<json::Array> merge_keyed_lists(const json::Array& target, const json::Array& patch,
                                      SchemaNode schema, const std::string& path) {
  const std::string_view merge_key = schema.merge_key();
  if (merge_key.empty()) return invalid(path, "cannot merge a list of objects without a merge key");
  const ListPatch changes = TRY(read_list_patch(patch, merge_key, path));
  json::Array result;
  std::unordered_map<std::string, std::size_t> index;
  for (const json::Value& element : target) {
    if (changes.replaces) break;
    const std::string identity = TRY(element_identity(element, merge_key, path));
    if (changes.deleted.contains(identity)) continue;
    index.try_emplace(identity, result.size());
    result.push_back(element);
  }
  std::vector<std::string> wanted;
  for (const json::Object* object : changes.merged) {
    std::string identity = TRY(element_identity(*object, merge_key, path));
    const auto [at, added] = index.try_emplace(identity, result.size());
    if (added) result.push_back(json::Object());
    json::Value& slot = result[at->second];
    slot = TRY(merge_objects(slot.is_object() ? slot.get_object() : json::Object(), *object,
                             schema.items(), fmt::format("{}[{}={}]", path, merge_key, identity)));
    wanted.push_back(std::move(identity));
  }
  const auto original = TRY(element_identities(target, merge_key, path));
  return TRY(order_elements(std::move(result), merge_key, wanted, original, path));
}

Result<json::Array> merge_lists(const json::Array& target, const json::Array& patch,
                                SchemaNode schema, const std::string& path) {
  if (!schema.merges_list()) {
    json::Array result;
    result.reserve(patch.size());
    for (const json::Value& element : patch) {
      result.push_back(element.is_object() ? without_directives(element.get_object()) : element);
    }
    return result;
  }
  if (has_objects(target) || has_objects(patch)) {
    return TRY(merge_keyed_lists(target, patch, schema, path));
  }
  json::Array result;
  std::set<std::string> seen;
  for (const json::Array* list : {&target, &patch}) {
    for (const json::Value& element : *list) {
      if (seen.insert(json::dump_canonical(element)).second) result.push_back(element);
    }
  }
  const auto wanted = TRY(element_identities(patch, {}, path));
  const auto original = TRY(element_identities(target, {}, path));
  return TRY(order_elements(std::move(result), {}, wanted, original, path));
}

}  // namespace

Result<json::Value> apply_strategic_merge(const json::Value& target, const json::Value& patch,
                                          const json::Object& schema) {
  const json::Object* changes = patch.if_object();
  if (!changes) return invalid("", "a strategic merge patch must be an object");
  const json::Object* object = target.if_object();
  return TRY(
      merge_objects(object ? *object : json::Object(), *changes, SchemaNode::resource(schema), ""));
}

}  // namespace apiserver

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/resources/definition.h"
#include "base/clock.h"
#include "json/value.h"

/// The rules of `metadata` that hold for every type. Objects here have an object at `metadata`.
namespace apiserver {

/// The member `key` as an object; made or replaced when it is not one.
json::Object& child(json::Object& parent, std::string_view key);
/// Null when absent or of another kind.
const json::Object* child_if(const json::Object& parent, std::string_view key);
/// "" when absent or of another kind.
std::string_view text_of(const json::Object& object, std::string_view key);
/// Sets `key` unless it is there and not null.
void set_default(json::Object& object, std::string_view key, json::Value value);
/// `apiVersion`, `kind`, `metadata` first, then the rest in its order.
json::Value in_canonical_order(json::Object object);

/// True once deletion was asked for.
bool is_deleting(const json::Value& object);
/// True when deletion was asked for and nothing holds the object any more.
bool may_be_removed(const json::Value& object);

/// Gives a new object its identity; a name is made from generateName when there is none.
void set_new_identity(json::Object& object, const ResourceDefinition& resource, std::string_view ns,
                      base::SystemTime now);
/// Carries over what clients may not change.
void keep_identity(json::Object& object, const json::Object& old);

/// Empty labels, annotations, finalizers and owners are not stored.
void drop_empty_metadata(json::Object& object);

/// All mistakes in names, labels, annotations, finalizers and owners; `old` is null when new.
void validate_metadata(const ResourceDefinition& resource, const json::Object& object,
                       const json::Object* old, std::vector<Cause>& causes);

/// Empty when fine, else what a name must be.
std::string name_problem(NameRule rule, std::string_view name);
/// Empty when fine; for label keys and annotation keys.
std::string qualified_name_problem(std::string_view key);
std::string label_value_problem(std::string_view value);

}  // namespace apiserver

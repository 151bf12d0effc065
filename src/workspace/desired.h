#pragma once

#include <string>
#include <string_view>

#include "api/meta.h"
#include "api/workspace/workspace.h"
#include "json/value.h"

namespace workspace {

/// On the operator's objects: the hash of all that it wants of them.
inline constexpr std::string_view kObjectHashAnnotation = "kaito.sh/object-hash";

/// An object as it should be. `hash` covers all of it and travels as an annotation, so that a
/// change of any field is seen without asking the server.
struct Desired {
  api::ResourceType type;
  json::Value object;
  std::string hash;
};

/// Metadata of an object that belongs to the workspace and goes with it.
json::Object object_metadata(const api::Workspace& workspace, const std::string& name);

/// Seals `object` with its hash.
Desired with_hash(const api::ResourceType& type, json::Object object);

/// Whether `live` already is as wanted: the same hash, and every field of `desired` still in place
/// (fields the server or others added do not count).
bool is_up_to_date(const Desired& desired, const json::Value& live);

/// The JSON patch that makes `live` as wanted: whatever of the operator's own fields differs is
/// replaced as a whole, so that what others added to a list of ours goes, too.
json::Value update_patch(const Desired& desired, const json::Value& live);

/// Whether every field of `wanted` is in `live` with an equal value; lists must have equal lengths.
bool contains(const json::Value& live, const json::Value& wanted);

}  // namespace workspace

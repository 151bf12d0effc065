#pragma once

#include <string>
#include <vector>

#include "apiserver/resources/definition.h"
#include "base/clock.h"
#include "json/value.h"

namespace apiserver {

/// What a row carries of its object.
enum class TableInclude { Metadata, Object, None };

/// `9s`, `3m10s`, `5d`: how kubectl prints a duration.
std::string human_duration(std::chrono::seconds duration);
/// Time since `timestamp`; `<unknown>` when it is empty or not RFC 3339.
std::string age_of(std::string_view timestamp, base::SystemTime now);

/// `kind: PartialObjectMetadata` of an object.
json::Value partial_metadata(const json::Value& object);

/// A meta.k8s.io/v1 Table without rows and metadata.
json::Object make_table(const ResourceDefinition& resource, const VersionDefinition& version);
/// One row for `object` (in the request's version).
json::Value make_row(const ResourceDefinition& resource, const VersionDefinition& version,
                     const json::Value& object, TableInclude include, base::SystemTime now);

}  // namespace apiserver

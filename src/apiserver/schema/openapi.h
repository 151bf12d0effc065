#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "json/value.h"

/// OpenAPI documents for kubectl: `explain`, `apply`, validation. Pure.
namespace apiserver {

/// One served version of a resource type.
struct OpenApiType {
  std::string group;  ///< "" for the core group.
  std::string version;
  std::string kind;
  std::string plural;
  bool namespaced = true;
  bool custom = false;  ///< From a CRD: no strategic merge patch.
  bool status = false;  ///< Has /status.
  bool scale = false;   ///< Has /scale.
  json::Object schema;  ///< OpenAPI v3 of the object; empty when unknown.
};

/// The media type of the protobuf form of `/openapi/v2`; kubectl before 1.25 asks for the second.
inline constexpr std::string_view kOpenApiV2Protobuf =
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
inline constexpr std::string_view kOpenApiV2ProtobufOld =
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// `io.k8s.api.core.v1.Pod`, `sh.kaito.v1beta1.Workspace`.
std::string definition_name(std::string_view group, std::string_view version,
                            std::string_view kind);

/// The body of `/openapi/v3`: `{"paths": {"api/v1": {"serverRelativeURL": ...}}}`; the URLs carry
/// a hash of the documents.
json::Value openapi_v3_index(std::span<const OpenApiType> types);
/// The body of `/openapi/v3/apis/GROUP/VERSION` (or `api/v1`); `types` may hold others too.
json::Value openapi_v3_document(std::span<const OpenApiType> types, std::string_view group,
                                std::string_view version);

/// The body of `/openapi/v2` as JSON.
json::Value openapi_v2_document(std::span<const OpenApiType> types);
/// A document of `openapi_v2_document` as a gnostic openapi.v2.Document message, for
/// kOpenApiV2Protobuf.
std::string openapi_v2_protobuf(const json::Value& document);

}  // namespace apiserver

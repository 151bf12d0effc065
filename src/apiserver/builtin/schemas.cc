#include "apiserver/builtin/schemas.h"

#include "api/apps.h"
#include "api/batch.h"
#include "api/coordination.h"
#include "api/core/config.h"
#include "api/core/event.h"
#include "api/core/namespace.h"
#include "api/core/node.h"
#include "api/core/pod.h"
#include "api/core/service.h"
#include "json/schema.h"

namespace apiserver {

json::Object builtin_schema(std::string_view plural) {
  if (plural == "configmaps") return json::schema_of<api::ConfigMap>();
  if (plural == "secrets") return json::schema_of<api::Secret>();
  if (plural == "events") return json::schema_of<api::Event>();
  if (plural == "namespaces") return json::schema_of<api::Namespace>();
  if (plural == "serviceaccounts") return json::schema_of<api::ServiceAccount>();
  if (plural == "nodes") return json::schema_of<api::Node>();
  if (plural == "pods") return json::schema_of<api::Pod>();
  if (plural == "services") return json::schema_of<api::Service>();
  if (plural == "endpoints") return json::schema_of<api::Endpoints>();
  if (plural == "statefulsets") return json::schema_of<api::StatefulSet>();
  if (plural == "controllerrevisions") return json::schema_of<api::ControllerRevision>();
  if (plural == "jobs") return json::schema_of<api::Job>();
  if (plural == "leases") return json::schema_of<api::Lease>();
  return {};
}

}  // namespace apiserver

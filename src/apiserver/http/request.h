#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/http/accept.h"
#include "apiserver/http/pages.h"
#include "apiserver/objects/engine.h"
#include "apiserver/pod_logs.h"
#include "apiserver/resources/selector.h"
#include "base/context.h"
#include "net/http_server.h"

namespace apiserver {

/// What the handlers share; everything outlives them.
struct HandlerDeps {
  Store& store;
  Registry& registry;
  ObjectEngine& engine;
  const base::Clock& clock;
  PageSnapshots& pages;
  PodLogs* logs = nullptr;  ///< None: logs are not available.
  std::string address;      ///< `127.0.0.1:6443`, for discovery.
  base::Logger log;
};

/// One authenticated request on its way; lives on the connection's thread.
struct ApiRequest {
  const base::Context& ctx;
  net::HttpExchange& exchange;
  std::string user;
  std::vector<std::string> warnings;  ///< Sent with the answer.

  const net::HttpRequestHead& head() const { return exchange.request(); }
  /// "" when absent.
  std::string_view param(std::string_view key) const {
    return head().target.param(key).value_or(std::string_view());
  }
  std::string_view accept() const { return head().headers.get_or("Accept", ""); }
};

/// `true`, `1`, and a bare `?key`, as kube-apiserver reads flags.
bool flag_param(const ApiRequest& request, std::string_view key);
/// Errors: 400 when it is there and not a number.
ApiResult<std::optional<std::int64_t>> int_param(const ApiRequest& request, std::string_view key);

/// The body as a document: JSON or YAML by Content-Type. Null for an empty body.
/// Errors: 400, 413, 415.
ApiResult<json::Value> read_document(ApiRequest& request);
/// The same, where any media type in `accepted` means JSON or YAML.
ApiResult<json::Value> parse_document(std::string_view body, bool yaml);
ApiResult<std::string> read_body(ApiRequest& request);

/// Sends JSON text; broken connections are nobody's error any more.
void send_json(ApiRequest& request, int status, std::string text);
void send_value(ApiRequest& request, int status, const json::Value& value);
void send_error(ApiRequest& request, const ApiError& error);
/// One object in the form the client asked for.
void send_object(ApiRequest& request, const HandlerDeps& deps, const Answer& answer,
                 const Target& target, int status, const StoredObject& object);

/// Text of an object in the target's version, without a copy where that is the stored one.
std::string object_text(const Target& target, const StoredObject& object);
json::Value object_value(const Target& target, const StoredObject& object);

ApiResult<WriteOptions> write_options(const ApiRequest& request);

struct Selection {
  LabelQuery labels;
  FieldQuery fields;
  bool empty() const { return labels.empty() && fields.empty(); }
  bool matches(const json::Value& object) const {
    return labels.matches(object) && fields.matches(object);
  }
};
/// Errors: 400.
ApiResult<Selection> selection_of(const ApiRequest& request);

// The verbs; each answers the request or returns the error to answer with.
ApiStatus handle_list(ApiRequest& request, const HandlerDeps& deps, const Target& target);
ApiStatus handle_watch(ApiRequest& request, const HandlerDeps& deps, const Target& target);
ApiStatus handle_get(ApiRequest& request, const HandlerDeps& deps, const Target& target);
ApiStatus handle_create(ApiRequest& request, const HandlerDeps& deps, const Target& target);
ApiStatus handle_update(ApiRequest& request, const HandlerDeps& deps, const Target& target);
ApiStatus handle_patch(ApiRequest& request, const HandlerDeps& deps, const Target& target);
ApiStatus handle_delete(ApiRequest& request, const HandlerDeps& deps, const Target& target);
ApiStatus handle_delete_collection(ApiRequest& request, const HandlerDeps& deps,
                                   const Target& target);
/// scale, log, binding, eviction, finalize.
ApiStatus handle_subresource(ApiRequest& request, const HandlerDeps& deps, const Target& target);
ApiStatus handle_logs(ApiRequest& request, const HandlerDeps& deps, const Target& target);
/// SelfSubjectAccessReview and its kin.
ApiStatus handle_review(ApiRequest& request, std::string_view group, std::string_view plural);

enum class PatchSupport { WithStrategic, WithoutStrategic };
struct PatchBody {
  PatchType type = PatchType::Merge;
  json::Value document;
};
/// Errors: 400, 413, 415 with the list of what is supported.
ApiResult<PatchBody> read_patch(ApiRequest& request, PatchSupport support);

}  // namespace apiserver

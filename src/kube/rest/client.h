#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/meta.h"
#include "base/context.h"
#include "base/result.h"
#include "json/value.h"
#include "net/tls.h"

namespace kube {

/// How to reach an API server.
struct RestConfig {
  std::string server;  ///< `https://127.0.0.1:6443`
  net::TlsClientOptions tls;
  std::string bearer_token;
  /// Re-read for every request when set (in-cluster tokens rotate).
  std::string bearer_token_file;
  std::string user_agent = "kaito-cpp";
  double requests_per_second = 0;  ///< Client-side limit; 0 is none.
  std::size_t burst = 50;

  /// Errors: Invalid, naming the file and what is wrong; NotFound.
  static base::Result<RestConfig> from_kubeconfig_file(const std::string& path,
                                                       std::string_view context = {});
  static base::Result<RestConfig> from_kubeconfig(std::string_view yaml,
                                                  std::string_view context = {},
                                                  const std::string& base_directory = {});
  /// Reads the service account of a pod below `root` (tests choose another).
  static base::Result<RestConfig> in_cluster(
      const std::string& host, const std::string& port,
      const std::string& root = "/var/run/secrets/kubernetes.io/serviceaccount");
};

struct ListOptions {
  std::string ns;  ///< "" lists all namespaces.
  std::string label_selector;
  std::string field_selector;
  std::size_t limit = 0;
  std::string continue_token;
  std::string resource_version;
};

struct ListResult {
  std::vector<json::Value> items;
  std::string resource_version;
  std::string continue_token;
};

enum class PatchType { Json, Merge, StrategicMerge, Apply };

struct WriteOptions {
  std::string subresource;  ///< "", `status` or `scale`.
  std::string field_manager;
  bool force = false;  ///< Apply only: take over fields of other managers.
};

enum class Propagation { Default, Background, Foreground, Orphan };

struct DeleteOptions {
  Propagation propagation = Propagation::Default;
  std::optional<std::int64_t> grace_period_seconds;
  std::string uid;               ///< Precondition, "" is none.
  std::string resource_version;  ///< Precondition, "" is none.
};

enum class WatchEventType { Added, Modified, Deleted, Bookmark };

struct WatchEvent {
  WatchEventType type = WatchEventType::Added;
  json::Value object;
};

struct WatchOptions {
  std::string ns;
  std::string label_selector;
  std::string field_selector;
  std::string resource_version;
  std::chrono::seconds timeout{300};  ///< The server ends the watch after this long.
  /// How much longer it may take before the watch counts as stalled and ends with Unavailable.
  std::chrono::milliseconds margin{30'000};
};

/// The Kubernetes API as it is: typed by ResourceType, values untyped. Safe from many threads. 429
/// and 503 with Retry-After are waited for and tried again within the context (a bounded number of
/// times, limits.h); everything else is one attempt. Requests without a deadline get one.
/// Errors carry the server's message and HTTP status: NotFound 404, AlreadyExists and Conflict 409,
/// Gone 410, Invalid 400/422, Unauthorized 401, Forbidden 403, Throttled 429, Unavailable 5xx and
/// transport, Timeout, Cancelled.
class Client {
 public:
  static base::Result<std::unique_ptr<Client>> create(const RestConfig& config);
  virtual ~Client() = default;

  using Type = api::ResourceType;
  using Key = api::ObjectKey;
  using Context = base::Context;

  virtual base::Result<json::Value> get(const Context&, const Type&, const Key&) = 0;
  virtual base::Result<ListResult> list(const Context&, const Type&, const ListOptions&) = 0;
  /// As `list`, but hands each object to `on_item` as soon as it arrived, so that a list needs the
  /// memory of one object; `items` of the result stays empty.
  virtual base::Result<ListResult> list_each(
      const Context&, const Type&, const ListOptions&,
      const std::function<base::Status(json::Value)>& on_item) = 0;
  virtual base::Result<json::Value> create(const Context&, const Type&, const json::Value& object,
                                           const WriteOptions& = {}) = 0;
  /// PUT. For whole documents that came from a user or for subresources; never for decoded objects.
  virtual base::Result<json::Value> update(const Context&, const Type&, const Key&,
                                           const json::Value& object, const WriteOptions& = {}) = 0;
  virtual base::Result<json::Value> patch(const Context&, const Type&, const Key&, PatchType,
                                          const json::Value& patch, const WriteOptions& = {}) = 0;
  virtual base::Status remove(const Context&, const Type&, const Key&,
                              const DeleteOptions& = {}) = 0;
  /// Calls `on_event` on this thread until the server ends the watch (success), the context ends
  /// (Cancelled), the version is too old (Gone), or `on_event` fails (its error).
  virtual base::Status watch(const Context&, const Type&, const WatchOptions&,
                             const std::function<base::Status(WatchEvent)>& on_event) = 0;
  /// GET of any path; the body streams to `on_bytes` (logs, /version).
  virtual base::Status get_raw(const Context&, const std::string& path_and_query,
                               const std::function<base::Status(std::string_view)>& on_bytes) = 0;
};

// Typed fronts: T::kType says where, describe(T) says what.

template <api::Resource T>
base::Result<T> get(const base::Context& ctx, Client& client, const api::ObjectKey& key) {
  const json::Value value = TRY(client.get(ctx, T::kType, key));
  return json::decode<T>(value);
}

template <api::Resource T>
base::Result<std::vector<T>> list(const base::Context& ctx, Client& client,
                                  const ListOptions& options = {}) {
  const ListResult result = TRY(client.list(ctx, T::kType, options));
  std::vector<T> items;
  items.reserve(result.items.size());
  for (const json::Value& item : result.items) items.push_back(TRY(json::decode<T>(item)));
  return items;
}

template <api::Resource T>
base::Result<T> create(const base::Context& ctx, Client& client, const T& object,
                       const WriteOptions& options = {}) {
  const json::Value value = TRY(client.create(ctx, T::kType, json::encode(object), options));
  return json::decode<T>(value);
}

/// Server-side apply of the fields `object` sets, forced, under `field_manager`.
template <api::Resource T>
base::Result<T> apply(const base::Context& ctx, Client& client, const T& object,
                      std::string field_manager) {
  WriteOptions options;
  options.field_manager = std::move(field_manager);
  options.force = true;
  const json::Value value = TRY(client.patch(ctx, T::kType, object.metadata.key(), PatchType::Apply,
                                             json::encode(object), options));
  return json::decode<T>(value);
}

/// Merge patch of the status subresource: `status` is the JSON below `.status`.
template <api::Resource T>
base::Result<T> patch_status(const base::Context& ctx, Client& client, const api::ObjectKey& key,
                             json::Value status, std::string resource_version = {}) {
  json::Object body{{"status", std::move(status)}};
  if (!resource_version.empty())
    body["metadata"] = json::Object{{"resourceVersion", json::String(resource_version)}};
  WriteOptions options;
  options.subresource = "status";
  const json::Value value = TRY(client.patch(ctx, T::kType, key, PatchType::Merge, body, options));
  return json::decode<T>(value);
}

template <api::Resource T>
base::Status remove(const base::Context& ctx, Client& client, const api::ObjectKey& key,
                    const DeleteOptions& options = {}) {
  return client.remove(ctx, T::kType, key, options);
}

}  // namespace kube

#include "kube/rest/client.h"

#include <fmt/format.h>

#include <utility>

#include "kube/limits.h"
#include "kube/rest/framing.h"
#include "kube/rest/status_error.h"
#include "kube/rest/transport.h"
#include "kube/rest/url.h"

namespace kube {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::Status;
using json::Value;

constexpr json::ParseLimits kParseLimits{.max_depth = kMaxDocumentDepth,
                                         .max_bytes = kMaxObjectBytes};
constexpr std::string_view kJson = "application/json";

Result<Value> parse(std::string_view text) {
  return base::with_context(json::parse(text, kParseLimits), "answer of the API server");
}

std::string_view content_type(PatchType type) {
  switch (type) {
    case PatchType::Json:
      return "application/json-patch+json";
    case PatchType::Merge:
      return "application/merge-patch+json";
    case PatchType::StrategicMerge:
      return "application/strategic-merge-patch+json";
    case PatchType::Apply:
      return "application/apply-patch+yaml";
  }
  return kJson;
}

std::string_view text_of(Propagation propagation) {
  switch (propagation) {
    case Propagation::Default:
      break;
    case Propagation::Background:
      return "Background";
    case Propagation::Foreground:
      return "Foreground";
    case Propagation::Orphan:
      return "Orphan";
  }
  return {};
}

json::String string(std::string_view text) { return json::String(text.data(), text.size()); }

void add_selectors(std::string& path, std::string_view labels, std::string_view fields) {
  if (!labels.empty()) add_query(path, "labelSelector", labels);
  if (!fields.empty()) add_query(path, "fieldSelector", fields);
}

std::string list_path(const api::ResourceType& type, const ListOptions& options) {
  std::string path = collection_path(type, options.ns);
  add_selectors(path, options.label_selector, options.field_selector);
  if (options.limit > 0) add_query(path, "limit", fmt::format("{}", options.limit));
  if (!options.continue_token.empty()) add_query(path, "continue", options.continue_token);
  if (!options.resource_version.empty()) {
    add_query(path, "resourceVersion", options.resource_version);
  }
  return path;
}

std::string watch_path(const api::ResourceType& type, const WatchOptions& options) {
  std::string path = collection_path(type, options.ns);
  add_query(path, "watch", "true");
  add_query(path, "allowWatchBookmarks", "true");
  add_selectors(path, options.label_selector, options.field_selector);
  if (!options.resource_version.empty()) {
    add_query(path, "resourceVersion", options.resource_version);
  }
  add_query(path, "timeoutSeconds", fmt::format("{}", options.timeout.count()));
  return path;
}

void add_write_options(std::string& path, const WriteOptions& options) {
  if (!options.field_manager.empty()) add_query(path, "fieldManager", options.field_manager);
  if (options.force) add_query(path, "force", "true");
}

std::string delete_body(const DeleteOptions& options) {
  json::Object body{{"apiVersion", "v1"}, {"kind", "DeleteOptions"}};
  if (const auto policy = text_of(options.propagation); !policy.empty()) {
    body["propagationPolicy"] = string(policy);
  }
  if (options.grace_period_seconds) body["gracePeriodSeconds"] = *options.grace_period_seconds;
  json::Object preconditions;
  if (!options.uid.empty()) preconditions["uid"] = string(options.uid);
  if (!options.resource_version.empty()) {
    preconditions["resourceVersion"] = string(options.resource_version);
  }
  if (!preconditions.empty()) body["preconditions"] = std::move(preconditions);
  return json::dump(body);
}

/// One line of a watch. Errors: the one inside an ERROR event.
Result<WatchEvent> parse_event(std::string_view line) {
  Value frame = TRY(parse(line));
  const std::string_view type = json::find_string(frame, "type");
  Value* object = json::find(frame, "object");
  if (!object || !object->is_object()) {
    return Error(ErrorCode::Unavailable, "a watch event has no object");
  }
  if (type == "ERROR") return status_error(*object);
  WatchEvent event;
  if (type == "ADDED") {
    event.type = WatchEventType::Added;
  } else if (type == "MODIFIED") {
    event.type = WatchEventType::Modified;
  } else if (type == "DELETED") {
    event.type = WatchEventType::Deleted;
  } else if (type == "BOOKMARK") {
    event.type = WatchEventType::Bookmark;
  } else {
    return Error(ErrorCode::Unavailable, fmt::format("unknown watch event '{}'", type));
  }
  event.object = std::move(*object);
  return event;
}

class HttpApiClient final : public Client {
 public:
  explicit HttpApiClient(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}

  Result<Value> get(const Context& ctx, const Type& type, const Key& key) override {
    return call(ctx, {.path = TRY(object_path(type, key))});
  }

  Result<ListResult> list(const Context& ctx, const Type& type,
                          const ListOptions& options) override {
    std::vector<Value> items;
    ListResult result = TRY(list_each(ctx, type, options, [&](Value item) -> Status {
      items.push_back(std::move(item));
      return {};
    }));
    result.items = std::move(items);
    return result;
  }

  Result<ListResult> list_each(const Context& ctx, const Type& type, const ListOptions& options,
                               const std::function<Status(Value)>& on_item) override {
    ListSplitter splitter(kMaxObjectBytes, [&](std::string_view text) -> Status {
      return on_item(TRY(parse(text)));
    });
    TRY(transport_->stream(ctx.with_timeout(kListTimeout), {.path = list_path(type, options)},
                           [&](std::string_view bytes) { return splitter.feed(bytes); }));
    const Value envelope = TRY(parse(splitter.envelope()));
    ListResult result;
    result.resource_version = json::find_string(envelope, "metadata.resourceVersion");
    result.continue_token = json::find_string(envelope, "metadata.continue");
    return result;
  }

  Result<Value> create(const Context& ctx, const Type& type, const Value& object,
                       const WriteOptions& options) override {
    const std::string ns(json::find_string(object, "metadata.namespace"));
    std::string path;
    if (!options.subresource.empty()) {
      const std::string name(json::find_string(object, "metadata.name"));
      path = TRY(object_path(type, {ns, name}, options.subresource));
    } else if (type.namespaced && ns.empty()) {
      return Error(ErrorCode::Invalid, fmt::format("{}: metadata.namespace is missing", type.kind));
    } else {
      path = collection_path(type, ns);
    }
    add_write_options(path, options);
    Transport::Request request = write("POST", std::move(path), kJson, object);
    // 429 from an eviction means that a disruption budget forbids it, not that the server is busy.
    request.wait_when_throttled = options.subresource != "eviction";
    return call(ctx, request);
  }

  Result<Value> update(const Context& ctx, const Type& type, const Key& key, const Value& object,
                       const WriteOptions& options) override {
    std::string path = TRY(object_path(type, key, options.subresource));
    add_write_options(path, options);
    return call(ctx, write("PUT", std::move(path), kJson, object));
  }

  Result<Value> patch(const Context& ctx, const Type& type, const Key& key, PatchType patch_type,
                      const Value& patch, const WriteOptions& options) override {
    if (patch_type == PatchType::Apply && options.field_manager.empty()) {
      return Error(ErrorCode::Invalid, "apply needs a field manager");
    }
    std::string path = TRY(object_path(type, key, options.subresource));
    add_write_options(path, options);
    return call(ctx, write("PATCH", std::move(path), content_type(patch_type), patch));
  }

  Status remove(const Context& ctx, const Type& type, const Key& key,
                const DeleteOptions& options) override {
    Transport::Request request{.method = "DELETE",
                               .path = TRY(object_path(type, key)),
                               .content_type = std::string(kJson),
                               .body = delete_body(options)};
    TRY(transport_->send(ctx.with_timeout(kRequestTimeout), request));
    return {};
  }

  Status watch(const Context& ctx, const Type& type, const WatchOptions& options,
               const std::function<Status(WatchEvent)>& on_event) override {
    LineSplitter splitter(kMaxWatchFrameBytes, [&](std::string_view line) -> Status {
      return on_event(TRY(parse_event(line)));
    });
    const base::Context bounded = ctx.with_timeout(options.timeout + options.margin);
    const Status status =
        transport_->stream(bounded, {.path = watch_path(type, options)},
                           [&](std::string_view bytes) { return splitter.feed(bytes); });
    if (status) {
      if (!splitter.has_rest()) return {};
      return Error(ErrorCode::Unavailable, "the watch ended inside an event");
    }
    if (status.error().code() == ErrorCode::Timeout && !ctx.done()) {
      return Error(ErrorCode::Unavailable,
                   fmt::format("the server did not end the watch after {} s: it hangs",
                               options.timeout.count()));
    }
    return status;
  }

  Status get_raw(const Context& ctx, const std::string& path_and_query,
                 const std::function<Status(std::string_view)>& on_bytes) override {
    if (!path_and_query.starts_with('/')) {
      return Error(ErrorCode::Invalid, fmt::format("path '{}' must begin with /", path_and_query));
    }
    return transport_->stream(ctx, {.path = path_and_query}, on_bytes);
  }

 private:
  static Transport::Request write(std::string method, std::string path, std::string_view type,
                                  const Value& body) {
    return {.method = std::move(method),
            .path = std::move(path),
            .content_type = std::string(type),
            .body = json::dump(body)};
  }

  Result<Value> call(const Context& ctx, const Transport::Request& request) {
    const std::string body = TRY(transport_->send(ctx.with_timeout(kRequestTimeout), request));
    return parse(body);
  }

  std::unique_ptr<Transport> transport_;
};

}  // namespace

Result<std::unique_ptr<Client>> Client::create(const RestConfig& config) {
  if (config.server.empty())
    return Error(ErrorCode::Invalid, "the API server's address is missing");
  auto transport = TRY(Transport::create(config));
  return std::unique_ptr<Client>(std::make_unique<HttpApiClient>(std::move(transport)));
}

}  // namespace kube

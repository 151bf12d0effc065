#include <fmt/format.h>

#include <charconv>

#include "apiserver/http/request.h"
#include "apiserver/objects/metadata.h"
#include "apiserver/resources/table.h"
#include "base/random.h"

/// GET of collections with `watch`.
namespace apiserver {
namespace {

using namespace std::chrono_literals;

/// Between looks at whether the client is still there.
constexpr auto kPoll = 1s;
constexpr auto kBookmarkInterval = 10s;
/// Without timeoutSeconds a watch ends after half an hour to an hour, as kube-apiserver's do.
constexpr std::int64_t kDefaultTimeoutSeconds = 1800;
/// Events are gathered up to this size before they are written.
constexpr std::size_t kBatchBytes = 64 << 10;
constexpr const char* kInitialEventsEnd = "k8s.io/initial-events-end";

struct WatchRequest {
  std::optional<Revision> from;
  bool bookmarks = false;
  bool initial_end_mark = false;  ///< sendInitialEvents: tell where they end.
  bool skip_initial = false;      ///< From now on.
  std::chrono::seconds timeout{0};
  std::string name;  ///< Only this object.
};

ApiResult<WatchRequest> parse_watch(const ApiRequest& request, const Target& target,
                                    const Selection& selection) {
  WatchRequest watch;
  const std::string_view version = request.param("resourceVersion");
  if (!version.empty() && version != "0") {
    Revision from = 0;
    const auto [end, error] =
        std::from_chars(version.data(), version.data() + version.size(), from);
    if (error != std::errc() || end != version.data() + version.size())
      return bad_request(fmt::format("resourceVersion: Invalid value: \"{}\"", version));
    watch.from = from;
  }
  watch.bookmarks = flag_param(request, "allowWatchBookmarks");
  const std::string_view initial = request.param("sendInitialEvents");
  if (!initial.empty()) {
    if (request.param("resourceVersionMatch") != "NotOlderThan")
      return status_error(422, "Invalid",
                          "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
                          "resourceVersionMatch to NotOlderThan");
    if (initial == "true") {
      watch.from.reset();
      watch.initial_end_mark = true;
    } else if (!watch.from) {
      watch.skip_initial = true;
    }
  }
  const auto timeout = TRY(int_param(request, "timeoutSeconds"));
  const auto spread = static_cast<std::int64_t>(base::random_below(kDefaultTimeoutSeconds));
  watch.timeout =
      std::chrono::seconds(timeout && *timeout > 0 ? *timeout : kDefaultTimeoutSeconds + spread);
  watch.name =
      target.name.empty() ? std::string(selection.fields.required("metadata.name")) : target.name;
  return watch;
}

/// Turns changes into lines of the stream.
class EventWriter {
 public:
  EventWriter(const Target& target, const Answer& answer, const ApiRequest& request,
              const base::Clock& clock)
      : target_(target), answer_(answer), clock_(clock) {
    const std::string_view include = request.param("includeObject");
    include_ = include == "Object" ? TableInclude::Object
               : include == "None" ? TableInclude::None
                                   : TableInclude::Metadata;
  }

  void add(std::string& out, std::string_view type, const StoredObject& object) {
    add_text(out, type, render(object));
  }
  /// The state before a change, as the object looked when it left the selection.
  void add_left(std::string& out, const StoredObject& before, Revision revision) {
    StoredObject last;
    last.revision = revision;
    last.value = before.value;
    child(last.value.get_object(), "metadata")["resourceVersion"] =
        json::String(fmt::format("{}", revision));
    last.text = json::dump(last.value);
    add(out, "DELETED", last);
  }
  void add_bookmark(std::string& out, Revision revision, bool initial_end) {
    json::Object metadata{{"resourceVersion", json::String(fmt::format("{}", revision))}};
    if (initial_end) metadata["annotations"] = json::Object{{kInitialEventsEnd, "true"}};
    json::Object object;
    if (answer_.view == View::Table) {
      object = make_table(*target_.definition, *target_.version);
      object["columnDefinitions"] = nullptr;
    } else if (answer_.view == View::Partial) {
      object = {{"kind", "PartialObjectMetadata"}, {"apiVersion", "meta.k8s.io/v1"}};
    } else {
      object = {{"kind", json::String(target_.definition->kind)},
                {"apiVersion", json::String(target_.api_version())}};
    }
    object["metadata"] = std::move(metadata);
    add_text(out, "BOOKMARK", json::dump(object));
  }
  static void add_error(std::string& out, const ApiError& error) {
    add_text(out, "ERROR", json::dump(error.to_status()));
  }

 private:
  static void add_text(std::string& out, std::string_view type, std::string_view object) {
    out += "{\"type\":\"";
    out += type;
    out += "\",\"object\":";
    out += object;
    out += "}\n";
  }

  std::string render(const StoredObject& object) {
    if (answer_.view == View::Object) return object_text(target_, object);
    if (answer_.view == View::Partial) return json::dump(partial_metadata(object.value));
    json::Object table = make_table(*target_.definition, *target_.version);
    if (headers_sent_) table["columnDefinitions"] = nullptr;
    headers_sent_ = true;
    child(table, "metadata")["resourceVersion"] = json::String(fmt::format("{}", object.revision));
    table["rows"].get_array().push_back(make_row(*target_.definition, *target_.version,
                                                 object_value(target_, object), include_,
                                                 clock_.now()));
    return json::dump(table);
  }

  const Target& target_;
  const Answer& answer_;
  const base::Clock& clock_;
  TableInclude include_ = TableInclude::Metadata;
  bool headers_sent_ = false;
};

void add_change(std::string& out, EventWriter& writer, const Selection& selection,
                const Change& change) {
  const bool now = selection.matches(change.object->value);
  const bool before = change.type != ChangeType::Added && selection.matches(change.previous->value);
  if (change.type == ChangeType::Deleted) {
    if (before) writer.add(out, "DELETED", *change.object);
  } else if (now) {
    writer.add(out, before ? "MODIFIED" : "ADDED", *change.object);
  } else if (before) {
    writer.add_left(out, *change.previous, change.revision);
  }
}

/// False once the definition of a custom resource has gone.
bool still_served(const HandlerDeps& deps, const ResourceDefinition& resource) {
  return !resource.custom ||
         deps.registry.catalog()->find(resource.group, resource.plural) != nullptr;
}

/// Writes changes until the client leaves, the time is over, the type has gone or the server stops.
void pump(ApiRequest& request, const HandlerDeps& deps, const Target& target,
          const WatchRequest& watch, const Selection& selection, EventWriter& writer,
          Watcher& watcher) {
  const auto end = std::chrono::steady_clock::now() + watch.timeout;
  auto next_bookmark = std::chrono::steady_clock::now() + kBookmarkInterval;
  std::string out;
  while (!request.ctx.stopped() && !request.exchange.client_gone()) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= end) return;
    auto change =
        watcher.next(request.ctx.stop(), std::min<std::chrono::nanoseconds>(kPoll, end - now));
    while (change) {
      add_change(out, writer, selection, **change);
      if (out.size() >= kBatchBytes) break;
      change = watcher.try_next();
    }
    if (out.empty() && watcher.overflowed()) {
      EventWriter::add_error(out, gone("the watch fell too far behind: list again").error());
      (void)request.exchange.write(out);
      return;
    }
    if (watch.bookmarks && out.empty() && std::chrono::steady_clock::now() >= next_bookmark) {
      // Read before the look into the queue: all changes up to it were offered already.
      const Revision revision = deps.store.revision();
      auto late = watcher.try_next();
      if (late) {
        add_change(out, writer, selection, **late);
      } else {
        writer.add_bookmark(out, revision, false);
        next_bookmark = std::chrono::steady_clock::now() + kBookmarkInterval;
      }
    }
    if (out.empty() && !still_served(deps, *target.definition)) return;
    if (out.empty()) continue;
    if (!request.exchange.write(out)) return;
    out.clear();
  }
}

}  // namespace

ApiStatus handle_watch(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const Answer answer = TRY(negotiate(request.accept()));
  const Selection selection = TRY(selection_of(request));
  const WatchRequest wanted = TRY(parse_watch(request, target, selection));
  net::HttpResponse head;
  head.headers.add("Content-Type", "application/json");
  head.headers.add("Cache-Control", "no-cache, private");
  if (wanted.from && *wanted.from > deps.store.revision())
    return status_error(504, "Timeout",
                        fmt::format("Too large resource version: {}, current: {}", *wanted.from,
                                    deps.store.revision()));
  EventWriter writer(target, answer, request, deps.clock);
  auto watch =
      deps.store.watch({target.definition->storage_key(), target.ns, wanted.name}, wanted.from);
  if (!request.exchange.start_stream(std::move(head))) return {};
  std::string out;
  if (!watch) {
    EventWriter::add_error(out, gone(watch.error().message()).error());
    (void)request.exchange.write(out);
    return {};
  }
  if (!wanted.from) {
    if (!wanted.skip_initial) {
      for (const ObjectRef& object : watch->initial.objects) {
        if (selection.matches(object->value)) writer.add(out, "ADDED", *object);
        if (out.size() < kBatchBytes) continue;
        if (!request.exchange.write(out)) return {};
        out.clear();
      }
    }
    if (wanted.initial_end_mark && wanted.bookmarks)
      writer.add_bookmark(out, watch->initial.revision, true);
    if (!out.empty() && !request.exchange.write(out)) return {};
    watch->initial.objects.clear();
  }
  pump(request, deps, target, wanted, selection, writer, *watch->watcher);
  return {};
}

}  // namespace apiserver

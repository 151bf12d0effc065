#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "apiserver/http/request.h"
#include "apiserver/objects/metadata.h"
#include "apiserver/resources/table.h"
#include "base/encoding.h"

/// GET of collections and of single objects.
namespace apiserver {
namespace {

/// Where the next page begins: after `ns/name`, in the state of `revision`.
struct ContinueToken {
  Revision revision = 0;
  std::string ns;
  std::string name;
};

std::string encode(const ContinueToken& token) {
  return base::to_base64(json::dump(json::Object{{"v", "meta.k8s.io/v1"},
                                                 {"rv", token.revision},
                                                 {"ns", json::String(token.ns)},
                                                 {"start", json::String(token.name)}}));
}

ApiResult<ContinueToken> decode(std::string_view text) {
  const auto plain = base::from_base64(text);
  const auto value = plain ? json::parse(*plain) : base::Result<json::Value>(plain.error());
  const auto revision = value ? json::find_int(*value, "rv") : std::nullopt;
  if (!revision) return bad_request("continue key is not valid");
  return ContinueToken{static_cast<Revision>(*revision),
                       std::string(json::find_string(*value, "ns")),
                       std::string(json::find_string(*value, "start"))};
}

ApiResult<std::optional<Revision>> revision_param(const ApiRequest& request) {
  const std::string_view text = request.param("resourceVersion");
  if (text.empty()) return std::nullopt;
  Revision revision = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), revision);
  if (error != std::errc() || end != text.data() + text.size())
    return bad_request(fmt::format("resourceVersion: Invalid value: \"{}\"", text));
  return revision;
}

std::unexpected<ApiError> too_large_version(Revision wanted, Revision current) {
  auto error = status_error(
      504, "Timeout", fmt::format("Too large resource version: {}, current: {}", wanted, current));
  error.error().retry_after_seconds = 1;
  error.error().causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  return error;
}

/// One page: the objects and what the list's metadata says.
struct Page {
  std::vector<ObjectRef> objects;
  Revision revision = 0;
  std::string next;
  std::optional<std::size_t> remaining;
};

/// Errors: 410 when the state that the page belongs to is gone.
ApiResult<Snapshot> snapshot_for(const ApiRequest& request, const HandlerDeps& deps,
                                 const Target& target, const std::optional<ContinueToken>& token) {
  const std::string key = target.definition->storage_key();
  Snapshot snapshot = deps.store.list(key, target.ns);
  if (token) {
    // Pages of one list must show one state. The present one serves as long as nothing changed.
    if (!deps.store.unchanged_since(key, token->revision))
      return gone(
          "The provided continue parameter is too old to display a consistent list result. You "
          "must start a new list without the continue parameter.");
    snapshot.revision = token->revision;
    return snapshot;
  }
  const auto wanted = TRY(revision_param(request));
  if (!wanted || *wanted == 0) return snapshot;
  if (*wanted > snapshot.revision) return too_large_version(*wanted, snapshot.revision);
  if (request.param("resourceVersionMatch") == "Exact") {
    if (!deps.store.unchanged_since(key, *wanted))
      return gone(fmt::format("too old resource version: {} ({})", *wanted, snapshot.revision));
    snapshot.revision = *wanted;
  }
  return snapshot;
}

/// Splits a snapshot into pages. Snapshots of lists in progress are kept in `deps.pages`.
ApiResult<Page> page_of(const ApiRequest& request, const HandlerDeps& deps, const Target& target,
                        const Selection& selection) {
  const auto limit = TRY(int_param(request, "limit"));
  std::optional<ContinueToken> token;
  if (const auto text = request.param("continue"); !text.empty()) token = TRY(decode(text));
  std::optional<Snapshot> kept;
  if (token) kept = deps.pages.find(target.definition->storage_key(), target.ns, token->revision);
  if (!kept) kept = TRY(snapshot_for(request, deps, target, token));

  Page page;
  page.revision = kept->revision;
  auto at = kept->objects.begin();
  if (token) {
    const auto start = std::pair<std::string_view, std::string_view>(token->ns, token->name);
    at = std::upper_bound(
        at, kept->objects.end(), start, [](const auto& after, const ObjectRef& object) {
          return after < std::pair(json::find_string(object->value, "metadata.namespace"),
                                   json::find_string(object->value, "metadata.name"));
        });
  }
  const auto room = limit && *limit > 0 ? static_cast<std::size_t>(*limit) : kept->objects.size();
  const auto name = selection.fields.required("metadata.name");
  for (; at != kept->objects.end() && page.objects.size() < room; ++at) {
    const json::Value& value = (*at)->value;
    if (!name.empty() && json::find_string(value, "metadata.name") != name) continue;
    if (selection.matches(value)) page.objects.push_back(*at);
  }
  if (at == kept->objects.end() || page.objects.empty()) return page;
  const json::Value& last = (*std::prev(at))->value;
  page.next = encode({page.revision, std::string(json::find_string(last, "metadata.namespace")),
                      std::string(json::find_string(last, "metadata.name"))});
  if (selection.empty())
    page.remaining = static_cast<std::size_t>(std::distance(at, kept->objects.end()));
  deps.pages.keep(target.definition->storage_key(), target.ns, *std::move(kept));
  return page;
}

json::Object list_metadata(const Page& page) {
  json::Object metadata{{"resourceVersion", json::String(fmt::format("{}", page.revision))}};
  if (!page.next.empty()) metadata["continue"] = json::String(page.next);
  if (page.remaining) metadata["remainingItemCount"] = *page.remaining;
  return metadata;
}

}  // namespace

ApiStatus handle_list(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const Answer answer = TRY(negotiate(request.accept()));
  const Selection selection = TRY(selection_of(request));
  const Page page = TRY(page_of(request, deps, target, selection));
  if (answer.view == View::Table) {
    const std::string_view include = request.param("includeObject");
    const auto part = include == "Object" ? TableInclude::Object
                      : include == "None" ? TableInclude::None
                                          : TableInclude::Metadata;
    json::Object table = make_table(*target.definition, *target.version);
    table["metadata"] = list_metadata(page);
    json::Array& rows = table["rows"].get_array();
    for (const ObjectRef& object : page.objects)
      rows.push_back(make_row(*target.definition, *target.version, object_value(target, *object),
                              part, deps.clock.now()));
    send_value(request, 200, table);
    return {};
  }
  const bool partial = answer.view == View::Partial;
  const json::Object head{
      {"kind", json::String(partial ? "PartialObjectMetadataList" : target.definition->list_kind)},
      {"apiVersion", json::String(partial ? "meta.k8s.io/v1" : target.api_version())},
      {"metadata", list_metadata(page)}};
  std::string text = json::dump(head);
  text.pop_back();
  text += ",\"items\":[";
  bool first = true;
  for (const ObjectRef& object : page.objects) {
    if (!first) text.push_back(',');
    first = false;
    text += partial ? json::dump(partial_metadata(object->value)) : object_text(target, *object);
  }
  text += "]}\n";
  send_json(request, 200, std::move(text));
  return {};
}

ApiStatus handle_get(ApiRequest& request, const HandlerDeps& deps, const Target& target) {
  const Answer answer = TRY(negotiate(request.accept()));
  const auto wanted = TRY(revision_param(request));
  if (wanted && *wanted > deps.store.revision())
    return too_large_version(*wanted, deps.store.revision());
  const ObjectRef object = TRY(deps.engine.get(target));
  send_object(request, deps, answer, target, 200, *object);
  return {};
}

}  // namespace apiserver

#include "apiserver/store/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "apiserver/store/sqlite.h"

namespace apiserver {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS objects(resource TEXT NOT NULL, ns TEXT NOT NULL,"
    " name TEXT NOT NULL, uid TEXT NOT NULL, rev INTEGER NOT NULL, json TEXT NOT NULL,"
    " PRIMARY KEY(resource, ns, name));"
    "INSERT OR IGNORE INTO meta VALUES('revision', 1);";

/// What is stored was parsed once under the limits of requests, plus what the server added.
constexpr json::ParseLimits kStoredLimits{.max_depth = 128, .max_bytes = 64 << 20};

ObjectRef stamp(json::Value value, Revision revision) {
  auto stored = std::make_shared<StoredObject>();
  stored->revision = revision;
  value.as_object()["metadata"].as_object()["resourceVersion"] = fmt::format("{}", revision);
  stored->text = json::dump(value);
  stored->value = std::move(value);
  return stored;
}

}  // namespace

/// The database side: prepared statements and the counter.
struct Store::Writer {
  Writer(std::unique_ptr<SqlDatabase> db, SqlStatement saving, SqlStatement erasing,
         SqlStatement counting)
      : database(std::move(db)),
        save(std::move(saving)),
        erase(std::move(erasing)),
        counter(std::move(counting)) {}

  base::Status commit(const Change& change) {
    TRY(database->execute("BEGIN IMMEDIATE"));
    base::Status done = statements(change);
    if (done) done = database->execute("COMMIT");
    if (!done) {
      // The first error tells what happened; after a full disk SQLite may have rolled back itself.
      (void)database->execute("ROLLBACK");
    }
    return done;
  }

  base::Status statements(const Change& change) {
    const auto number = static_cast<std::int64_t>(change.revision);
    if (change.type == ChangeType::Deleted) {
      TRY(erase.bind(1, change.resource).bind(2, change.key.ns).bind(3, change.key.name).run());
    } else {
      save.bind(1, change.resource).bind(2, change.key.ns).bind(3, change.key.name);
      save.bind(4, json::find_string(change.object->value, "metadata.uid"));
      TRY(save.bind(5, number).bind(6, change.object->text).run());
    }
    return counter.bind(1, number).run();
  }

  std::unique_ptr<SqlDatabase> database;
  SqlStatement save;
  SqlStatement erase;
  SqlStatement counter;
  Revision revision = 0;
};

Store::Store(Options options) : options_(std::move(options)) {}
Store::~Store() = default;

base::Result<std::unique_ptr<Store>> Store::open(Options options) {
  auto database = TRY(SqlDatabase::open(options.path));
  TRY(database->execute(kSchema));
  auto save = TRY(database->prepare("INSERT OR REPLACE INTO objects VALUES(?,?,?,?,?,?)"));
  auto erase = TRY(database->prepare("DELETE FROM objects WHERE resource=? AND ns=? AND name=?"));
  auto counter = TRY(database->prepare("UPDATE meta SET value=? WHERE key='revision'"));
  std::unique_ptr<Store> store(new Store(std::move(options)));
  store->writer_ = std::make_unique<base::Guarded<Writer>>(std::move(database), std::move(save),
                                                           std::move(erase), std::move(counter));
  TRY(store->load());
  return store;
}

base::Status Store::load() {
  return writer_->with([&](Writer& writer) -> base::Status {
    auto counter = TRY(writer.database->prepare("SELECT value FROM meta WHERE key='revision'"));
    if (TRY(counter.step())) writer.revision = static_cast<Revision>(counter.integer(0));
    auto rows = TRY(writer.database->prepare("SELECT resource,ns,name,rev,json FROM objects"));
    std::map<std::string, Objects, std::less<>> resources;
    while (TRY(rows.step())) {
      api::ObjectKey key{std::string(rows.text(1)), std::string(rows.text(2))};
      auto stored = std::make_shared<StoredObject>();
      stored->revision = static_cast<Revision>(rows.integer(3));
      stored->text = rows.text(4);
      stored->value =
          TRY(base::with_context(json::parse(stored->text, kStoredLimits),
                                 fmt::format("stored {} {} is damaged", rows.text(0), key.text())));
      resources[std::string(rows.text(0))].emplace(std::move(key), std::move(stored));
    }
    state_.with([&](State& state) {
      state.resources = std::move(resources);
      state.compacted = writer.revision;
    });
    revision_ = writer.revision;
    return {};
  });
}

ObjectRef Store::get(std::string_view resource, const api::ObjectKey& key) const {
  return state_.with([&](const State& state) -> ObjectRef {
    const auto objects = state.resources.find(resource);
    if (objects == state.resources.end()) return nullptr;
    const auto found = objects->second.find(key);
    return found == objects->second.end() ? nullptr : found->second;
  });
}

Snapshot Store::list(std::string_view resource, std::string_view ns) const {
  return state_.with([&](const State& state) {
    Snapshot snapshot;
    snapshot.revision = revision_;
    const auto found = state.resources.find(resource);
    if (found == state.resources.end()) return snapshot;
    const Objects& objects = found->second;
    if (ns.empty()) snapshot.objects.reserve(objects.size());
    auto at = ns.empty() ? objects.begin() : objects.lower_bound({std::string(ns), ""});
    for (; at != objects.end() && (ns.empty() || at->first.ns == ns); ++at)
      snapshot.objects.push_back(at->second);
    return snapshot;
  });
}

std::size_t Store::count(std::string_view resource) const {
  return state_.with([&](const State& state) {
    const auto found = state.resources.find(resource);
    return found == state.resources.end() ? 0 : found->second.size();
  });
}

std::vector<std::string> Store::resources_in(std::string_view ns) const {
  return state_.with([&](const State& state) {
    std::vector<std::string> names;
    for (const auto& [resource, objects] : state.resources) {
      const auto at = objects.lower_bound({std::string(ns), ""});
      if (at != objects.end() && at->first.ns == ns) names.push_back(resource);
    }
    return names;
  });
}

bool Store::unchanged_since(std::string_view resource, Revision since) const {
  return state_.with([&](const State& state) {
    if (since < state.compacted) return false;
    for (const auto& change : std::views::reverse(state.history)) {
      if (change->revision <= since) return true;
      if (change->resource == resource) return false;
    }
    return true;
  });
}

base::Result<ObjectRef> Store::create(std::string_view resource, const api::ObjectKey& key,
                                      json::Value value) {
  return write(ChangeType::Added, resource, key, std::nullopt, std::move(value));
}

base::Result<ObjectRef> Store::update(std::string_view resource, const api::ObjectKey& key,
                                      Revision expected, json::Value value) {
  return write(ChangeType::Modified, resource, key, expected, std::move(value));
}

base::Result<ObjectRef> Store::remove(std::string_view resource, const api::ObjectKey& key,
                                      Revision expected) {
  return write(ChangeType::Deleted, resource, key, expected, nullptr);
}

base::Result<ObjectRef> Store::write(ChangeType type, std::string_view resource,
                                     const api::ObjectKey& key, std::optional<Revision> expected,
                                     json::Value value) {
  using base::ErrorCode;
  return writer_->with([&](Writer& writer) -> base::Result<ObjectRef> {
    ObjectRef current = get(resource, key);
    if (type == ChangeType::Added && current)
      return base::Error(ErrorCode::AlreadyExists, fmt::format("{} already exists", key.text()));
    if (type != ChangeType::Added && !current)
      return base::Error(ErrorCode::NotFound, fmt::format("{} not found", key.text()));
    if (expected && current->revision != *expected)
      return base::Error(ErrorCode::Conflict, fmt::format("{} has been modified", key.text()));
    auto change = std::make_shared<Change>();
    change->type = type;
    change->revision = writer.revision + 1;
    change->resource = resource;
    change->key = key;
    change->previous = current;
    if (type == ChangeType::Deleted) value = current->value;
    change->object = stamp(std::move(value), change->revision);
    TRY(writer.commit(*change));
    writer.revision = change->revision;
    ObjectRef written = change->object;
    publish(std::move(change));
    return written;
  });
}

void Store::publish(ChangeRef change) {
  // Freed after the lock is released.
  std::vector<ChangeRef> evicted;
  state_.with([&](State& state) {
    Objects& objects = state.resources[change->resource];
    if (change->type == ChangeType::Deleted) {
      objects.erase(change->key);
    } else {
      objects[change->key] = change->object;
    }
    state.history.push_back(change);
    state.history_bytes += change->object->text.size();
    while (state.history.size() > options_.history_events ||
           (state.history_bytes > options_.history_bytes && state.history.size() > 1)) {
      state.history_bytes -= state.history.front()->object->text.size();
      state.compacted = state.history.front()->revision;
      evicted.push_back(std::move(state.history.front()));
      state.history.pop_front();
    }
    if (auto found = state.watchers.find(change->resource); found != state.watchers.end()) {
      std::erase_if(found->second, [&](const std::weak_ptr<Watcher>& weak) {
        const auto watcher = weak.lock();
        if (watcher) watcher->offer(change);
        return !watcher || watcher->overflowed();
      });
    }
    revision_ = change->revision;
  });
}

base::Result<Store::Watch> Store::watch(const WatchScope& scope, std::optional<Revision> from) {
  Watch watch;
  watch.watcher = std::make_shared<Watcher>(
      scope, std::max(options_.watcher_queue_events, options_.history_events + 1));
  bool gone = false;
  state_.with([&](State& state) {
    if (!from) {
      watch.initial.revision = revision_;
      if (const auto found = state.resources.find(scope.resource); found != state.resources.end()) {
        const Objects& objects = found->second;
        auto at = objects.lower_bound({scope.ns, ""});
        for (; at != objects.end() && (scope.ns.empty() || at->first.ns == scope.ns); ++at)
          if (scope.name.empty() || at->first.name == scope.name)
            watch.initial.objects.push_back(at->second);
      }
    } else {
      gone = *from < state.compacted;
      if (gone) return;
      auto at = std::upper_bound(
          state.history.begin(), state.history.end(), *from,
          [](Revision revision, const ChangeRef& change) { return revision < change->revision; });
      for (; at != state.history.end(); ++at) watch.watcher->offer(*at);
    }
    state.watchers[scope.resource].push_back(watch.watcher);
  });
  if (gone)
    return base::Error(base::ErrorCode::Gone, fmt::format("too old resource version: {}", *from));
  return watch;
}

}  // namespace apiserver

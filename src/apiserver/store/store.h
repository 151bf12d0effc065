#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/meta.h"
#include "base/context.h"
#include "base/guarded.h"
#include "base/queue.h"
#include "json/value.h"

namespace apiserver {

using Revision = std::uint64_t;

/// One version of an object: the document and its text. Immutable, shared by readers and watchers.
struct StoredObject {
  Revision revision = 0;
  json::Value value{};
  std::string text{};
};
using ObjectRef = std::shared_ptr<const StoredObject>;

enum class ChangeType { Added, Modified, Deleted };

/// One step of the history. A deletion carries the last document with the deletion's revision.
struct Change {
  ChangeType type = ChangeType::Added;
  Revision revision = 0;
  std::string resource{};
  api::ObjectKey key{};
  ObjectRef object{};
  ObjectRef previous{};  ///< None for Added.
};
using ChangeRef = std::shared_ptr<const Change>;

/// What one watch sees of a resource; empty members do not restrict.
struct WatchScope {
  std::string resource{};
  std::string ns{};
  std::string name{};
  bool covers(const Change& change) const {
    return change.resource == resource && (ns.empty() || change.key.ns == ns) &&
           (name.empty() || change.key.name == name);
  }
};

/// Receives the changes of one scope in order. Owned by the thread that reads; the store holds it
/// weakly. A reader that lags by more than the queue's bound is cut off: `overflowed`.
class Watcher {
 public:
  Watcher(WatchScope scope, std::size_t capacity) : scope_(std::move(scope)), queue_(capacity) {}

  /// The next change; nothing when `timeout` passed, the token stopped, or the watcher was cut off
  /// and everything before was read.
  std::optional<ChangeRef> next(const std::stop_token& stop, std::chrono::nanoseconds timeout) {
    return queue_.pop_for(stop, timeout);
  }
  std::optional<ChangeRef> try_next() { return queue_.try_pop(); }
  bool overflowed() const { return overflowed_; }

 private:
  friend class Store;
  void offer(const ChangeRef& change) {
    if (!scope_.covers(*change) || overflowed_) return;
    if (queue_.try_push(change)) return;
    overflowed_ = true;
    queue_.close();
  }

  WatchScope scope_;
  base::Queue<ChangeRef> queue_;
  std::atomic<bool> overflowed_{false};
};

/// The objects of one resource (and namespace) at one revision, ordered by namespace and name.
struct Snapshot {
  Revision revision = 0;
  std::vector<ObjectRef> objects{};
};

/// All objects of the control plane: durable in SQLite, served from memory. One revision counter
/// orders every change. Safe to use from many threads; writers queue up behind one another, readers
/// never wait for the disk.
class Store {
 public:
  struct Options {
    std::filesystem::path path{};         ///< The database file; its folder must exist.
    std::size_t history_events = 10'000;  ///< Changes kept for watches that resume.
    std::size_t history_bytes =
        32 << 20;  ///< The same as text; in memory it takes several times that.
    std::size_t watcher_queue_events = 8192;  ///< Lag at which a watcher is cut off.
  };

  /// Errors: AlreadyExists when another process holds the file, Internal when it cannot be read.
  static base::Result<std::unique_ptr<Store>> open(Options options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// The revision of the newest change that every watcher has been offered.
  Revision revision() const { return revision_; }
  /// None when absent.
  ObjectRef get(std::string_view resource, const api::ObjectKey& key) const;
  /// `ns` "" lists all namespaces.
  Snapshot list(std::string_view resource, std::string_view ns) const;
  std::size_t count(std::string_view resource) const;
  /// The names of all resources that hold objects in `ns`.
  std::vector<std::string> resources_in(std::string_view ns) const;
  /// True when the resource has not changed after `since` and the history can tell.
  bool unchanged_since(std::string_view resource, Revision since) const;

  /// Writes; each sets `metadata.resourceVersion` in `value`, which must have `metadata`.
  /// Errors: AlreadyExists; Conflict when `expected` is not the current revision; NotFound;
  /// Unavailable or Internal when the database refuses, in which case nothing has changed.
  base::Result<ObjectRef> create(std::string_view resource, const api::ObjectKey& key,
                                 json::Value value);
  base::Result<ObjectRef> update(std::string_view resource, const api::ObjectKey& key,
                                 Revision expected, json::Value value);
  /// Returns the last state, with the revision of the deletion.
  base::Result<ObjectRef> remove(std::string_view resource, const api::ObjectKey& key,
                                 Revision expected);

  struct Watch {
    std::shared_ptr<Watcher> watcher;
    Snapshot initial;  ///< Only when no `from` was given.
  };
  /// Changes after `from`, or the present state first and all changes after it.
  /// Errors: Gone when the history no longer reaches back to `from`.
  base::Result<Watch> watch(const WatchScope& scope, std::optional<Revision> from);

 private:
  using Objects = std::map<api::ObjectKey, ObjectRef>;
  struct State {
    std::map<std::string, Objects, std::less<>> resources{};
    std::deque<ChangeRef> history;
    std::size_t history_bytes = 0;
    Revision compacted = 0;  ///< Watches may start from here on.
    std::map<std::string, std::vector<std::weak_ptr<Watcher>>, std::less<>> watchers{};
  };
  struct Writer;

  explicit Store(Options options);
  base::Status load();
  base::Result<ObjectRef> write(ChangeType type, std::string_view resource,
                                const api::ObjectKey& key, std::optional<Revision> expected,
                                json::Value value);
  void publish(ChangeRef change);

  const Options options_;
  /// SQLite needs serialised writers, so this one lock is held during disk writes.
  std::unique_ptr<base::Guarded<Writer>> writer_;
  base::Guarded<State> state_;
  std::atomic<Revision> revision_{0};
};

}  // namespace apiserver

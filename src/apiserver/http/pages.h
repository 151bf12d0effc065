#pragma once

#include <list>
#include <optional>
#include <string>
#include <string_view>

#include "apiserver/store/store.h"
#include "base/guarded.h"

namespace apiserver {

/// Keeps the states that lists in pages refer to, the newest few. Safe to use from many threads.
class PageSnapshots {
 public:
  std::optional<Snapshot> find(std::string_view resource, std::string_view ns,
                               Revision revision) const {
    return entries_.with([&](const std::list<Entry>& entries) -> std::optional<Snapshot> {
      for (const Entry& entry : entries)
        if (entry.snapshot.revision == revision && entry.resource == resource && entry.ns == ns)
          return entry.snapshot;
      return std::nullopt;
    });
  }

  void keep(std::string_view resource, std::string_view ns, Snapshot snapshot) {
    // Freed after the lock is released.
    std::list<Entry> dropped;
    entries_.with([&](std::list<Entry>& entries) {
      for (const Entry& entry : entries)
        if (entry.snapshot.revision == snapshot.revision && entry.resource == resource &&
            entry.ns == ns)
          return;
      entries.push_front({std::string(resource), std::string(ns), std::move(snapshot)});
      if (entries.size() > kMaxSnapshots)
        dropped.splice(dropped.end(), entries, std::prev(entries.end()));
    });
  }

 private:
  /// Lists in progress whose state is kept; older ones get 410 once the data changed.
  static constexpr std::size_t kMaxSnapshots = 16;
  struct Entry {
    std::string resource;
    std::string ns;
    Snapshot snapshot;
  };
  base::Guarded<std::list<Entry>> entries_;
};

}  // namespace apiserver

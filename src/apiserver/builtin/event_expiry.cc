#include "apiserver/builtin/event_expiry.h"

#include <algorithm>

namespace apiserver {
namespace {

constexpr const char* kTimes[] = {"metadata.creationTimestamp", "lastTimestamp", "eventTime",
                                  "series.lastObservedTime"};

base::SystemTime last_seen(const json::Value& event) {
  base::SystemTime newest{};
  for (const char* path : kTimes)
    if (const auto time = base::parse_rfc3339(json::find_string(event, path)))
      newest = std::max(newest, *time);
  return newest;
}

}  // namespace

std::size_t expire_events(Store& store, base::SystemTime now) {
  std::size_t removed = 0;
  for (const ObjectRef& event : store.list("/events", "").objects) {
    if (now - last_seen(event->value) < kEventLifetime) continue;
    const api::ObjectKey key{std::string(json::find_string(event->value, "metadata.namespace")),
                             std::string(json::find_string(event->value, "metadata.name"))};
    // One that was updated just now is not over: the next round sees it.
    if (store.remove("/events", key, event->revision)) ++removed;
  }
  return removed;
}

}  // namespace apiserver

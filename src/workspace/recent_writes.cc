#include "workspace/recent_writes.h"

#include <utility>

namespace workspace {

RecentWrites::Entry& RecentWrites::entry_of(Entries& entries, const api::ObjectMeta& workspace) {
  Entry& entry = entries[workspace.key()];
  if (entry.uid != workspace.uid) entry = Entry{.uid = workspace.uid, .pending = {}, .settled = {}};
  return entry;
}

void RecentWrites::note(const api::ObjectMeta& workspace, const std::string& what) {
  const auto now = clock_.steady();
  entries_.with([&](Entries& entries) { entry_of(entries, workspace).pending[what] = now; });
}

bool RecentWrites::is_pending(const api::ObjectMeta& workspace, const std::string& what) {
  const auto now = clock_.steady();
  return entries_.with([&](Entries& entries) {
    const auto& pending = entry_of(entries, workspace).pending;
    const auto found = pending.find(what);
    return found != pending.end() && now - found->second < kLag;
  });
}

bool RecentWrites::has_pending(const api::ObjectMeta& workspace) {
  const auto now = clock_.steady();
  return entries_.with([&](Entries& entries) {
    auto& pending = entry_of(entries, workspace).pending;
    std::erase_if(pending, [&](const auto& note) { return now - note.second >= kLag; });
    return !pending.empty();
  });
}

void RecentWrites::seen(const api::ObjectMeta& workspace, const std::string& what) {
  entries_.with([&](Entries& entries) { entry_of(entries, workspace).pending.erase(what); });
}

void RecentWrites::settle(const api::ObjectMeta& workspace, const std::string& what,
                          std::string token) {
  entries_.with(
      [&](Entries& entries) { entry_of(entries, workspace).settled[what] = std::move(token); });
}

bool RecentWrites::is_settled(const api::ObjectMeta& workspace, const std::string& what,
                              const std::string& token) {
  return entries_.with([&](Entries& entries) {
    const auto& settled = entry_of(entries, workspace).settled;
    const auto found = settled.find(what);
    return found != settled.end() && found->second == token;
  });
}

void RecentWrites::forget(const api::ObjectKey& workspace) {
  entries_.with([&](Entries& entries) { entries.erase(workspace); });
}

std::size_t RecentWrites::size() const {
  return entries_.with([](const Entries& entries) { return entries.size(); });
}

}  // namespace workspace

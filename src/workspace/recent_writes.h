#pragma once

#include <chrono>
#include <map>
#include <string>

#include "api/meta.h"
#include "base/clock.h"
#include "base/guarded.h"

namespace workspace {

/// What this process wrote for a workspace and its local copies may not show yet, so that nothing
/// is created twice. A note ends when the copy shows it (`seen`) or after `kLag`; all notes of a
/// workspace end with it (`forget`) or with a namesake of another UID. Safe from many threads.
class RecentWrites {
 public:
  /// How long a local copy may lag behind a write before the write counts as lost.
  static constexpr std::chrono::seconds kLag{15};

  explicit RecentWrites(const base::Clock& clock) : clock_(clock) {}

  void note(const api::ObjectMeta& workspace, const std::string& what);
  bool is_pending(const api::ObjectMeta& workspace, const std::string& what);
  /// Whether anything is pending: somebody has to look again after `kLag`.
  bool has_pending(const api::ObjectMeta& workspace);
  void seen(const api::ObjectMeta& workspace, const std::string& what);

  /// Remembers that `what` was as wanted in the version that `token` names.
  void settle(const api::ObjectMeta& workspace, const std::string& what, std::string token);
  bool is_settled(const api::ObjectMeta& workspace, const std::string& what,
                  const std::string& token);

  void forget(const api::ObjectKey& workspace);
  std::size_t size() const;

 private:
  struct Entry {
    std::string uid;
    std::map<std::string, base::SteadyTime> pending;
    std::map<std::string, std::string> settled;
  };
  using Entries = std::map<api::ObjectKey, Entry>;
  static Entry& entry_of(Entries& entries, const api::ObjectMeta& workspace);

  const base::Clock& clock_;
  base::Guarded<Entries> entries_;
};

}  // namespace workspace

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "api/meta.h"
#include "base/guarded.h"
#include "json/value.h"

namespace kube {

/// Remembers the versions that this process wrote, so that a reconcile does not act on a local copy
/// older than its own writes, which would repeat them. It forgets a version once the copy caught
/// up. Safe from many threads. Versions that are no numbers are never called old.
class WrittenVersions {
 public:
  /// `object` is the answer to a write.
  void note(const api::ResourceType& type, const json::Value& object);
  void note(const api::ResourceType& type, const api::ObjectKey& key, std::string_view version);
  /// Whether the copy with this metadata is older than the last write; its event is on the way
  /// then.
  bool is_behind(const api::ResourceType& type, const api::ObjectMeta& copy);
  /// The object is gone.
  void forget(const api::ResourceType& type, const api::ObjectKey& key);

 private:
  using Id = std::pair<std::string, api::ObjectKey>;
  base::Guarded<std::map<Id, std::uint64_t>> written_;
};

}  // namespace kube

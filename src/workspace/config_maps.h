#pragma once

#include <functional>
#include <memory>

#include "api/core/config.h"
#include "api/meta.h"
#include "base/context.h"
#include "kube/rest/client.h"

namespace workspace {

/// Local copies of the ConfigMaps that workspaces name in `inference.config`. Nothing is watched
/// until a workspace names one; then its namespace is, and beyond `kMaxNamespaceWatches` of them
/// the whole cluster. Safe from many threads; owns the watches and ends them.
class ConfigMaps {
 public:
  static constexpr std::size_t kMaxNamespaceWatches = 32;
  /// Called on a watch's thread for each change; must only enqueue keys.
  using OnChange = std::function<void(const api::ObjectKey& config_map)>;

  ConfigMaps(kube::Client& client, OnChange on_change);
  ~ConfigMaps();
  void start(const base::Context& ctx);
  void stop();

  struct Lookup {
    bool known = false;  ///< False until the namespace was listed: look again soon.
    std::shared_ptr<const api::ConfigMap> object;  ///< Null when there is none.
  };
  Lookup find(const api::ObjectKey& key);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace workspace
